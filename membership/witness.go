package membership

import (
	"net/netip"
	"slices"
)

// Who is a witness follows from names alone, so that no message is needed to choose:
// each member draws a lot for each (subject, incarnation), and the lowest lots win. The
// hash is part of the protocol: nodes that hash otherwise choose other witnesses.

// hashName is FNV-1a with 64 bits, finished by mix.
func hashName(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finisher of SplitMix64: every bit of the input changes half of the output's.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// seedOf is what the lots about one suspicion have in common.
func seedOf(subject *row, inc uint32) uint64 {
	return mix(subject.hash + uint64(inc)*0x9e3779b97f4a7c15)
}

// lot is what m draws.
func lot(seed uint64, m *row) uint64 { return mix(seed ^ m.hash) }

// panel is who may judge a subject, as this node sees the members now.
type panel struct {
	seed      uint64
	available int    // members held alive and not accused, without the subject; this node included
	last      uint64 // the lot of the last witness
	plausible uint64 // the highest lot with which another view may have a member among its witnesses
	quorum    int
	majority  bool // most of the last stable view, and of those held, are not accused
}

// quorumOf is how many testimonies it takes when so many members, one or more, may be witnesses.
func (v *Verdicts) quorumOf(available int) int { return min(v.Quorum, min(v.Witnesses, available)/2+1) }

// panel draws the lots of all members. It costs O(n).
func (c *Core) panel(r *row, inc uint32) panel {
	k := c.cfg.Verdicts.Witnesses
	p := panel{seed: seedOf(r, inc)}
	var lowest [2 * maxWitnesses]uint64 // the 2k lowest lots, ascending
	n, stable := 0, 0
	for _, m := range c.table.rows {
		if m.fact.state != Alive || m == r {
			continue
		}
		p.available++
		if m.stable {
			stable++
		}
		l := lot(p.seed, m)
		if n == 2*k && l > lowest[n-1] {
			continue
		}
		at, _ := slices.BinarySearch(lowest[:n], l)
		n = min(n+1, 2*k)
		copy(lowest[at+1:n], lowest[at:])
		lowest[at] = l
	}
	if n == 0 {
		return p
	}
	k = min(k, n)
	p.last, p.plausible = lowest[k-1], lowest[n-1]
	p.quorum = c.cfg.Verdicts.quorumOf(p.available)
	held := c.table.counts[Alive] + c.table.counts[Suspect]
	// The subject, alive or not, is one of those that must be outnumbered.
	p.majority = 2*stable > c.table.stable && 2*p.available > held
	return p
}

// Target is a member to probe.
type Target struct {
	Name string
	Addr netip.AddrPort
}

// chosen are the witnesses that the panel has, in the order of their names.
func (c *Core) chosen(r *row, p panel) []*row {
	var chosen []*row
	for _, m := range c.table.rows {
		if m.fact.state == Alive && m != r && lot(p.seed, m) <= p.last {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

// controls picks the members that this node probes beside the subject: those that are not
// accused and draw the lowest lots among this node's own, so that witnesses take different ones.
func (c *Core) controls(r *row, inc uint32) []Target {
	return c.drawn(mix(seedOf(r, inc)+c.self.hash), r, c.cfg.Verdicts.Controls)
}

// drawn picks up to that many members beside r and this node, of those that are not accused.
func (c *Core) drawn(seed uint64, r *row, most int) []Target {
	type draw struct {
		lot uint64
		m   *row
	}
	var lowest []draw
	for _, m := range c.table.rows {
		if m.fact.state != Alive || m == r || m == c.self {
			continue
		}
		d := draw{lot(seed, m), m}
		at, _ := slices.BinarySearchFunc(lowest, d, func(a, b draw) int {
			if a.lot < b.lot {
				return -1
			}
			return 1
		})
		if at < most {
			lowest = slices.Insert(lowest, at, d)
			lowest = lowest[:min(len(lowest), most)]
		}
	}
	targets := make([]Target, len(lowest))
	for i, d := range lowest {
		targets[i] = Target{d.m.fact.name, d.m.fact.addr}
	}
	return targets
}
