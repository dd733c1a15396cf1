package scenario

import (
	"math/rand/v2"
	"slices"
)

// everyone is the eligibility for faults of the network, which strike stopped nodes' links as well.
func everyone(int) bool { return true }

// partition fills in which nodes a partition separates.
func (r *resolver) partition(f *Fault, p *Partition, drawFor func(int) *rand.Rand) {
	n := len(r.plan.Nodes)
	order := drawFor(0).Perm(n)
	f.Kind, f.Only, f.Link = PartitionFault, p.Only, Link{Cut: true}
	switch p.Shape {
	case Halves:
		f.Parts = split(order, n/2)
	case MajorityShape, MinorityShape:
		f.Parts = split(order, (n-1)/2)
	case MinorityThird:
		f.Parts = split(order, (n-1)/3)
	case Isolate:
		targets := p.Nodes
		if targets.IsZero() {
			targets = Targets{Pick: PickOne}
		}
		for _, node := range r.pick(targets, drawFor(0), everyone) {
			f.Parts = append(f.Parts, []int{node})
		}
		f.addRest(n)
	case Bridge:
		if f.Via = p.Via.fixed(n); len(f.Via) == 0 {
			f.Via = order[:1]
			f.Parts = split(order[1:], (n-1)/2)
			break
		}
		f.addGroups(n, p.Groups)
	case GroupsShape:
		f.addGroups(n, p.Groups)
		f.addRest(n)
	case MajoritiesRing:
		f.Parts = [][]int{order}
		f.Ring = ringReach(n)
		f.strikes = apartOnRing(order, f.Ring)
		return
	}
	f.strikes = apart(n, f.Parts)
}

// addGroups adds the given groups as parts.
func (f *Fault) addGroups(n int, groups []Targets) {
	for _, group := range groups {
		f.Parts = append(f.Parts, group.fixed(n))
	}
}

// addRest adds the nodes that are in no part yet, if any, as one more.
func (f *Fault) addRest(n int) {
	taken := make([]bool, n)
	for _, i := range slices.Concat(f.Parts...) {
		taken[i] = true
	}
	var rest []int
	for i := range n {
		if !taken[i] {
			rest = append(rest, i)
		}
	}
	if len(rest) > 0 {
		f.Parts = append(f.Parts, rest)
	}
}

// split cuts nodes into the first k of them and the others, each sorted.
func split(nodes []int, k int) [][]int {
	parts := [][]int{slices.Clone(nodes[:k]), slices.Clone(nodes[k:])}
	for _, part := range parts {
		slices.Sort(part)
	}
	return parts
}

// apart returns which links a partition cuts: those between different parts. Nodes in no part see all.
func apart(n int, parts [][]int) func(from, to int) bool {
	number := make([]int, n)
	for i, part := range parts {
		for _, node := range part {
			number[node] = i + 1
		}
	}
	return func(from, to int) bool {
		return number[from] != number[to] && number[from] != 0 && number[to] != 0
	}
}

// ringReach returns how far along a ring of n nodes each has to see, to either side, so that with itself it
// sees a majority. From 4 nodes on that leaves somebody out, so all those majorities differ.
func ringReach(n int) int { return (n/2 + 1) / 2 }

// apartOnRing returns which links a majorities-ring cuts: those between nodes farther apart than reach.
func apartOnRing(ring []int, reach int) func(from, to int) bool {
	place := make([]int, len(ring))
	for i, node := range ring {
		place[node] = i
	}
	return func(from, to int) bool {
		d := place[from] - place[to]
		d = max(d, -d)
		return min(d, len(ring)-d) > reach
	}
}

// link fills in which links a link fault strikes.
func (r *resolver) link(f *Fault, l *LinkFault, drawFor func(int) *rand.Rand) {
	n := len(r.plan.Nodes)
	f.Kind, f.Only, f.Both = LinkWorse, l.Only, l.Both
	f.Link = Link{
		Cut: l.Cut || l.Loss == 1, Loss: float64(l.Loss), Delay: l.Delay, Jitter: l.Jitter,
		Duplicate: float64(l.Duplicate), Reorder: float64(l.Reorder), Rate: l.Rate,
	}
	f.From = r.pick(l.From, drawFor(0), everyone)
	from := member(n, f.From)
	// When both ends are left to the seed and there is nobody outside From, all may be picked as receivers.
	eligible := func(i int) bool { return !from[i] }
	if len(f.From) == n {
		eligible = everyone
	}
	if l.To.Pick == PickAll {
		eligible = everyone
	}
	f.To = r.pick(l.To, drawFor(1), eligible)
	to := member(n, f.To)
	f.strikes = func(i, j int) bool {
		return from[i] && to[j] || l.Both && from[j] && to[i]
	}
}

// member returns the set of some of n nodes for quick look-up.
func member(n int, nodes []int) []bool {
	set := make([]bool, n)
	for _, i := range nodes {
		set[i] = true
	}
	return set
}
