package transport

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"heartbeat/gossip/transport/transporttest"
)

// at returns the address of a transport as seen from this machine.
func at(tr *Transport, host string) string { return net.JoinHostPort(host, strconv.Itoa(tr.Port())) }

func receiveOne(t testing.TB, tr *Transport) *memberlist.Packet {
	t.Helper()
	select {
	case p := <-tr.PacketCh():
		return p
	case <-time.After(10 * time.Second):
		t.Fatalf("no packet has arrived; %+v", tr.Stats())
		return nil
	}
}

// waitDrops waits until the reason has been counted n times at least.
func waitDrops(t testing.TB, tr *Transport, why Drop, n uint64) {
	t.Helper()
	transporttest.Eventually(t, why.String(), func() bool { return tr.Stats().Drops[why] >= n })
}

func TestDualStack(t *testing.T) {
	needIPv6(t)
	both := open(t, Config{Bind: "::", Logger: zerolog.Nop()})
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			other := open(t, Config{Bind: host, Logger: zerolog.Nop()})
			for _, to := range []string{at(other, host), "[::ffff:127.0.0.1]:" + strconv.Itoa(other.Port())} {
				if host == "::1" && strings.Contains(to, "ffff") {
					continue
				}
				if _, err := both.WriteTo([]byte{msgUser}, to); err != nil {
					t.Fatalf("sending to %s: %v", to, err)
				}
				receiveOne(t, other)
			}
			if _, err := other.WriteTo([]byte{msgUser}, at(both, host)); err != nil {
				t.Fatal(err)
			}
			if from := receiveOne(t, both).From.String(); from != at(other, host) {
				t.Errorf("the packet is from %s, not %s", from, at(other, host))
			}
			conn, err := other.DialTimeout(at(both, host), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		})
	}
}

func TestHostNamesAreResolved(t *testing.T) {
	b := open(t, Config{Logger: zerolog.Nop()})
	if _, err := b.WriteTo([]byte{msgUser}, at(b, "localhost")); err != nil {
		t.Fatal(err)
	}
	receiveOne(t, b)
}

// What WriteTo returns decides whether the engine waits for an ack; see its doc comment.
func TestSendErrors(t *testing.T) {
	tr := open(t, Config{Logger: zerolog.Nop()})
	check := func(name string, err error, want string) {
		t.Helper()
		var op *net.OpError
		if errors.As(err, &op) {
			t.Errorf("%s: %v is a *net.OpError", name, err)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	_, err := tr.WriteTo(make([]byte, 66000), "127.0.0.1:9")
	check("too large", err, "66000 bytes to 127.0.0.1:9: it is too large")
	if !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("%v is not EMSGSIZE", err)
	}
	_, err = tr.WriteTo([]byte{1}, "[::1]:9")
	check("the other family", err, "")
	waitDrops(t, tr, PacketSendLost, 1)
	_, err = tr.WriteTo([]byte{1}, "192.0.2.1:9") // from a loopback address the kernel refuses
	check("no way out", err, "")
	waitDrops(t, tr, PacketSendLost, 2)

	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ENOBUFS, syscall.EAGAIN, syscall.EPERM,
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EINVAL} {
		before := tr.Stats().Drops[PacketSendLost]
		op := &net.OpError{Op: "write", Net: "udp", Err: errno}
		check(errno.Error(), tr.sendFailed(1, "127.0.0.1:9", op), "")
		if tr.Stats().Drops[PacketSendLost] != before+1 {
			t.Errorf("%v is not counted", errno)
		}
	}
	check("no errno", tr.sendFailed(1, "127.0.0.1:9", &net.OpError{Op: "write", Net: "udp", Err: net.ErrClosed}), "cannot send")

	if err := tr.Shutdown(); err != nil {
		t.Fatal(err)
	}
	_, err = tr.WriteTo([]byte{1}, "127.0.0.1:9")
	check("after shutdown", err, "shut down")
	if _, err := tr.DialTimeout("127.0.0.1:9", time.Second); !errors.Is(err, errDown) {
		t.Errorf("dialling after shutdown: %v", err)
	}
}

