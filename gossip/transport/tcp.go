package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// headTimeout is how long a stream may take to say what it wants.
	headTimeout = 5 * time.Second
	// A refused stream is drained for a moment: closing a connection with unread bytes resets it, and the reset can overtake
	// the words that say why.
	drainTimeout = time.Second
	drainBytes   = 1 << 20
)

// StreamCh returns the channel of inbound streams. Who receives one must close it.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// accept lets streams in until the listener is closed.
func (t *Transport) accept() {
	var wait time.Duration
	for {
		conn, err := t.tcp.AcceptTCP()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			t.quiet.drop(StreamAcceptError).Err(err).Msg("accepting a TCP connection failed, trying again")
			wait = t.pause(wait)
			continue
		}
		wait = 0
		t.welcome(conn)
	}
}

// welcome finds a place for an accepted connection, or closes it.
func (t *Transport) welcome(conn *net.TCPConn) {
	from := conn.RemoteAddr()
	s := t.newStream(conn, inbound)
	s.count.streamsIn.Add(1)
	pass, err := t.gate.enter(from.(*net.TCPAddr).AddrPort().Addr(), time.Now(), func() {
		t.quiet.drop(StreamDisplaced).Stringer("from", from).Msg("closed a waiting stream in favour of another address")
		s.Close()
	})
	if err != nil {
		t.quiet.drop(StreamFull).Stringer("from", from).Err(err).Msg("closed a new stream")
		conn.Close()
		return
	}
	s.pass = pass
	if !t.track(s) {
		s.Close()
		return
	}
	t.wg.Go(func() {
		if err := t.serve(s); err != nil {
			s.Close()
		}
	})
}

// errNotServed says that a stream has been dealt with and only needs to be closed.
var errNotServed = errors.New("the stream was not handed to the engine")

// serve brings an inbound stream from its first byte to the engine. With an error it is the caller's to close.
func (t *Transport) serve(s *stream) error {
	if err := s.SetReadDeadline(time.Now().Add(headTimeout)); err != nil {
		return err
	}
	h, err := s.peek()
	switch {
	case errors.Is(err, errRefused):
		t.quiet.drop(StreamRefused).Stringer("from", s.RemoteAddr()).Err(err).Msg("turned a stream away")
		return s.turnAway(err.Error())
	case err != nil:
		t.count.drops[StreamNoHead].Add(1) // no line: health checks and port scans do this all day
		return err
	case h.label != t.cfg.Label:
		t.quiet.drop(StreamForeignLabel).Stringer("from", s.RemoteAddr()).Str("label", h.label).
			Msg("turned a stream away: it belongs to another cluster")
		return s.turnAway(foreignAnswer(h.label))
	}

	t.gate.ask(s.pass, t.limits.withReply(h, t.reply.Load()))
	timeout := time.NewTimer(time.Until(s.hard)) // hard is only written before this goroutine starts
	defer timeout.Stop()
	turn, streams := s.pass.turn, chan<- net.Conn(nil)
	for {
		select {
		case <-turn:
			if err := s.admit(h); err != nil {
				return err
			}
			s.handOver()
			turn, streams = nil, t.streams
		case streams <- s:
			return nil
		case <-s.closed:
			return errNotServed
		case <-t.ctx.Done():
			return errDown
		case <-timeout.C:
			t.quiet.drop(StreamNoTurn).Stringer("from", s.RemoteAddr()).Msg("closed a stream whose turn did not come in time")
			return errNotServed
		}
	}
}

// foreignAnswer says that a stream is in the wrong place, without saying what the right label is.
func foreignAnswer(label string) string {
	if label == "" {
		return "this node belongs to a cluster with a label, and the stream carries none"
	}
	return fmt.Sprintf("this node belongs to another cluster than %q", label)
}

// turnAway tells the peer why and lets it read that.
func (s *stream) turnAway(why string) error {
	answer, err := refusal(why)
	if err != nil {
		return err
	}
	until := time.Now().Add(drainTimeout)
	if err := s.SetDeadline(until); err != nil {
		return err
	}
	if _, err := s.Write(answer); err != nil {
		return err
	}
	if err := s.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, s.Conn, drainBytes)
	return errors.Join(errNotServed, err)
}

// withReply returns the weight of a stream together with what the engine will need to answer it: the answer to a push/pull is
// all of this node's state, encoded in a buffer that grows by doubling.
func (l limits) withReply(h head, reply int64) int64 {
	if h.kind != msgPushPull && h.kind != msgEncrypt {
		return h.weight
	}
	return min(h.weight+3*reply, l.budgets()[largeLane])
}

// learnReply remembers how long the answers are that this node gives. It follows a growing state at once and a shrinking
// one slowly, because short answers to encrypted pings are among them.
func (t *Transport) learnReply(s *stream) {
	s.mu.Lock()
	written, kind := s.written, s.kind
	s.mu.Unlock()
	if kind == msgPushPull || kind == msgEncrypt {
		t.reply.Store(max(written, t.reply.Load()*7/8))
	}
}

// DialTimeout opens a stream to "host:port" within timeout, which must be positive. It is aborted at Shutdown, which also closes
// the stream. What the peer answers is held to the same limits as inbound streams. The error is the *net.OpError of
// the dial, or a plain one after Shutdown.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		return nil, fmt.Errorf("dialling %s: no time is left for it: %w", addr, os.ErrDeadlineExceeded)
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		if t.ctx.Err() != nil {
			return nil, fmt.Errorf("dialling %s: %w", addr, errDown)
		}
		return nil, err
	}
	s := t.newStream(conn, outbound)
	if !t.track(s) {
		conn.Close()
		return nil, fmt.Errorf("dialling %s: %w", addr, errDown)
	}
	s.count.streamsOut.Add(1)
	return s, nil
}

// DialAddressTimeout is DialTimeout; the name of the node is of no use to it.
func (t *Transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(addr.Addr, timeout)
}
