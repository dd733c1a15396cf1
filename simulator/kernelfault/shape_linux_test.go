package kernelfault

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const ms = time.Millisecond

// sendStamped sends n packets of the given size that carry the time and their
// number, one after each pause.
func sendStamped(from, to *net.UDPConn, n, size int, pause time.Duration) {
	buf := make([]byte, max(16, size))
	next := time.Now()
	for i := range n {
		binary.BigEndian.PutUint64(buf, uint64(time.Now().UnixNano()))
		binary.BigEndian.PutUint64(buf[8:], uint64(i))
		_, _ = from.WriteToUDPAddrPort(buf, port(to))
		next = next.Add(pause)
		time.Sleep(time.Until(next)) // the pace of the load, not a wait for something
	}
}

// arrival is one packet of sendStamped as it arrived.
type arrival struct {
	number int
	took   time.Duration
	at     time.Time
}

func arrivals(t *testing.T, c *net.UDPConn, wait time.Duration) []arrival {
	t.Helper()
	var out []arrival
	buf := make([]byte, 2048)
	for {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		if err != nil || n < 16 {
			return out
		}
		now := time.Now()
		sent := time.Unix(0, int64(binary.BigEndian.Uint64(buf)))
		out = append(out, arrival{int(binary.BigEndian.Uint64(buf[8:])), now.Sub(sent), now})
	}
}

func median(of []arrival) time.Duration {
	took := make([]time.Duration, len(of))
	for i, a := range of {
		took[i] = a.took
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func TestDelayAndJitter(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	for _, c := range []struct {
		name     string
		from, to netip.Addr
	}{{"IPv4", a.addr, b.addr}, {"IPv6", a.six, b.six}} {
		t.Run(c.name, func(t *testing.T) {
			ua, ub := a.udp(t, c.from), b.udp(t, c.to)
			peers := []netip.Addr{c.from}
			change(t, table, []Fault{
				{ID: "one", Peers: peers, Effect: Effect{Delay: 40 * ms, Jitter: 20 * ms}, TTL: time.Minute},
				{ID: "two", Peers: peers, Only: UDP, Effect: Effect{Delay: 30 * ms}, TTL: time.Minute},
				{ID: "tcp", Peers: peers, Only: TCP, Effect: Effect{Delay: 10 * time.Second}, TTL: time.Minute},
			})
			const packets = 400
			go sendStamped(ua, ub, packets, 16, ms)
			got := arrivals(t, ub, time.Second)
			if len(got) != packets {
				t.Fatalf("%d packets of %d arrived", len(got), packets)
			}
			least, most, early, swapped := time.Hour, time.Duration(0), 0, 0
			for i, g := range got {
				least, most = min(least, g.took), max(most, g.took)
				if g.took < 65*ms {
					early++
				}
				if i > 0 && g.number < got[i-1].number {
					swapped++
				}
			}
			t.Logf("delay 70±20 ms: least %v, median %v, most %v; %d packets overtook", least, median(got), most, swapped)
			if least < 50*ms || least > 60*ms {
				t.Errorf("the least delay is %v, want just above 50 ms", least)
			}
			if m := median(got); m < 60*ms || m > 95*ms {
				t.Errorf("the median delay is %v, want about 70 ms", m)
			}
			if early < packets/8 || swapped == 0 {
				t.Errorf("%d packets took less than 65 ms and %d were overtaken: no even jitter", early, swapped)
			}
			change(t, table, nil, "one", "two", "tcp")
			go sendStamped(ua, ub, 50, 16, ms)
			if m := median(arrivals(t, ub, quiet)); m > 20*ms {
				t.Errorf("the median delay is %v after the faults have ended", m)
			}
		})
	}
}

func TestReorder(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	change(t, table, []Fault{{ID: "r", Peers: []netip.Addr{a.addr}, Effect: Effect{Delay: 100 * ms, Reorder: 0.25}, TTL: time.Minute}})
	const packets = 800
	go sendStamped(ua, ub, packets, 16, ms/2)
	got := arrivals(t, ub, time.Second)
	quick := 0
	for _, g := range got {
		if g.took < 50*ms {
			quick++
		}
	}
	// Five standard deviations of a binomial of 800 at 0.25 are 61.
	if len(got) != packets || quick < 139 || quick > 261 {
		t.Errorf("%d of %d packets overtook others (%d arrived), want 200±61", quick, packets, len(got))
	}
}

func TestRate(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	peers := []netip.Addr{a.addr}
	// The lowest rate counts: 800 kbit/s are 100 packets of 1000 bytes a second.
	change(t, table, []Fault{
		{ID: "slow", Peers: peers, Effect: Effect{Rate: 800_000}, TTL: time.Minute},
		{ID: "less-slow", Peers: peers, Effect: Effect{Rate: 8_000_000}, TTL: time.Minute},
	})
	go sendStamped(ua, ub, 40, 1000, 0)
	got := arrivals(t, ub, time.Second)
	if len(got) != 40 {
		t.Fatalf("%d packets of 40 arrived", len(got))
	}
	if took := got[39].at.Sub(got[0].at); took < 370*ms || took > 2*time.Second {
		t.Errorf("39 packets took %v, want 390 ms", took)
	}
	go sendStamped(ua, ub, 200, 1000, 0)
	got = arrivals(t, ub, time.Second)
	// 64 KiB wait and about one packet is under way.
	if n := len(got); n < 60 || n > 90 {
		t.Errorf("%d packets of 200 arrived at once through a queue of 64 KiB, want about 66", n)
	}
	if d := table.Dropped(); d < 110 || d > 140 {
		t.Errorf("%d drops counted, want what did not arrive of 200", d)
	}
}

// TestStreamsKeepOrder sends much over TCP with a jitter that would confuse it.
func TestStreamsKeepOrder(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	change(t, table, []Fault{{ID: "j", Peers: []netip.Addr{a.addr}, Effect: Effect{Delay: 20 * ms, Jitter: 20 * ms}, TTL: time.Minute}})
	const size = 4 << 20
	took, again := transfer(t, a, b, size)
	t.Logf("%d bytes in %v, %d segments sent again", size, took, again)
	if took > 20*time.Second || again > 20 {
		t.Errorf("%d bytes took %v, and %d segments were sent again", size, took, again)
	}
	if d := table.Dropped(); d > 0 {
		t.Errorf("%d packets dropped", d)
	}
}

// transfer sends bytes over TCP from a to b, and says how long it took and how
// many segments had to be sent again.
func transfer(t *testing.T, a, b host, size int) (took time.Duration, retransmits int) {
	t.Helper()
	var l net.Listener
	b.inside(t, func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(b.addr, 0).String())
		return err
	})
	defer func() { _ = l.Close() }()
	begin := time.Now()
	sent := make(chan error, 1)
	go func() {
		sent <- within(a.ns, func() error {
			c, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			if _, err = c.Write(make([]byte, size)); err != nil {
				return err
			}
			tcp := c.(*net.TCPConn)
			if err := tcp.CloseWrite(); err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, tcp); err != nil { // until the other end has read all
				return err
			}
			info, err := tcpInfo(tcp)
			if err == nil {
				retransmits = int(info.Total_retrans)
			}
			return err
		})
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := io.Copy(io.Discard, c)
	if err != nil || n != int64(size) {
		t.Fatalf("%d bytes of %d arrived: %v", n, size, err)
	}
	_ = c.Close()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return time.Since(begin), retransmits
}

