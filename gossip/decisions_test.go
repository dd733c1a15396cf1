package gossip

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/memberlist"

	"heartbeat/membership"
)

// engineHolds says whether the engine holds the member, alive or suspect: which of the two it tells nobody.
func engineHolds(n *Node, name string) bool {
	return slices.ContainsFunc(n.engine.Members(), func(m *memberlist.Node) bool { return m.Name == name })
}

func viewHolds(n *Node, name string) bool {
	m, _ := n.View().Member(name)
	return m.State == membership.Alive || m.State == membership.Suspect
}

// Whatever is said about a member, in whatever order, also of the past and of the future: what the node makes of the tap and of the
// engine's events holds exactly those that the engine holds after the same packets.
func TestTapAgreesWithTheEnginesDecisions(t *testing.T) {
	const seed = 6
	rng := rand.New(rand.NewPCG(seed, seed))
	c := slow("n1")
	c.Detector = DetectorMemberlist
	n := start(t, c)
	for round := range 60 {
		name := fmt.Sprint("s", round)
		said := []string{"alive 1"}
		arrive(t, n, aliveAt(t, name, 1))
		for range 8 {
			at := uint32(rng.IntN(5))
			var what string
			var message []byte
			switch rng.IntN(4) {
			case 0:
				what, message = "alive", aliveAt(t, name, at)
			case 1:
				what, message = "suspect", suspectAt(t, name, fmt.Sprint("n", rng.IntN(9)), at)
			case 2:
				what, message = "dead", deadAt(t, name, "n2", at)
			case 3:
				what, message = "leaves", deadAt(t, name, name, at)
			}
			said = append(said, fmt.Sprint(what, " ", at))
			handled := n.user.refused.Load()
			// The engine handles a user message after all that came before it.
			arrive(t, n, message, []byte{8, 'x'})
			eventually(t, func() error {
				if n.user.refused.Load() == handled {
					return fmt.Errorf("the engine has not handled %v", said)
				}
				return nil
			})
			if engine, view := engineHolds(n, name), viewHolds(n, name); engine != view {
				t.Errorf("seed %d, %v: held by the engine: %v, by the view: %v", seed, said, engine, view)
			}
		}
	}
}
