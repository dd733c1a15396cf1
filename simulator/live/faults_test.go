package live

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/scenario"
)

// inEffect writes what a cluster's kernels are doing, a line a node.
func inEffect(byNode []map[string]kernelfault.Fault) string {
	var b strings.Builder
	for i, byID := range byNode {
		var all []string
		for _, f := range byID {
			all = append(all, describe(f))
		}
		slices.Sort(all)
		if len(all) > 0 {
			fmt.Fprintf(&b, "n%d: %s\n", i+1, strings.Join(all, ", "))
		}
	}
	return b.String()
}

// What a scenario's links are like becomes, at each node, what its kernel does to
// what arrives.
func TestTruthBecomesFaults(t *testing.T) {
	const three = "cluster: {nodes: 3}\n"
	for name, test := range map[string]struct{ scenario, want string }{
		"a perfect network": {three, ""},
		"the network's own": {
			three + "network: {latency: 2ms, jitter: 1ms, loss: 1%, reorder: 2%, rate: 8mbit}",
			"n1: n2+n3 loss 0.01 delay 2ms jitter 1ms reorder 0.02 rate 8000000\n" +
				"n2: n1+n3 loss 0.01 delay 2ms jitter 1ms reorder 0.02 rate 8000000\n" +
				"n3: n1+n2 loss 0.01 delay 2ms jitter 1ms reorder 0.02 rate 8000000\n",
		},
		"duplicates are the sender's": {
			three + "timeline: [{at: 1s, for: 9s, link: {from: n1, to: [n2, n3], duplicate: 10%}}]",
			"n1: n2+n3 udp duplicate 0.1\n",
		},
		"a cut of one protocol, one way": {
			three + "timeline: [{at: 1s, for: 9s, link: {from: n1, to: n2, cut: true, only: udp}}]",
			"n2: n1 udp cut\n",
		},
		"one protocol worse than the other": {
			three + "network: {latency: 5ms, reorder: 10%}\n" +
				"timeline: [{at: 1s, for: 9s, link: {from: n1, to: n2, loss: 50%, only: tcp}}]",
			"n1: n2+n3 delay 5ms reorder 0.1\n" +
				"n2: n1 tcp loss 0.5 delay 5ms, n1 udp delay 5ms reorder 0.1, n3 delay 5ms reorder 0.1\n" +
				"n3: n1+n2 delay 5ms reorder 0.1\n",
		},
		"both ways, on top of the network's": {
			three + "network: {latency: 5ms, loss: 10%}\n" +
				"timeline: [{at: 1s, for: 9s, link: {from: n1, to: n3, both: true, delay: 40ms, jitter: 10ms, loss: 20%, rate: 1mbit}}]",
			"n1: n2 loss 0.1 delay 5ms, n3 loss 0.28 delay 45ms jitter 10ms rate 1000000\n" +
				"n2: n1+n3 loss 0.1 delay 5ms\n" +
				"n3: n1 loss 0.28 delay 45ms jitter 10ms rate 1000000, n2 loss 0.1 delay 5ms\n",
		},
		"all lost is cut": {
			three + "timeline: [{at: 1s, for: 9s, link: {from: n1, to: n2, loss: 100%}}]",
			"n2: n1 cut\n",
		},
		"a partition": {
			"cluster: {nodes: 5}\ntimeline: [{at: 1s, for: 9s, partition: {shape: bridge, groups: [[n1, n2], [n4, n5]], via: n3}}]",
			"n1: n4+n5 cut\nn2: n4+n5 cut\nn4: n1+n2 cut\nn5: n1+n2 cut\n",
		},
		"a partition of one protocol in a lossy network": {
			three + "network: {loss: 1%}\ntimeline: [{at: 1s, for: 9s, partition: {shape: isolate, nodes: n1, only: tcp}}]",
			"n1: n2+n3 tcp cut, n2+n3 udp loss 0.01\n" +
				"n2: n1 tcp cut, n1 udp loss 0.01, n3 loss 0.01\n" +
				"n3: n1 tcp cut, n1 udp loss 0.01, n2 loss 0.01\n",
		},
		"a stall, on top of the link's own": {
			three + "network: {latency: 1ms}\ntimeline: [{at: 1s, for: 9s, stall: {nodes: n2, late: 500ms..2.5s}}]",
			"n1: n2+n3 delay 1ms\nn2: n1+n3 delay 1.5s jitter 1s, n1+n3 delay 1ms\nn3: n1+n2 delay 1ms\n",
		},
		"a pause is the process's": {
			three + "timeline: [{at: 1s, for: 9s, pause: {nodes: n2}}]",
			"",
		},
		"two faults on one link": {
			three + "timeline: [{at: 1s, for: 9s, link: {from: n1, to: n2, loss: 50%}}, {at: 1s, for: 9s, link: {from: all, to: n2, loss: 50%}}]",
			"n2: n1 loss 0.75, n3 loss 0.5\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, plan, c := parse(t, test.scenario)
			truth := scenario.NewTruth(plan)
			for _, a := range plan.Actions {
				if a.Verb == scenario.On {
					truth.Apply(a)
				}
			}
			f := newFaults(c, len(plan.Nodes))
			if diff := cmp.Diff(test.want, inEffect(f.wanted(truth))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Only what differs is sent, with the time to live that it needs.
func TestOnlyDifferencesAreSent(t *testing.T) {
	const text = `
cluster: {nodes: 3}
network: {loss: 1%}
duration: 60s
timeline:
  - {at: 1s, for: 5s, flap: {down: 1s, up: 1s}, link: {from: n1, to: n2, cut: true}}
  - {at: 3500ms, for: 30s, link: {from: n3, to: n2, cut: true}}
  - {at: 10s, for: 30s, pause: {nodes: n1}}
  - {at: 12s, for: 30s, stall: {nodes: n3, late: 1s..1s}}
  - {at: 20s, kill: {nodes: n3}}
`
	_, plan, c := parse(t, text)
	p := &play{plan: plan, cluster: c, truth: scenario.NewTruth(plan), faults: newFaults(c, 3), time0: time.Now()}
	apply := func(next int) {
		t.Helper()
		if _, err := p.faults.apply(t.Context(), p.truth, p.time0.Add(p.plan.End+baseGrace), p.faultsEnd(next)); err != nil {
			t.Fatal(err)
		}
	}
	apply(0)
	var got []string
	for i, a := range plan.Actions {
		c.calls = nil
		p.truth.Apply(a)
		apply(i + 1)
		slices.Sort(c.calls)
		got = append(got, fmt.Sprintf("%v: %s", a.At, strings.Join(c.calls, "; ")))
	}
	want := []string{
		"1s: change n2: n1 cut, n3 loss 0.01",
		"2s: change n2: n1+n3 loss 0.01, drop link",
		"3s: change n2: n1 cut, n3 loss 0.01",
		"3.5s: change n2: n1+n3 cut, drop link",
		"4s: change n2: n3 cut, n1 loss 0.01",
		"5s: change n2: n1+n3 cut, drop link",
		"6s: change n2: n3 cut, n1 loss 0.01",
		"10s: ",
		"12s: change n2: n3 cut; change n3: n1+n2 delay 1s", // the cut is to last longer in case that we die
		"20s: change n3: drop late",
		"33.5s: change n2: n1+n3 loss 0.01, drop link",
		"40s: ",
		"42s: ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTimeToLive(t *testing.T) {
	const text = `
cluster: {nodes: 2}
network: {loss: 1%}
duration: 60s
timeline:
  - {at: 1s, for: 8s, flap: {down: 1s, up: 3s}, link: {from: n1, to: n2, cut: true}}
  - {at: 1500ms, for: 20s, link: {from: n1, to: n2, cut: true}}
`
	_, plan, c := parse(t, text)
	p := &play{plan: plan, cluster: c, truth: scenario.NewTruth(plan), faults: newFaults(c, 2), time0: time.Now()}
	var got []string
	for next := range len(plan.Actions) + 1 {
		got = append(got, p.faultsEnd(next).Sub(p.time0).String())
	}
	// On at 1s; two are on from 1.5s; one from 2s; the flap again at 5s and 6s; all over at 21.5s.
	want := []string{"2s", "4s", "23.5s", "23.5s", "23.5s", "23.5s", "23.5s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the ends (-want +got):\n%s", diff)
	}

	f := p.faults
	if _, err := f.apply(t.Context(), p.truth, p.time0.Add(70*time.Second), time.Time{}); err != nil {
		t.Fatal(err)
	}
	p.truth.Apply(plan.Actions[0])
	put, drop := f.differ(1, f.wanted(p.truth)[1], p.time0.Add(70*time.Second), p.time0.Add(4*time.Second))
	if len(put) != 1 || len(drop) != 1 || put[0].TTL > 4*time.Second || put[0].TTL < 2*time.Second {
		t.Errorf("a cut of 1s from 1s on: put %+v, drop %v", put, drop)
	}
	put, drop = f.differ(1, f.wanted(p.truth)[1], p.time0.Add(70*time.Second), p.time0.Add(23*time.Second))
	if len(put) != 1 || len(drop) != 0 || put[0].TTL < 20*time.Second {
		t.Errorf("the cut is to last longer: put %+v, drop %v", put, drop)
	}
	put, drop = f.differ(0, f.wanted(p.truth)[0], p.time0.Add(70*time.Second), p.time0.Add(23*time.Second))
	if len(put)+len(drop) != 0 {
		t.Errorf("nothing is new for n1: put %+v, drop %v", put, drop)
	}
}

// Names must be such as kernelfault takes, and differ where effects differ.
func TestFaultIDs(t *testing.T) {
	ids := map[string]bool{}
	for _, only := range []kernelfault.Protocol{"", kernelfault.UDP, kernelfault.TCP} {
		for _, e := range []kernelfault.Effect{{Cut: true}, {Loss: 0.1}, {Duplicate: 0.1}, {Delay: 1}, {Delay: 1, Jitter: 1}, {Delay: 1, Reorder: 0.1}, {Rate: 1}} {
			id := faultID("double", only, e)
			if ids[id] || len(id) > 32 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("%q of %s %+v", id, only, e)
			}
			ids[id] = true
		}
	}
}

func TestNeeds(t *testing.T) {
	_, plan, _ := parse(t, `
cluster: {nodes: 4}
network: {loss: 1%}
timeline:
  - {at: 1s, for: 5s, link: {from: n1, to: n2, delay: 10ms}}
  - {at: 3s, for: 5s, link: {from: n1, to: n2, duplicate: 10%}}
  - {at: 9s, for: 5s, stall: {nodes: n3, late: 1s..2s}}
  - {at: 9s, for: 5s, partition: {shape: halves}}
`)
	kinds := map[string]bool{}
	for _, f := range Needs(plan) {
		_, what, _ := strings.Cut(describe(f), " ")
		kinds[what] = true
	}
	want := []string{"cut", "delay 1.5s jitter 500ms", "loss 0.01", "loss 0.01 delay 10ms", "udp duplicate 0.1"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(kinds))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