func tcpInfo(c *net.TCPConn) (*unix.TCPInfo, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var info *unix.TCPInfo
	if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil {
		return nil, e
	}
	return info, err
}

func TestDuplicate(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, a) // at the sender: packets are doubled before they arrive
	for _, c := range []struct {
		name     string
		from, to netip.Addr
	}{{"IPv4", a.addr, b.addr}, {"IPv6", a.six, b.six}} {
		t.Run(c.name, func(t *testing.T) {
			ua, ub := a.udp(t, c.from), b.udp(t, c.to)
			listener := b.listen(t, c.to)
			change(t, table, []Fault{{ID: "d", Peers: []netip.Addr{c.to}, Effect: Effect{Duplicate: 0.3}, TTL: time.Minute}})
			n := 0
			for range 10 {
				send(t, ua, ub, 200)
				n += received(t, ub, 20*ms)
			}
			// Five standard deviations of a binomial of 2000 at 0.3 are 102.
			if n < 2498 || n > 2702 {
				t.Errorf("2000 packets arrived %d times, want 2600±102", n)
			}
			if !a.answers(t, listener, 5*time.Second) {
				t.Error("no handshake beside duplicated packets")
			}
			change(t, table, nil, "d")
		})
	}
}

// TestBusyStreamsDoNotStarve delays a flood and a stream, and looks at a few
// packets among them.
func TestBusyStreamsDoNotStarve(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub, flood := a.udp(t, a.addr), b.udp(t, b.addr), b.udp(t, b.addr)
	change(t, table, []Fault{{ID: "d", Peers: []netip.Addr{a.addr}, Effect: Effect{Delay: 20 * ms}, TTL: time.Minute}})
	ctx, stop := context.WithCancel(t.Context())
	var flooder sync.WaitGroup
	flooder.Go(func() {
		for ctx.Err() == nil {
			sendStamped(ua, flood, 20, 1000, 0)
			sendStamped(ua, flood, 1, 1000, 2*ms) // some 10,000 a second
		}
	})
	defer flooder.Wait()
	defer stop()
	go sendStamped(ua, ub, 100, 16, 5*ms)
	took, _ := transfer(t, a, b, 8<<20)
	got := arrivals(t, ub, time.Second)
	t.Logf("8 MiB in %v; median delay %v; %d packets dropped", took, median(got), table.Dropped())
	if m := median(got); len(got) < 90 || m > 200*ms {
		t.Errorf("%d packets of 100 arrived beside a flood, after %v", len(got), m)
	}
}
