package oracle

import (
	"slices"
	"time"

	"heartbeat/simulator/scenario"
)

// heavyLoss is the share of packets lost from which on a way does not work. At this loss a probe of SWIM's, one
// direct try and three indirect ones, fails more often (62 %) than it succeeds.
const heavyLoss = 0.5

// works says whether a question from a to b and the answer get through, by UDP or by TCP.
func works(truth *scenario.Truth, a, b int) bool {
	for _, p := range []scenario.Protocol{scenario.UDP, scenario.TCP} {
		if good(truth.Link(a, b, p)) && good(truth.Link(b, a, p)) {
			return true
		}
	}
	return false
}

func good(l scenario.Link) bool { return !l.Cut && l.Loss < heavyLoss }

// bits is a set of small numbers.
type bits []uint64

func newBits(n int) bits      { return make(bits, (n+63)/64) }
func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool { return b[i/64]>>(i%64)&1 == 1 }

// graph says which nodes exchange directly while a certain set of faults is on. Nodes that all of these faults
// strike alike form a class: links depend on classes alone, and there are few.
type graph struct {
	faults []*scenario.Fault // of the network, by ID
	class  []int32           // of each node
	direct []bits            // for each class, those that it exchanges with
}

// newGraph looks at the links as they are, which must be those under the given faults.
func newGraph(truth *scenario.Truth, n int, faults []*scenario.Fault) *graph {
	g := &graph{faults: faults, class: make([]int32, n)}
	var first, second []int // members of each class; second is -1 when there is but one
	for _, f := range faults {
		g.split(marks(f, n))
	}
	for node, c := range g.class {
		switch {
		case int(c) == len(first):
			first, second = append(first, node), append(second, -1)
		case second[c] < 0:
			second[c] = node
		}
	}
	g.direct = make([]bits, len(first))
	for i := range first {
		g.direct[i] = newBits(len(first))
	}
	for i, a := range first {
		if b := second[i]; b >= 0 && works(truth, a, b) {
			g.direct[i].set(i)
		}
		for j := i + 1; j < len(first); j++ {
			if works(truth, a, first[j]) {
				g.direct[i].set(j)
				g.direct[j].set(i)
			}
		}
	}
	return g
}

// split divides classes so that members have the same mark. Classes are numbered in the order of their first node.
func (g *graph) split(mark []int) {
	type key struct {
		class int32
		mark  int
	}
	number := map[key]int32{}
	for node := range g.class {
		k := key{g.class[node], mark[node]}
		c, known := number[k]
		if !known {
			c = int32(len(number))
			number[k] = c
		}
		g.class[node] = c
	}
}

// marks gives two nodes the same mark only when the fault strikes them alike.
func marks(f *scenario.Fault, n int) []int {
	mark := make([]int, n)
	if f.Kind == scenario.LinkWorse {
		for _, i := range f.From {
			mark[i] |= 1
		}
		for _, i := range f.To {
			mark[i] |= 2
		}
		return mark
	}
	for number, part := range f.Parts {
		for place, i := range part {
			mark[i] = number + 1
			if f.Ring > 0 {
				mark[i] = place
			}
		}
	}
	return mark
}

// epoch is a span of time in which neither links change nor which nodes run or are paused.
type epoch struct {
	from time.Duration // it lasts until the next one begins
	*graph
	relays  bits  // classes with a member that passes probes on: it runs and is not paused
	running []int // running members of each class
}

// path says whether a probe by a and its answer find a way to b and back: directly, or through one relay.
//
// That a or b may be its own relay makes no difference: then there is a direct way as well.
func (e *epoch) path(a, b int) bool { return e.between(int(e.class[a]), int(e.class[b])) }

func (e *epoch) between(a, b int) bool {
	from, to := e.direct[a], e.direct[b]
	if from.has(b) {
		return true
	}
	for i := range from {
		if from[i]&to[i]&e.relays[i] != 0 {
			return true
		}
	}
	return false
}

// cutOff returns, for each class, whether a running member of it has a path to too few: with itself to fewer
// than half of the nodes that run.
func (e *epoch) cutOff() []bool {
	all := 0
	for _, r := range e.running {
		all += r
	}
	cut := make([]bool, len(e.running))
	for a := range cut {
		reached := 0
		for b, r := range e.running {
			if 2*reached >= all {
				break
			}
			if e.between(a, b) {
				reached += r
			} else if a == b {
				reached++
			}
		}
		cut[a] = 2*reached < all
	}
	return cut
}

// network remembers the epochs of the recent past.
type network struct {
	keep   time.Duration     // for how long
	active []*scenario.Fault // that are on and strike links, by ID
	epochs []*epoch          // the last one is now
}

// toggle notes that a fault sets in or ends.
func (w *network) toggle(f *scenario.Fault, on bool) {
	if f.Kind != scenario.PartitionFault && f.Kind != scenario.LinkWorse {
		return
	}
	w.active = slices.DeleteFunc(slices.Clone(w.active), func(g *scenario.Fault) bool { return g == f })
	if on {
		w.active = append(w.active, f)
		slices.SortFunc(w.active, func(a, b *scenario.Fault) int { return a.ID - b.ID })
	}
}

// begin starts an epoch and returns it. A graph that was there before is used again.
func (w *network) begin(at time.Duration, truth *scenario.Truth, n int) *epoch {
	for len(w.epochs) > 1 && w.epochs[1].from <= at-w.keep {
		w.epochs[0] = nil
		w.epochs = w.epochs[1:]
	}
	e := &epoch{from: at}
	for _, old := range slices.Backward(w.epochs) {
		if slices.Equal(old.faults, w.active) {
			e.graph = old.graph
			break
		}
	}
	if e.graph == nil {
		e.graph = newGraph(truth, n, w.active)
	}
	e.relays, e.running = newBits(len(e.direct)), make([]int, len(e.direct))
	for i, c := range e.class {
		if !truth.Running(i) {
			continue
		}
		e.running[c]++
		if !truth.Frozen(i) {
			e.relays.set(int(c))
		}
	}
	w.epochs = append(w.epochs, e)
	return e
}

// now returns the present epoch.
func (w *network) now() *epoch { return w.epochs[len(w.epochs)-1] }

// broken says whether there was no path between two nodes at some moment from the given one until now. The moment
// must not lie farther back than the network remembers.
func (w *network) broken(a, b int, since time.Duration) bool {
	for _, e := range slices.Backward(w.epochs) {
		if !e.path(a, b) {
			return true
		}
		if e.from <= since {
			break
		}
	}
	return false
}
