package membership

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// digestOf is the digest counted anew from what a view shows.
func digestOf(v *View) (d Digest) {
	for m := range v.All() {
		if m.State == Alive || m.State == Suspect || m.Probation {
			d.Held++
			d.Sum += (&fact{name: m.Name, addr: m.Addr, tags: m.Tags}).print()
		}
	}
	return d
}

// The running digest is always what counting anew gives, whatever came in and in whatever order.
func TestDigestAgainstRecount(t *testing.T) {
	for _, verdicts := range []*Verdicts{nil, {Witnesses: 3, Quorum: 2}} {
		rapid.Check(t, func(t *rapid.T) {
			cfg := drawConfig(t)
			cfg.Verdicts = verdicts
			core, now := newCore(t, cfg), epoch
			core.Step(now, Joined{Name: "n0", Addr: netip.MustParseAddrPort("10.0.0.1:7946")}) // the engine tells of this node first
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "quarters of seconds")) * time.Second / 4)
				in := drawInput(t)
				tags := map[string]string{"v": fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "tag"))}
				switch with := in.(type) {
				case Joined:
					with.Tags = tags
					in = with
				case Updated:
					with.Tags = tags
					in = with
				}
				core.Step(now, in)
				if got, want := core.Digest(), digestOf(core.View(now)); got != want {
					t.Fatalf("after %T%+v the digest is %+v, counting anew gives %+v", in, in, got, want)
				}
			}
		})
	}
}

func digestCore(t *testing.T, inputs ...Input) *Core {
	t.Helper()
	core, err := New(Config{Self: "n0"}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range inputs {
		core.Step(epoch, in)
	}
	return core
}

func TestDigest(t *testing.T) {
	addr := netip.MustParseAddrPort
	n0 := Joined{Name: "n0", Addr: addr("10.0.0.1:7946"), Incarnation: 1}
	n1 := Joined{Name: "n1", Addr: addr("10.0.0.2:7946"), Incarnation: 1, Tags: map[string]string{"a": "b", "c": "d"}}
	both := digestCore(t, n0, n1).Digest()
	for name, inputs := range map[string][]Input{
		"in another order":                       {n1, n0},
		"with a detour":                          {n1, Updated{Name: "n1", Addr: addr("10.0.0.9:7946")}, n0, Updated(n1)},
		"suspected":                              {n0, n1, Accused{Subject: "n1", Incarnation: 1, Accuser: "n2"}},
		"refuted":                                {n0, n1, Refuted{Subject: "n1", Incarnation: 7}},
		"failed and back":                        {n0, n1, EngineFailed{Name: "n1", Incarnation: 1}, Joined{Name: "n1", Addr: n1.Addr, Tags: n1.Tags, Incarnation: 2}},
		"with a member that left":                {n0, n1, Joined{Name: "n2", Addr: n1.Addr}, EngineLeft{Name: "n2"}},
		"by an address that is mapped into IPv6": {n0, Joined{Name: "n1", Addr: addr("[::ffff:10.0.0.2]:7946"), Tags: n1.Tags}},
	} {
		if got := digestCore(t, inputs...).Digest(); got != both {
			t.Errorf("%s: %+v, want %+v", name, got, both)
		}
	}
	seen := map[uint64]string{}
	for name, in := range map[string]Joined{
		"another name":    {Name: "n2", Addr: n1.Addr, Tags: n1.Tags},
		"another address": {Name: "n1", Addr: addr("10.0.0.3:7946"), Tags: n1.Tags},
		"another port":    {Name: "n1", Addr: addr("10.0.0.2:7947"), Tags: n1.Tags},
		"no tags":         {Name: "n1", Addr: n1.Addr},
		"another value":   {Name: "n1", Addr: n1.Addr, Tags: map[string]string{"a": "x", "c": "d"}},
		"a moved border":  {Name: "n1", Addr: n1.Addr, Tags: map[string]string{"a": "bc", "": "d"}},
	} {
		d := digestCore(t, n0, in).Digest()
		if other, twice := seen[d.Sum]; twice || d.Sum == both.Sum || d.Held != 2 {
			t.Errorf("%s: %+v, as %s", name, d, other)
		}
		seen[d.Sum] = name
	}
}

// Nodes of all versions in a cluster compare digests, so what one is must never change.
func TestDigestIsTheProtocol(t *testing.T) {
	core := digestCore(t,
		Joined{Name: "n0", Addr: netip.MustParseAddrPort("10.0.0.1:7946"), Tags: map[string]string{"role": "db", "az": "1"}},
		Joined{Name: "n1", Addr: netip.MustParseAddrPort("[2001:db8::1]:17946")})
	if got, want := core.Digest(), (Digest{Sum: 0x245d2e6f30580d2b, Held: 2}); got != want {
		t.Errorf("the digest is %#x of %d, want %#x", got.Sum, got.Held, want.Sum)
	}
}
