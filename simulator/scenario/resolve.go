package scenario

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Resolve makes the scenario concrete for one seed. The same scenario and seed always make the same plan, and
// what one step draws does not depend on the steps around it except through which nodes run.
//
// A pick for which there are fewer nodes than wanted (all running ones were killed, say) takes what there is;
// starting a node that runs and stopping one that is stopped are left out.
func (s *Scenario) Resolve(seed uint64) (*Plan, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("resolve the scenario %s: %w", s.Name, err)
	}
	r := newResolver(s, seed)
	r.run()
	return r.plan, nil
}

// resolver plays the timeline through, so that picks can depend on which nodes run.
type resolver struct {
	s     *Scenario
	plan  *Plan
	truth *Truth
	queue eventQueue
	next  int
	idle  []idle
}

// idle is an action left out because it would have no effect.
type idle struct {
	step   int
	reason string
}

func newResolver(s *Scenario, seed uint64) *resolver {
	n := s.Cluster.Nodes
	plan := &Plan{
		Seed:      seed,
		Nodes:     make([]string, n),
		Starts:    make([]time.Duration, n),
		SeedNodes: s.Cluster.Join.Seeds,
		Base: Link{
			Loss: float64(s.Network.Loss), Delay: s.Network.Latency, Jitter: s.Network.Jitter,
			Duplicate: float64(s.Network.Duplicate), Reorder: float64(s.Network.Reorder), Rate: s.Network.Rate,
		},
		End: s.End(),
	}
	draw := generator(seed, -1, 0, 0)
	for i := range n {
		plan.Nodes[i] = NodeName(i)
		if i >= plan.SeedNodes && s.Cluster.Join.Within > 0 {
			plan.Starts[i] = time.Duration(draw.Int64N(int64(s.Cluster.Join.Within) + 1))
		}
	}
	return &resolver{s: s, plan: plan, truth: NewTruth(plan)}
}

// generator returns the source of what one occurrence of one step draws for one purpose.
func generator(seed uint64, step, occurrence, purpose int) *rand.Rand {
	var key [32]byte
	for i, part := range []uint64{seed, uint64(step), uint64(occurrence), uint64(purpose)} {
		binary.LittleEndian.PutUint64(key[8*i:], part)
	}
	return rand.New(rand.NewChaCha8(key))
}

// run makes the actions, and returns those it left out.
func (r *resolver) run() []idle {
	for i := range r.s.Timeline {
		st := &r.s.Timeline[i]
		for k := range st.times() {
			at := st.At + time.Duration(k)*st.Every
			r.push(at, false, func() { r.occur(i, k, at) })
		}
	}
	for r.queue.Len() > 0 {
		heap.Pop(&r.queue).(event).do()
	}
	return r.idle
}

// push plans something. At the same moment, what ends comes before what begins; otherwise the order of
// planning holds, which is that of the file.
func (r *resolver) push(at time.Duration, ends bool, do func()) {
	heap.Push(&r.queue, event{at: at, begins: !ends, seq: r.next, do: do})
	r.next++
}

// act adds an action and carries it out.
func (r *resolver) act(a Action) {
	r.plan.Actions = append(r.plan.Actions, a)
	r.truth.Apply(a)
}

