package kernelfault

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// need skips a test loudly, or fails it in CI.
func need(t testing.TB, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI must have it: %s: %v", what, err)
	}
	t.Skipf("SKIPPED: this needs %s: %v", what, err)
}

// host is a network namespace without a name, with one end of a veth pair.
type host struct {
	ns   netns.NsHandle
	addr netip.Addr
	six  netip.Addr
}

// inside runs f in the host's namespace. Sockets that f opens stay there.
func (h host) inside(t testing.TB, f func() error) {
	t.Helper()
	if err := within(h.ns, f); err != nil {
		t.Fatal(err)
	}
}

// within runs f on a thread of its own, which ends with it.
func within(ns netns.NsHandle, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// newNamespace makes a network namespace that ends with its last descriptor.
func newNamespace(t testing.TB) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		var err error
		ns, err = netns.New()
		result <- err
	}()
	need(t, "the right to make a network namespace (root)", <-result)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// newPair makes two hosts and the link between them.
func newPair(t testing.TB) (a, b host) {
	t.Helper()
	a = host{newNamespace(t), netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd00:77::1")}
	b = host{newNamespace(t), netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd00:77::2")}
	a.inside(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: "eth0"},
			PeerName:      "eth0",
			PeerNamespace: netlink.NsFd(int(b.ns)),
		})
	})
	for _, h := range []host{a, b} {
		h.inside(t, func() error {
			link, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			for _, p := range []string{h.addr.String() + "/24", h.six.String() + "/64"} {
				addr, err := netlink.ParseAddr(p)
				if err != nil {
					return err
				}
				addr.Flags = unix.IFA_F_NODAD
				if err := netlink.AddrAdd(link, addr); err != nil {
					return fmt.Errorf("add %s: %w", p, err)
				}
			}
			return netlink.LinkSetUp(link)
		})
	}
	for _, pair := range [][2]netip.Addr{{a.addr, b.addr}, {a.six, b.six}} {
		ua, ub := a.udp(t, pair[0]), b.udp(t, pair[1])
		// The kernel brings new links into use one after another, at most one
		// round a second, and waits for whoever makes or removes namespaces.
		eventually(t, time.Minute, fmt.Sprintf("the link of %v is up", pair[0]), func() bool {
			_, _ = ua.WriteToUDPAddrPort([]byte("up?"), port(ub))
			return received(t, ub, 10*time.Millisecond) > 0
		})
	}
	return a, b
}

// newTable opens a table in a host's namespace.
func newTable(t testing.TB, h host) *Table {
	t.Helper()
	table, err := Open(Config{Namespace: int(h.ns), Log: zerolog.New(zerolog.NewTestWriter(t))})
	if errors.Is(err, ErrUnsupported) {
		need(t, "nftables", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func change(t testing.TB, table *Table, put []Fault, drop ...string) {
	t.Helper()
	err := table.Change(put, drop)
	if errors.Is(err, ErrUnsupported) {
		need(t, "a kernel that can do this fault", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (h host) udp(t testing.TB, addr netip.Addr) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	h.inside(t, func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	_ = c.SetReadBuffer(8 << 20)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func port(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// send sends n packets, which must all be taken.
func send(t testing.TB, from, to *net.UDPConn, n int) {
	t.Helper()
	for i := range n {
		if _, err := from.WriteToUDPAddrPort(fmt.Appendf(nil, "%d", i), port(to)); err != nil {
			t.Fatalf("the sender must notice nothing: packet %d: %v", i, err)
		}
	}
}

// received counts packets until none comes for the time given.
func received(t testing.TB, c *net.UDPConn, quiet time.Duration) int {
	t.Helper()
	buf := make([]byte, 2048)
	for n := 0; ; n++ {
		if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.ReadFromUDPAddrPort(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// received1 tells whether a packet comes in time.
func received1(t testing.TB, c *net.UDPConn, wait time.Duration) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.ReadFromUDPAddrPort(make([]byte, 2048))
	return err == nil
}

// answers tells whether a TCP handshake with to succeeds within the timeout.
func (h host) answers(t testing.TB, to net.Listener, timeout time.Duration) bool {
	t.Helper()
	ok := false
	h.inside(t, func() error {
		c, err := net.DialTimeout("tcp", to.Addr().String(), timeout)
		if err == nil {
			ok = true
			return c.Close()
		}
		return nil
	})
	return ok
}

func (h host) listen(t testing.TB, addr netip.Addr) net.Listener {
	t.Helper()
	var l net.Listener
	h.inside(t, func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l
}

// eventually polls until the condition holds.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// rules lists the sets and rules of this program's tables in a host, but for
// those of a table without faults.
func rules(t testing.TB, h host) []string {
	t.Helper()
	sets, err := readSets(int(h.ns))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range sets {
		if s.name != leaseSet {
			out = append(out, s.comment)
		}
	}
	return out
}
