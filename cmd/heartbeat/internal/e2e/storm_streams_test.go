package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"sync/atomic"
	"time"
)

// breaker opens TCP streams that no honest node would.
type breaker struct {
	*storm
	target  string
	label   string
	streams *atomic.Uint64 // those that were accepted
}

// run opens one broken stream after another until ctx ends, from an address of
// its own, so that the true members keep theirs.
func (b *breaker) run(ctx context.Context, source string) {
	dialer := net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", b.target)
		if err != nil {
			continue // all ports or places are taken, which is part of the storm
		}
		b.streams.Add(1)
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		b.attack(ctx, conn.(*net.TCPConn))
		_ = conn.Close()
	}
}

// attack misbehaves on one stream. Errors are the target's defence.
func (b *breaker) attack(ctx context.Context, conn *net.TCPConn) {
	head := labelled(b.label, nil)
	if b.label == "" {
		head = nil
	}
	send := func(parts ...[]byte) { _, _ = conn.Write(bytes.Join(append([][]byte{head}, parts...), nil)) }
	answer := func() { _, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20)) }
	noise := bytes.Repeat(b.bytes(1400), 200)
	switch b.rng.IntN(14) {
	case 0: // half-open: nothing ever comes
		wait(ctx, 2*time.Second)
	case 1: // a header, then nothing
		send(pack(typePushPull, pushPullMsg{Nodes: 100}))
		wait(ctx, 2*time.Second)
	case 2: // slow dribble
		for _, c := range append(bytes.Clone(head), pack(typePushPull, pushPullMsg{Nodes: 3, UserStateLen: 10})...) {
			if _, err := conn.Write([]byte{c}); err != nil || !wait(ctx, 50*time.Millisecond) {
				return
			}
		}
	case 3: // a million members
		send(pack(typePushPull, pushPullMsg{Nodes: 1_000_000}), noise)
		answer()
	case 4: // lengths that do not fit into an int
		send(pack(typePushPull, pushPullMsg{Nodes: math.MaxInt, UserStateLen: math.MinInt}), noise)
		answer()
	case 5: // a name of 4 GB
		send(pack(typePushPull, pushPullMsg{Nodes: 1}), []byte{0x81, 0xa4, 'N', 'a', 'm', 'e', 0xdb, 0xff, 0xff, 0xff, 0xff}, noise)
		answer()
	case 6: // a map of 4 billion fields
		send([]byte{byte(b.rng.IntN(14)), 0xdf, 0xff, 0xff, 0xff, 0xff}, noise)
		answer()
	case 7: // 4 GB, or a little, that are said to be encrypted
		length := []uint32{math.MaxUint32, 1 << 31, 20 << 20, 64, 0}[b.rng.IntN(5)]
		send([]byte{typeEncrypt}, binary.BigEndian.AppendUint32(nil, length), noise)
		answer()
	case 8: // garbage
		send(b.random(), noise)
		answer()
	case 9: // the label alone, cut short or not
		_, _ = conn.Write(head[:min(len(head), 1+b.rng.IntN(20))])
		_ = conn.CloseWrite()
		answer()
	case 10: // another cluster
		_, _ = conn.Write(labelled(fmt.Sprint("cluster-", b.rng.Uint32()), pack(typePushPull, pushPullMsg{Nodes: 1})))
		answer()
	case 11: // a bomb
		send(b.bombs[b.rng.IntN(len(b.bombs))])
		answer()
	case 12: // a user message of 20 MB that ends early
		send(pack(typeUser, userMsg{UserMsgLen: 20 << 20}), noise)
		_ = conn.CloseWrite()
		answer()
	case 13: // reset in the middle
		send(pack(typePushPull, pushPullMsg{Nodes: 50, UserStateLen: 1000}), noise[:min(len(noise), b.rng.IntN(5000))])
		_ = conn.SetLinger(0)
	}
}

// wait pauses and reports whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// address is one of the loopback addresses that attackers use.
func address(i int) string { return fmt.Sprintf("127.0.%d.%d", 10+i/200, 1+i%200) }
