package kernelfault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
)

// randomFault draws a fault that is valid.
func randomFault(r *rand.Rand, id string) Fault {
	f := Fault{ID: id, TTL: time.Hour + time.Duration(r.IntN(1000))*time.Second}
	f.Only = []Protocol{"", UDP, TCP}[r.IntN(3)]
	six := r.IntN(4) == 0
	for i := range 1 + r.IntN(5) {
		a := netip.AddrFrom4([4]byte{10, 1, byte(r.IntN(250)), byte(i)})
		if six {
			a = netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(r.IntN(250)), 15: byte(i)})
		}
		f.Peers = append(f.Peers, a)
	}
	slices.SortFunc(f.Peers, netip.Addr.Compare)
	switch r.IntN(5) {
	case 0:
		f.Effect.Cut = true
	case 1:
		f.Effect.Loss = r.Float64()
	case 2:
		f.Only, f.Effect.Duplicate = UDP, r.Float64()
	case 3:
		f.Effect.Delay, f.Effect.Jitter = 5*ms+time.Duration(r.IntN(1e6)), 3*ms
		f.Effect.Loss = 1
	case 4:
		f.Effect.Rate = 1 + r.Int64N(1e9)
	}
	return f
}

// TestRandomChanges makes many changes and compares the kernel, after each,
// with a model that is a map.
func TestRandomChanges(t *testing.T) {
	h := host{ns: newNamespace(t)}
	table := newTable(t, h)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	model := make(map[string]Fault)
	id := func() string { return fmt.Sprintf("f-%d", r.IntN(12)) }
	for step := range 1000 {
		var put []Fault
		var drop []string
		for range r.IntN(3) {
			drop = append(drop, id())
		}
		given := make(map[string]bool)
		for range r.IntN(3) {
			if f := randomFault(r, id()); !given[f.ID] {
				put, given[f.ID] = append(put, f), true
			}
		}
		if r.IntN(10) == 0 { // a bad one among them: nothing happens
			if err := table.Change(append(put, Fault{ID: "bad"}), drop); err == nil {
				t.Fatal("a bad fault was taken")
			}
			put, drop = nil, nil
		}
		change(t, table, put, drop...)
		for _, d := range drop {
			delete(model, d)
		}
		for _, f := range put {
			model[f.ID] = f
		}
		if step%10 == 9 || step < 50 {
			compare(t, h, table, model)
		}
	}
	change(t, table, nil, slices.Collect(maps.Keys(model))...)
	if left := rules(t, h); len(left) > 0 {
		t.Errorf("after all faults have ended there are %q", left)
	}
}

func compare(t *testing.T, h host, table *Table, model map[string]Fault) {
	t.Helper()
	want := slices.SortedFunc(maps.Values(model), func(a, b Fault) int { return strings.Compare(a.ID, b.ID) })
	owned := list(t, h)
	if len(owned) != 1 || !owned[0].Alive {
		t.Fatalf("listed: %+v", owned)
	}
	for name, active := range map[string][]Active{"List": owned[0].Faults, "Active": table.Active()} {
		var got []Fault
		for _, a := range active {
			if a.Remaining <= 0 || a.Remaining > a.TTL {
				t.Errorf("%s: %s has %v left of %v", name, a.ID, a.Remaining, a.TTL)
			}
			slices.SortFunc(a.Peers, netip.Addr.Compare)
			got = append(got, a.Fault)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Fatalf("%s differs from the model (-want +got):\n%s", name, d)
		}
	}
	if n := len(rules(t, h)); n != len(model) {
		t.Fatalf("%d sets for %d faults", n, len(model))
	}
	wantRules := 0
	for _, f := range model {
		protocols := 1
		if f.Only == "" {
			protocols = 2
		}
		e := f.Effect
		if e.Cut || e.Loss > 0 {
			wantRules += protocols
		}
		if e.shapes() {
			wantRules += protocols
		}
		if e.Duplicate > 0 {
			wantRules++
		}
	}
	if n := countRules(t, h, table); n != wantRules {
		t.Fatalf("%d rules, want %d", n, wantRules)
	}
}

// countRules counts the rules of faults in a table.
func countRules(t *testing.T, h host, table *Table) int {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(int(h.ns)))
	if err != nil {
		t.Fatal(err)
	}
	chains, err := c.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, chain := range chains {
		if chain.Table.Name != table.name || chain.Name == chainIn || chain.Name == chainHold {
			continue
		}
		got, err := c.GetRules(chain.Table, chain)
		if err != nil {
			t.Fatal(err)
		}
		n += len(got)
	}
	return n
}

// TestChangeWhilePacketsFlow has packets flow while a cut comes and goes, and
// looks at when the first is lost.
func TestChangeWhilePacketsFlow(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	ctx, stop := context.WithCancel(t.Context())
	var sender sync.WaitGroup
	sender.Go(func() {
		for ctx.Err() == nil {
			sendStamped(ua, ub, 10, 16, ms/2)
		}
	})
	defer sender.Wait()
	defer stop()
	other := []Fault{{ID: "late", Peers: []netip.Addr{a.addr}, Effect: Effect{Delay: ms}, TTL: time.Minute}}
	cut := []Fault{{ID: "cut", Peers: []netip.Addr{a.addr}, Effect: Effect{Cut: true}, TTL: time.Minute}}
	worst, slowest := time.Duration(0), time.Duration(0)
	for range 20 {
		eventually(t, 5*time.Second, "packets pass", func() bool { return received1(t, ub, 50*ms) })
		begin := time.Now()
		change(t, table, append(cut, other...))
		slowest = max(slowest, time.Since(begin))
		for _, g := range arrivals(t, ub, 50*ms) {
			sent := g.at.Add(-g.took)
			worst = max(worst, sent.Sub(begin))
		}
		change(t, table, nil, "cut")
		change(t, table, nil, "late")
	}
	t.Logf("the last packet that passed was sent at most %v after Change was called; Change took at most %v", worst, slowest)
	if worst > time.Second {
		t.Errorf("a packet sent %v after Change passed", worst)
	}
}

// TestManyPeers fills a table to its bounds.
func TestManyPeers(t *testing.T) {
	h := host{ns: newNamespace(t)}
	table := newTable(t, h)
	var put []Fault
	for i := range MaxFaults {
		put = append(put, Fault{ID: fmt.Sprint(i), Peers: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Effect: Effect{Cut: true, Delay: ms}, TTL: time.Hour})
	}
	for i := range MaxPeers - 1 {
		put[0].Peers = append(put[0].Peers, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))
	}
	change(t, table, put)
	if got := list(t, h)[0].Faults; len(got) != MaxFaults || len(got[0].Peers) != MaxPeers {
		t.Errorf("%d faults are listed, the first with %d peers", len(got), len(got[0].Peers))
	}
	more := put[0]
	more.ID = "one-more"
	if err := table.Change([]Fault{more}, nil); !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "at most 256") {
		t.Errorf("one fault too many: %v", err)
	}
}

func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("namespaces=%d", n), func(b *testing.B) {
			tables := make([]*Table, n)
			for i := range tables {
				tables[i] = newTable(b, host{ns: newNamespace(b)})
			}
			cut := []Fault{{ID: "cut", Effect: Effect{Cut: true}, TTL: time.Hour}}
			for i := range 10 {
				cut[0].Peers = append(cut[0].Peers, netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}))
			}
			for b.Loop() {
				var all sync.WaitGroup
				for _, table := range tables {
					all.Go(func() { change(b, table, cut) })
				}
				all.Wait()
			}
		})
	}
}
