package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/membership"
)

var rosterAddr = netip.MustParseAddrPort("10.0.0.1:7946")

func lingerOf(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// An alive message of incarnation 0 gets a name into the engine's table without
// any event, so room must be kept when the name is let in.
func TestRosterBoundsNamesThatNeverJoin(t *testing.T) {
	c := slow("n1")
	c.MaxMembers = 8
	n := start(t, c)
	refused := 0
	for i := range 100 {
		m := &memberlist.Node{Name: fmt.Sprintf("s%d", i), Addr: []byte{127, 0, 0, 1}, Port: 9, PMin: 1, PMax: 5, PCur: 2}
		if (delegate{n}).NotifyAlive(m) != nil {
			refused++
		}
	}
	if want := 100 - (c.MaxMembers - 1); refused != want {
		t.Errorf("%d names were refused, want %d", refused, want)
	}
	if got := n.Stats().IgnoredMembers; got != uint64(refused) {
		t.Errorf("%d names are counted as refused", got)
	}
}

func TestRosterMakesRoomWhenTheEngineHasForgotten(t *testing.T) {
	now := time.Now()
	r := newRoster(2, lingerOf(time.Minute))
	for _, name := range []string{"a", "b"} {
		if !r.admit(name, now) {
			t.Fatalf("%s is refused", name)
		}
		r.joined(name, rosterAddr)
	}
	r.suspect("a", 1)
	if why, _ := r.gone("a", now); why != membership.Failed {
		t.Errorf("a is %v", why)
	}
	if r.admit("c", now.Add(time.Minute)) {
		t.Error("the engine may still hold a")
	}
	if !r.admit("c", now.Add(2*time.Minute)) {
		t.Error("a is still in the way of c")
	}
	if r.size() != 2 || r.held != 1 {
		t.Errorf("%d names of which %d are held", r.size(), r.held)
	}
	if !r.admit("d", now.Add(4*time.Minute)) {
		t.Error("c, which never joined, keeps its room for ever")
	}
}

// A full table is searched for room once a second at most: anyone can send new
// names.
func TestRosterIsNotSearchedForEachName(t *testing.T) {
	now := time.Now()
	searches := 0
	r := newRoster(1, func(int) time.Duration { searches++; return time.Hour })
	for i := range 1000 {
		r.admit(fmt.Sprint("s", i), now.Add(time.Duration(i)*time.Millisecond))
	}
	if searches != 1 {
		t.Errorf("%d searches within a second", searches)
	}
}

func TestRosterKeepsRTTOfHeldMembersOnly(t *testing.T) {
	r := newRoster(2, lingerOf(time.Minute))
	r.answered("a", time.Millisecond)
	r.admit("a", time.Now())
	r.joined("a", rosterAddr)
	if _, ok := r.rttOf("a"); ok {
		t.Error("there was no probe yet")
	}
	r.answered("a", time.Millisecond)
	if rtt, ok := r.rttOf("a"); !ok || rtt != time.Millisecond {
		t.Errorf("got %v, %v", rtt, ok)
	}
	r.gone("a", time.Now())
	r.answered("a", time.Millisecond) // a probe that was under way
	if rtt, ok := r.rttOf("a"); ok {
		t.Errorf("it is gone, yet has %v", rtt)
	}
}

// What becomes of a member follows from the messages about its present life,
// in whichever order the tap and the engine see them.
func TestRosterTellsWhy(t *testing.T) {
	other := netip.MustParseAddrPort("10.0.0.2:7946")
	for _, tc := range []struct {
		name string
		seen func(r *roster)
		want membership.State
		inc  uint32
	}{
		{"nothing was seen", func(r *roster) {}, membership.Left, 0},
		{"suspected", func(r *roster) { r.suspect("a", 3) }, membership.Failed, 3},
		{"suspected and refuted", func(r *roster) { r.suspect("a", 3); r.alive("a", 4, rosterAddr) }, membership.Left, 0},
		{"refuted by a namesake", func(r *roster) { r.suspect("a", 3); r.alive("a", 9, other) }, membership.Failed, 3},
		{"an old suspicion after the refutation", func(r *roster) { r.alive("a", 4, rosterAddr); r.suspect("a", 3) }, membership.Left, 0},
		{"declared failed", func(r *roster) { r.dead("a", 3, false) }, membership.Failed, 3},
		{"declared failed, then its own leave", func(r *roster) { r.dead("a", 3, false); r.dead("a", 3, true) }, membership.Left, 3},
		{"an old leave, then a suspicion", func(r *roster) { r.dead("a", 2, true); r.suspect("a", 3) }, membership.Failed, 3},
		{"a leave while suspect", func(r *roster) { r.suspect("a", 3); r.dead("a", 3, true) }, membership.Left, 3},
		{"back before the event", func(r *roster) {
			r.dead("a", 3, true)
			r.gone("a", time.Now())
			r.dead("a", 3, true) // an echo
			r.alive("a", 4, rosterAddr)
			r.suspect("a", 4)
			r.joined("a", rosterAddr)
		}, membership.Failed, 4},
		{"back by an exchange of state", func(r *roster) {
			r.dead("a", 3, false)
			r.gone("a", time.Now())
			r.joined("a", rosterAddr)
		}, membership.Left, 0},
		{"back at another address with a lower incarnation", func(r *roster) {
			r.alive("a", 7, rosterAddr)
			r.dead("a", 7, true)
			r.gone("a", time.Now())
			r.alive("a", 1, other)
			r.joined("a", other)
			r.suspect("a", 1)
		}, membership.Failed, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoster(4, lingerOf(time.Minute))
			r.admit("a", time.Now())
			r.joined("a", rosterAddr)
			tc.seen(r)
			if why, inc := r.gone("a", time.Now()); why != tc.want || inc != tc.inc {
				t.Errorf("got %v at %d, want %v at %d", why, inc, tc.want, tc.inc)
			}
		})
	}
}