// occur lets one occurrence of a step begin.
func (r *resolver) occur(step, occurrence int, at time.Duration) {
	st := &r.s.Timeline[step]
	drawFor := func(purpose int) *rand.Rand { return generator(r.plan.Seed, step, occurrence, purpose) }
	if nodes, stagger, down, ok := st.change(); ok {
		r.change(st, step, at, r.pick(nodes, drawFor(0), r.changeable(st)), stagger, down)
		return
	}
	f := &Fault{ID: len(r.plan.Faults), Step: step}
	switch {
	case st.Partition != nil:
		r.partition(f, st.Partition, drawFor)
	case st.Link != nil:
		r.link(f, st.Link, drawFor)
	case st.Pause != nil:
		f.Kind, f.Nodes = PauseFault, r.pick(st.Pause.Nodes, drawFor(0), r.truth.Running)
	case st.Stall != nil:
		f.Kind, f.Late = StallFault, st.Stall.Late
		f.Nodes = r.pick(st.Stall.Nodes, drawFor(0), r.truth.Running)
	}
	if (f.Kind == PauseFault || f.Kind == StallFault) && len(f.Nodes) == 0 {
		return
	}
	r.plan.Faults = append(r.plan.Faults, f)
	flap := Flap{Down: st.For}
	if st.Flap != nil {
		flap = *st.Flap
	}
	r.flap(f, at, at+st.For, flap)
}

// flap lets a fault come now, and come and go until the end.
func (r *resolver) flap(f *Fault, at, end time.Duration, flap Flap) {
	r.act(Action{At: at, Step: f.Step, Verb: On, Fault: f})
	off := min(at+flap.Down, end)
	r.push(off, true, func() { r.act(Action{At: off, Step: f.Step, Verb: Off, Fault: f}) })
	if again := off + flap.Up; again < end {
		r.push(again, false, func() { r.flap(f, again, end, flap) })
	}
}

// change stops or starts the nodes one after another.
func (r *resolver) change(st *Step, step int, at time.Duration, nodes []int, stagger, down time.Duration) {
	verb := Start
	switch {
	case st.Kill != nil:
		verb = Kill
	case st.Leave != nil:
		verb = Leave
	case st.Restart != nil && st.Restart.Graceful:
		verb = Leave
	case st.Restart != nil:
		verb = Kill
	}
	for i, node := range nodes {
		when := at + time.Duration(i)*stagger
		do := func() {
			if r.changeNode(step, when, verb, node) && down > 0 {
				r.push(when+down, true, func() { r.changeNode(step, when+down, Start, node) })
			}
		}
		// What happens now happens before another step of the same moment picks its nodes.
		if when == at {
			do()
		} else {
			r.push(when, false, do)
		}
	}
}

// changeNode stops or starts one node, and says whether that had an effect.
func (r *resolver) changeNode(step int, at time.Duration, verb Verb, node int) bool {
	if r.truth.Running(node) == (verb == Start) {
		state := "stopped"
		if verb == Start {
			state = "running"
		}
		r.idle = append(r.idle, idle{step: step, reason: fmt.Sprintf("would %s %s at %s, when it is %s already",
			verb, NodeName(node), formatDuration(at), state)})
		return false
	}
	r.act(Action{At: at, Step: step, Verb: verb, Node: node})
	return true
}

// changeable returns for which nodes the step makes a difference.
func (r *resolver) changeable(st *Step) func(int) bool {
	if st.Start != nil {
		return func(i int) bool { return !r.truth.Running(i) }
	}
	return r.truth.Running
}

// pick returns the nodes meant, as sorted indexes. Those left to the draw come from the eligible ones.
func (r *resolver) pick(t Targets, draw *rand.Rand, eligible func(int) bool) []int {
	n := len(r.plan.Nodes)
	if !t.BySeed() {
		nodes := t.fixed(n)
		if t.Pick == PickAll {
			nodes = slices.DeleteFunc(nodes, func(i int) bool { return !eligible(i) })
		}
		return nodes
	}
	var from []int
	for i := range n {
		if eligible(i) {
			from = append(from, i)
		}
	}
	draw.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	nodes := from[:min(t.Size(n), len(from))]
	slices.Sort(nodes)
	return nodes
}

// event is something planned.
type event struct {
	at     time.Duration
	begins bool
	seq    int
	do     func()
}

// eventQueue is a heap of events by time, endings first, then in the order of planning.
type eventQueue []event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if a.begins != b.begins {
		return b.begins
	}
	return a.seq < b.seq
}

func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }

func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}
