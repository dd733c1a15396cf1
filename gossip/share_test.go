package gossip

import (
	"fmt"
	"testing"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// Orders and testimonies go first in turn, and what is missing to our share is owed until a packet is full.
func TestShareOfUserMessages(t *testing.T) {
	n := tapped(t, nil)
	n.user = newUserQueue(100, n.roster.size)
	n.testimonies = newTestimonyQueue(100, n.roster.size)
	kinds := func(messages [][]byte) map[string]int {
		got := make(map[string]int)
		for _, m := range messages {
			msg, err := wire.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprintf("%T", msg)]++
		}
		return got
	}
	if n.userBroadcasts(3, 10); n.share.owed.Load() != 0 {
		t.Error("something is owed while nothing waits")
	}
	for i := range 100 {
		order, err := wire.Encode(&wire.ForcedOut{Subject: fmt.Sprint("n", i), By: "n1", ID: uint64(i) + 1})
		if err != nil {
			t.Fatal(err)
		}
		n.user.relay(uint64(i)+1, order)
		n.testimonies.queue(membership.Testify{Subject: fmt.Sprint("n", i), Incarnation: 1, Witnesses: []string{"n1"}}, n.cfg.PacketSize)
	}
	seen := make(map[string]int)
	for range 2 {
		got := kinds(n.userBroadcasts(3, 500))
		if len(got) != 1 && len(got) != 2 {
			t.Errorf("%v", got)
		}
		for k, v := range got {
			seen[k] += v
		}
	}
	if len(seen) != 2 || n.share.owed.Load() != 0 {
		t.Errorf("in two packets: %v, owed %d", seen, n.share.owed.Load())
	}
	for i := range 2 {
		n.userBroadcasts(3, 10)
		if owed := n.share.owed.Load(); owed != int64((i+1)*n.cfg.PacketSize/shareOf) {
			t.Errorf("%d bytes are owed after %d packets without room", owed, i+1)
		}
	}
	if got := n.userBroadcasts(3, n.cfg.PacketSize); len(got) == 0 || size(got, 3) > n.cfg.PacketSize {
		t.Errorf("%d messages of %d bytes in an empty packet", len(got), size(got, 3))
	}
}
