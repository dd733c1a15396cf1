package live

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/scenario"
)

// Faults end by themselves this long after their planned end: a net for when
// this process is killed.
const (
	baseGrace  = 10 * time.Second
	faultGrace = 2 * time.Second
)

// faults knows what is in effect at each node and brings it in step with the
// truth.
type faults struct {
	cluster Cluster
	base    map[string]bool   // the IDs that belong to the network without faults
	active  []map[string]held // by node and ID
}

// held is a fault in effect.
type held struct {
	peers []netip.Addr
	until time.Time
}

func newFaults(c Cluster, n int) *faults {
	f := &faults{cluster: c, active: make([]map[string]held, n)}
	for i := range f.active {
		f.active[i] = map[string]held{}
	}
	return f
}

// apply changes what differs from the truth, at all nodes at the same time, and
// returns when the last change had taken effect, zero when nothing differed.
// What the network does without faults ends by itself at baseUntil, the rest at
// until. The first call is for the truth without faults.
func (f *faults) apply(ctx context.Context, t *scenario.Truth, baseUntil, until time.Time) (time.Time, error) {
	wanted := f.wanted(t)
	if f.base == nil {
		f.base = map[string]bool{}
		for _, byID := range wanted {
			for id := range byID {
				f.base[id] = true
			}
		}
	}
	return f.change(ctx, wanted, baseUntil, until)
}

// renew sets when what the network does without faults ends by itself.
func (f *faults) renew(ctx context.Context, t *scenario.Truth, baseUntil time.Time) (time.Time, error) {
	for _, active := range f.active {
		for id, h := range active {
			h.until = time.Time{}
			active[id] = h
		}
	}
	return f.change(ctx, f.wanted(t), baseUntil, baseUntil)
}

func (f *faults) change(ctx context.Context, wanted []map[string]kernelfault.Fault, baseUntil, until time.Time) (time.Time, error) {
	var (
		mu   sync.Mutex
		last time.Time
		errs []error
		all  sync.WaitGroup
	)
	for i := range wanted {
		put, drop := f.differ(i, wanted[i], baseUntil, until)
		if len(put)+len(drop) == 0 {
			continue
		}
		all.Go(func() {
			at, err := f.cluster.Change(ctx, i, put, drop)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("change the faults of %s: %w", scenario.NodeName(i), err))
			}
			if at.After(last) {
				last = at
			}
		})
	}
	all.Wait()
	return last, errors.Join(errs...)
}

// nothing is the ID of no fault.
const nothing = "nothing"

// confirm says whether the faults could be changed at all nodes up to now: when
// somebody else has removed what holds them, they ended unnoticed.
func (f *faults) confirm(ctx context.Context) error {
	errs := make([]error, len(f.active))
	var all sync.WaitGroup
	for i := range f.active {
		all.Go(func() {
			if _, err := f.cluster.Change(ctx, i, nil, []string{nothing}); err != nil {
				errs[i] = fmt.Errorf("the faults of %s may have ended before their time: %w", scenario.NodeName(i), err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// differ returns what has to change at a node, and notes it as done.
func (f *faults) differ(node int, wanted map[string]kernelfault.Fault, baseUntil, until time.Time) (put []kernelfault.Fault, drop []string) {
	active := f.active[node]
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		fault, end := wanted[id], until
		if f.base[id] {
			end = baseUntil
		}
		if h, ok := active[id]; ok && slices.Equal(h.peers, fault.Peers) && !h.until.Add(time.Second).Before(end) {
			continue
		}
		fault.TTL = min(max(time.Until(end), faultGrace), kernelfault.MaxTTL)
		active[id] = held{peers: fault.Peers, until: end}
		put = append(put, fault)
	}
	for _, id := range slices.Sorted(maps.Keys(active)) {
		if _, ok := wanted[id]; !ok {
			delete(active, id)
			drop = append(drop, id)
		}
	}
	return put, drop
}

// wanted is what each node's kernel has to do, by node and ID. The TTL is left
// open. Links of the same kind into one node, or doubled out of it, are one
// fault, named after what it does: so a fault that stays keeps its name.
func (f *faults) wanted(t *scenario.Truth) []map[string]kernelfault.Fault {
	n := len(f.active)
	all := make([]map[string]kernelfault.Fault, n)
	for i := range all {
		all[i] = map[string]kernelfault.Fault{}
	}
	add := func(node, peer int, kind string, only kernelfault.Protocol, effect kernelfault.Effect) {
		if effect == (kernelfault.Effect{}) {
			return
		}
		id := faultID(kind, only, effect)
		fault := all[node][id]
		fault.ID, fault.Only, fault.Effect = id, only, effect
		fault.Peers = append(fault.Peers, f.cluster.Address(peer))
		all[node][id] = fault
	}
	for to := range n {
		late := lateness(t.Late(to))
		for from := range n {
			if from == to {
				continue
			}
			udp, tcp := t.Link(from, to, scenario.UDP), t.Link(from, to, scenario.TCP)
			packets, streams := effectOf(udp), effectOf(tcp)
			streams.Reorder = packets.Reorder // which is about packets alone
			if packets == streams {
				add(to, from, "link", "", packets)
			} else {
				streams.Reorder = 0
				add(to, from, "link", kernelfault.UDP, packets)
				add(to, from, "link", kernelfault.TCP, streams)
			}
			if !udp.Cut {
				add(from, to, "double", kernelfault.UDP, kernelfault.Effect{Duplicate: udp.Duplicate})
			}
			add(to, from, "late", "", late)
		}
	}
	return all
}

// effectOf is what a receiver's kernel has to do for a link to be like that;
// duplicates are the sender's.
func effectOf(l scenario.Link) kernelfault.Effect {
	if l.Cut {
		return kernelfault.Effect{Cut: true}
	}
	return kernelfault.Effect{Loss: l.Loss, Delay: l.Delay, Jitter: l.Jitter, Reorder: l.Reorder, Rate: int64(l.Rate)}
}

// lateness is the delay that makes a node read late by that range.
func lateness(r scenario.DurationRange) kernelfault.Effect {
	return kernelfault.Effect{Delay: (r.Min + r.Max) / 2, Jitter: (r.Max - r.Min) / 2}
}

func faultID(kind string, only kernelfault.Protocol, e kernelfault.Effect) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %+v", only, e)
	return fmt.Sprintf("%s-%016x", kind, h.Sum64())
}

// Needs returns every kind of fault that playing a plan takes, each once and
// with one peer, which says nothing; without a TTL.
func Needs(plan *scenario.Plan) []kernelfault.Fault {
	kinds := map[string]kernelfault.Fault{}
	f := newFaults(nowhere{}, len(plan.Nodes))
	t := scenario.NewTruth(plan)
	look := func() {
		for _, byID := range f.wanted(t) {
			for id, fault := range byID {
				fault.Peers = fault.Peers[:1]
				kinds[id] = fault
			}
		}
	}
	look()
	for rest := plan.Actions; len(rest) > 0; {
		group := moment(rest)
		rest = rest[len(group):]
		changed := false
		for _, a := range group {
			t.Apply(a)
			changed = changed || a.Verb == scenario.On && a.Fault.Kind != scenario.PauseFault
		}
		if changed { // only what sets in brings something new
			look()
		}
	}
	return slices.Collect(maps.Values(kinds))
}

// nowhere is a cluster that has addresses alone.
type nowhere struct{ Cluster }

func (nowhere) Address(int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) }
