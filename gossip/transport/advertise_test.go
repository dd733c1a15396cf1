package transport

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

func TestChoose(t *testing.T) {
	a := func(s string, marks ...string) candidate {
		c := candidate{addr: netip.MustParseAddr(s)}
		for _, m := range marks {
			c.preferred = c.preferred || m == "preferred"
			c.bridge = c.bridge || m == "bridge"
		}
		return c
	}
	for _, c := range []struct {
		name string
		list []candidate
		want string
	}{
		{"private before global", []candidate{a("203.0.113.5"), a("10.0.0.5"), a("127.0.0.1")}, "10.0.0.5"},
		{"private before the default route's global", []candidate{a("203.0.113.5", "preferred"), a("10.0.0.5")}, "10.0.0.5"},
		{"the default route's among private", []candidate{a("10.0.0.5"), a("192.168.1.5", "preferred")}, "192.168.1.5"},
		{"global before a container bridge", []candidate{a("172.17.0.1", "bridge"), a("203.0.113.5")}, "203.0.113.5"},
		{"a bridge that is the way out", []candidate{a("192.168.1.5", "bridge", "preferred"), a("203.0.113.5")}, "192.168.1.5"},
		{"a bridge before loopback", []candidate{a("127.0.0.1"), a("172.17.0.1", "bridge")}, "172.17.0.1"},
		{"ULA before global", []candidate{a("2001:db8::1"), a("fd00::1")}, "fd00::1"},
		{"IPv4 before IPv6 among equals", []candidate{a("fd00::1"), a("10.0.0.5")}, "10.0.0.5"},
		{"the first among equals", []candidate{a("10.0.0.5"), a("10.0.0.6")}, "10.0.0.5"},
		{"loopback when there is nothing else", []candidate{a("fe80::1"), a("::1")}, "::1"},
		{"nothing", []candidate{a("fe80::1"), a("169.254.1.1"), a("::"), a("0.0.0.0"), a("224.0.0.1")}, "invalid IP"},
	} {
		if got := choose(c.list).String(); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

func TestFinalAdvertiseAddr(t *testing.T) {
	tr := open(t, Config{Bind: "127.0.0.5", Logger: zerolog.Nop()})
	for _, c := range []struct {
		ip   string
		port int
		want string // address and port, or part of the error
	}{
		{"", 7946, at(tr, "127.0.0.5")}, // 7946 is the engine's default, not where this one listens
		{"192.0.2.1", 0, at(tr, "192.0.2.1")},
		{"192.0.2.1", 99, "192.0.2.1:99"},
		{"::ffff:192.0.2.1", 99, "192.0.2.1:99"},
		{"2001:db8::1", 99, "[2001:db8::1]:99"},
		{"0.0.0.0", 99, "wildcard"},
		{"::", 99, "wildcard"},
		{"localhost", 99, "not an IP address"},
		{"192.0.2.1", 65536, "not between 0 and 65535"},
	} {
		ip, port, err := tr.FinalAdvertiseAddr(c.ip, c.port)
		got := (&net.TCPAddr{IP: ip, Port: port}).String()
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && got != c.want {
			t.Errorf("%q port %d: %s, error %v; want %s", c.ip, c.port, got, err, c.want)
		}
	}
}

func TestWildcardIsNeverAdvertised(t *testing.T) {
	for _, bind := range []string{"", "0.0.0.0", "::"} {
		if bind == "::" {
			needIPv6(t)
		}
		tr, err := New(Config{Bind: bind, Logger: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		ip, port, err := tr.FinalAdvertiseAddr("", 0)
		if err != nil || ip.IsUnspecified() || len(ip) == 0 || port != tr.Port() || bind != "::" && len(ip) != 4 {
			t.Errorf("bound to %q it advertises %v port %d, error %v", bind, ip, port, err)
		}
		if err := tr.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}

func TestBindToInterface(t *testing.T) {
	ifaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, iface := range ifaces {
		if iface.Flags&net.FlagLoopback == 0 {
			continue
		}
		tr := open(t, Config{Bind: iface.Name, Logger: zerolog.Nop()})
		if ip, _, err := tr.FinalAdvertiseAddr("", 0); err != nil || !ip.IsLoopback() {
			t.Errorf("bound to %s it advertises %v, error %v", iface.Name, ip, err)
		}
		_, err := New(Config{Bind: "nosuch0"})
		if err == nil || !strings.Contains(err.Error(), iface.Name) || !strings.Contains(err.Error(), `"nosuch0"`) {
			t.Errorf("the error does not name the interfaces there are: %v", err)
		}
	}
}

func TestNewErrors(t *testing.T) {
	first := open(t, Config{Logger: zerolog.Nop()})
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, c := range []struct {
		name string
		cfg  Config
		is   error
		want []string
	}{
		{"TCP in use", Config{Bind: "127.0.0.1", Port: first.Port()}, syscall.EADDRINUSE, []string{"TCP " + at(first, "127.0.0.1"), "in use by another process"}},
		{"UDP in use", Config{Bind: "127.0.0.3", Port: udp.LocalAddr().(*net.UDPAddr).Port}, syscall.EADDRINUSE, []string{"UDP " + udp.LocalAddr().String(), "in use by another process"}},
		{"not ours", Config{Bind: "192.0.2.1"}, syscall.EADDRNOTAVAIL, []string{"no interface of this machine has that address"}},
		{"port", Config{Port: 70000}, nil, []string{"port 70000"}},
		{"all at once", Config{MaxStreams: -1, Label: strings.Repeat("x", 256)}, nil, []string{"MaxStreams is -1", "label has 256 bytes"}},
	} {
		tr, err := New(c.cfg)
		if err == nil {
			tr.Shutdown()
			t.Errorf("%s: no error", c.name)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v is not %v", c.name, err, c.is)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", c.name, want, err)
			}
		}
	}
}
