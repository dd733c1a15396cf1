package membership

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// fact is what is known of one member. It is never changed once it is in the table:
// views share it. Its times count from the core's epoch, because a process may hold a
// thousand tables of a thousand members and a time.Time takes three times the room.
type fact struct {
	name      string
	addr      netip.AddrPort
	tags      map[string]string // never written to
	since     time.Duration
	firstSeen time.Duration
	inc       uint32
	state     State // 0 for a name that is remembered only because it was pruned
	forcedOut bool
	probation bool
	local     bool
}

func (f *fact) claim() Claim { return Claim{f.inc, f.state} }

func (f *fact) member(epoch time.Time) Member {
	return Member{
		Name:        f.name,
		Addr:        f.addr,
		Tags:        maps.Clone(f.tags),
		State:       f.state,
		Incarnation: f.inc,
		Since:       epoch.Add(f.since),
		FirstSeen:   epoch.Add(f.firstSeen),
		ForcedOut:   f.forcedOut,
		Probation:   f.probation,
		Local:       f.local,
	}
}

// View is what one node knew of the members at one moment: an immutable snapshot,
// sorted by name, safe to keep and to share between goroutines.
type View struct {
	version   uint64
	at        time.Time
	epoch     time.Time
	self      *fact
	condition Condition
	counts    [Left + 1]int
	facts     []*fact
}

// Version grows with every visible change: two views of one core with the same version
// hold the same members in the same states.
func (v *View) Version() uint64 { return v.version }

// At returns when the view was taken.
func (v *View) At() time.Time { return v.at }

// Self returns this node as it knows itself. Until its own [Joined] it has no address
// and is not among the members.
func (v *View) Self() Member { return v.self.member(v.epoch) }

// Condition returns how this node itself was doing.
func (v *View) Condition() Condition { return v.condition }

// Len returns the number of members in all states, this node included.
func (v *View) Len() int { return len(v.facts) }

// Members returns a copy of all members, sorted by name.
func (v *View) Members() []Member {
	members := make([]Member, len(v.facts))
	for i, f := range v.facts {
		members[i] = f.member(v.epoch)
	}
	return members
}

// All yields a copy of one member after the other, sorted by name.
func (v *View) All() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for _, f := range v.facts {
			if !yield(f.member(v.epoch)) {
				return
			}
		}
	}
}

// Member returns a copy of the member with that name, in O(log n).
func (v *View) Member(name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(v.facts, name, func(f *fact, name string) int {
		return strings.Compare(f.name, name)
	})
	if !ok {
		return Member{}, false
	}
	return v.facts[i].member(v.epoch), true
}

// Count returns how many members are in state s, in O(1).
func (v *View) Count(s State) int {
	if s == 0 || int(s) >= len(v.counts) {
		return 0
	}
	return v.counts[s]
}
