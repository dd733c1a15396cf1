package gossip

import (
	"testing"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// Anybody who can send a packet can send orders to force a member out, faster than they are carried out. What finds no
// room is counted, and is carried out when it comes again.
func TestOrdersFromTheNetworkAreBounded(t *testing.T) {
	n := start(t, slow("n1"))
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	arrive(t, n, deadAt(t, "s", "n2", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Failed) })
	order := func(subject string, id uint64) {
		t.Helper()
		buf, err := wire.Encode(&wire.ForcedOut{Subject: subject, By: "n2", ID: id})
		if err != nil {
			t.Fatal(err)
		}
		delegate{n}.NotifyMsg(buf)
	}
	n.mu.Lock() // nothing is carried out
	for id := range uint64(maxWaiting + 100) {
		order("stranger", id+1)
	}
	order("s", 1<<40)
	n.inbox.mu.Lock()
	waiting, dropped := len(n.inbox.waiting), n.inbox.dropped
	n.inbox.mu.Unlock()
	n.mu.Unlock()
	if waiting > maxWaiting+50 || dropped < 50 { // the node itself may put a few
		t.Errorf("%d orders wait, %d were dropped", waiting, dropped)
	}
	n.drain()
	if err := wantState(n, "s", membership.Failed); err != nil {
		t.Errorf("an order that found no room: %v", err)
	}
	order("s", 1<<40)
	n.drain()
	if err := wantState(n, "s", membership.Left); err != nil {
		t.Errorf("the order's next copy: %v", err)
	}
}