func TestForeignPacketsAreDropped(t *testing.T) {
	var log logBuffer
	tr := open(t, Config{Label: "here", Logger: zerolog.New(&log)})
	for range 50 {
		for _, label := range []string{"there", "here"} {
			if _, err := tr.WriteTo(withLabel(label, []byte{msgUser, 'x'}), at(tr, "127.0.0.1")); err != nil {
				t.Fatal(err)
			}
		}
		if got := receiveOne(t, tr); string(got.Buf) != string(withLabel("here", []byte{msgUser, 'x'})) {
			t.Fatalf("got %q", got.Buf)
		}
	}
	waitDrops(t, tr, PacketForeignLabel, 50)
	if n := log.lines(); n < 1 || n > 10 {
		t.Errorf("%d lines for 50 packets:\n%s", n, log.String())
	}
}

func TestTapSeesReplacesAndDrops(t *testing.T) {
	tr := open(t, Config{Logger: zerolog.Nop()})
	tr.SetInbound(func(p *memberlist.Packet) *memberlist.Packet {
		switch p.Buf[1] {
		case 'd':
			return nil
		case 'r':
			return &memberlist.Packet{Buf: []byte("replaced"), From: p.From, Timestamp: p.Timestamp}
		}
		return p
	})
	for _, body := range []string{"d", "r", "k"} {
		if _, err := tr.WriteTo(append([]byte{msgUser}, body...), at(tr, "127.0.0.1")); err != nil {
			t.Fatal(err)
		}
	}
	if got := receiveOne(t, tr); string(got.Buf) != "replaced" {
		t.Errorf("got %q", got.Buf)
	}
	if got := receiveOne(t, tr); got.Buf[1] != 'k' {
		t.Errorf("got %q", got.Buf)
	}
	waitDrops(t, tr, PacketByTap, 1)
	tr.Inject(&memberlist.Packet{Buf: []byte("injected")})
	if got := receiveOne(t, tr); string(got.Buf) != "injected" {
		t.Errorf("got %q", got.Buf)
	}
}

// Nobody reads: the queue fills, and what is over is dropped and counted, not kept.
func TestQueueIsBounded(t *testing.T) {
	for _, size := range []int{1, 60000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			tr := open(t, Config{Logger: zerolog.Nop()})
			packet := make([]byte, size)
			packet[0] = msgUser
			transporttest.Eventually(t, "packets are dropped", func() bool {
				for range 50 {
					if _, err := tr.WriteTo(packet, at(tr, "127.0.0.1")); err != nil {
						t.Fatal(err)
					}
				}
				return tr.Stats().Drops[PacketQueueFull] > 0
			})
			if held := len(tr.packets); held > queuePackets || held*size > queueBytes || held*size < queueBytes/2 && held < queuePackets {
				t.Errorf("%d packets of %d bytes are waiting", held, size)
			}
		})
	}
}

// The meter against a queue that is simply added up.
func TestQueueMeter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var meter queueMeter
		var queue []int
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				size := rapid.SampledFrom([]int{1, 1400, maxPacket, queueBytes / 3}).Draw(t, "size")
				total := size
				for _, n := range queue {
					total += n
				}
				want := len(queue) == 0 || len(queue) < queuePackets && total <= queueBytes
				if got := meter.room(len(queue), size); got != want {
					t.Fatalf("room for %d behind %d packets: %v", size, len(queue), got)
				}
				if want {
					meter.add(size)
					queue = append(queue, size)
				}
			},
			"take": func(t *rapid.T) { queue = queue[min(rapid.IntRange(1, 3).Draw(t, "n"), len(queue)):] },
		})
	})
}

func TestReceiveAllocations(t *testing.T) {
	tr := open(t, Config{Logger: zerolog.Nop()})
	r := receiver{t: tr, sources: newCache[netip.AddrPort, *net.UDPAddr](4)}
	from, now := netip.MustParseAddrPort("127.0.0.1:7946"), time.Now()
	for _, size := range []int{100, 1200} {
		data := make([]byte, size)
		if n := testing.AllocsPerRun(100, func() { r.handle(data, from, now); <-tr.packets }); n > 2 {
			t.Errorf("a packet of %d bytes costs %v allocations", size, n)
		}
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		c := newCache[int, int](size)
		c.put(-1, 1)
		for i := range 50 {
			c.put(rapid.IntRange(0, 30).Draw(t, "key"), i)
			if c.len() > 2*size {
				t.Fatalf("%d entries in a cache of size %d", c.len(), size)
			}
			if _, ok := c.get(-1); !ok && size > 1 {
				t.Fatal("forgot an entry in steady use")
			}
		}
	})
}
