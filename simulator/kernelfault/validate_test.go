package kernelfault

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func valid() Fault {
	return Fault{ID: "a-1", Peers: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Effect: Effect{Cut: true}, TTL: time.Second}
}

func TestValidate(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name   string
		change func(f *Fault)
		want   []string // none when it is valid
	}{
		{"cut", func(*Fault) {}, nil},
		{"all at once", func(f *Fault) {
			f.Effect = Effect{Cut: true, Loss: 1, Duplicate: 1, Delay: MaxDelay, Jitter: MaxDelay, Reorder: 1, Rate: math.MaxInt64}
			f.TTL, f.Only, f.ID = MaxTTL, UDP, strings.Repeat("a", 32)
		}, nil},
		{"IPv6", func(f *Fault) { f.Peers = []netip.Addr{addr("fd00::1"), addr("fd00::2")} }, nil},
		{"IPv4 in IPv6", func(f *Fault) { f.Peers = append(f.Peers, addr("::ffff:10.0.0.2")) }, nil},
		{"no ID", func(f *Fault) { f.ID = "" }, []string{"1 to 32"}},
		{"bad ID", func(f *Fault) { f.ID = "A b" }, []string{`"A b"`}},
		{"long ID", func(f *Fault) { f.ID = strings.Repeat("a", 33) }, []string{"1 to 32"}},
		{"no peers", func(f *Fault) { f.Peers = nil }, []string{"at least one address"}},
		{"no address", func(f *Fault) { f.Peers = []netip.Addr{{}} }, []string{"without an address"}},
		{"too many", func(f *Fault) { f.Peers = make([]netip.Addr, MaxPeers+1) }, []string{"at most 2048"}},
		{"twice", func(f *Fault) { f.Peers = append(f.Peers, addr("::ffff:10.0.0.1")) }, []string{"twice"}},
		{"two families", func(f *Fault) { f.Peers = append(f.Peers, addr("fd00::1")) }, []string{"both IPv4 and IPv6"}},
		{"zone", func(f *Fault) { f.Peers = []netip.Addr{addr("fe80::1%eth0")} }, []string{"zone"}},
		{"loopback", func(f *Fault) { f.Peers = []netip.Addr{addr("127.0.0.1")} }, []string{"no other machine"}},
		{"any", func(f *Fault) { f.Peers = []netip.Addr{addr("::")} }, []string{"no other machine"}},
		{"multicast", func(f *Fault) { f.Peers = []netip.Addr{addr("224.0.0.1")} }, []string{"no other machine"}},
		{"protocol", func(f *Fault) { f.Only = "icmp" }, []string{`"icmp"`}},
		{"no TTL", func(f *Fault) { f.TTL = 0 }, []string{"time to live is 0s"}},
		{"long TTL", func(f *Fault) { f.TTL = MaxTTL + 1 }, []string{"at most 168h"}},
		{"no effect", func(f *Fault) { f.Effect = Effect{} }, []string{"no effect"}},
		{"loss", func(f *Fault) { f.Effect.Loss = 1.1 }, []string{"loss 1.1"}},
		{"loss that is no number", func(f *Fault) { f.Effect.Loss = math.NaN() }, []string{"loss NaN"}},
		{"negative", func(f *Fault) { f.Effect = Effect{Duplicate: -1, Reorder: -1, Delay: -1, Rate: -1} },
			[]string{"duplicate -1", "reorder -1", "delay is -1ns", "rate is -1"}},
		{"long delay", func(f *Fault) { f.Effect.Delay = time.Hour }, []string{"from 0 to 1m0s"}},
		{"jitter", func(f *Fault) { f.Effect.Delay, f.Effect.Jitter = 1, 2 }, []string{"jitter is 2ns"}},
		{"reorder without delay", func(f *Fault) { f.Effect.Reorder = 0.5 }, []string{"needs a delay"}},
		{"reorder of TCP", func(f *Fault) { f.Only, f.Effect.Reorder, f.Effect.Delay = TCP, 0.5, 1 }, []string{"concern UDP"}},
		{"several", func(f *Fault) { f.TTL, f.Peers, f.Effect.Loss = 0, nil, 2 }, []string{"time to live", "no peers", "loss 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := valid()
			c.change(&f)
			err := f.Validate()
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in the error: %v", want, err)
				}
			}
		})
	}
}

// longest is the fault with the longest comment.
func longest() Fault {
	return Fault{ID: strings.Repeat("x", 32), Only: UDP, Effect: Effect{
		Cut: true, Loss: 1.2345678901234567e-105, Duplicate: 1.2345678901234567e-105, Delay: MaxDelay - 1, Jitter: MaxDelay - 1,
		Reorder: 1.2345678901234567e-105, Rate: math.MaxInt64,
	}}
}

// TestComment checks the bound that the kernel sets: 256 bytes of user data,
// of which 6 are the byte order's and 3 frame the comment.
func TestComment(t *testing.T) {
	for _, f := range []Fault{valid(), longest()} {
		f.Peers, f.TTL = nil, 0
		s := f.comment()
		if len(s) > 256-6-3 {
			t.Errorf("a comment of %d bytes: %s", len(s), s)
		}
		if got, err := parseComment(s); err != nil || fmt.Sprint(got) != fmt.Sprint(f) {
			t.Errorf("%q is read as %+v, %v; want %+v", s, got, err, f)
		}
	}
	for _, bad := range []string{"", "id", "id=A", "id=a loss=x", "id=a what=1", "loss=0.5", "id=a delay=1s"} {
		if f, err := parseComment(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, f)
		}
	}
}

func FuzzComment(f *testing.F) {
	f.Add(longest().comment())
	f.Add("id=a cut=1")
	f.Fuzz(func(t *testing.T, s string) {
		fault, err := parseComment(s)
		if err != nil {
			return
		}
		if fault.ID == "" {
			t.Errorf("%q has no ID", s)
		}
	})
}
