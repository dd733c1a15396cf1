package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// What the core wants to be known at once goes directly to a few members, beside gossip. It is a handful of packets for
// a crash; so that the loss of half a cluster does not become a storm, a node sends no more than directBurst at once and directRate a
// second, and as many to ask, and leaves the rest to gossip.
const (
	directBurst = 64
	directRate  = 32
)

// budget is what a node may still send directly. Its zero value allows directBurst.
type budget struct {
	spent float64
	at    time.Time // when spent was counted
}

// take says whether that many packets may be sent now, and counts them if so.
func (b *budget) take(packets int, now time.Time) bool {
	b.spent = max(0, b.spent-directRate*now.Sub(b.at).Seconds())
	b.at = now
	if b.spent+float64(packets) > directBurst {
		return false
	}
	b.spent += float64(packets)
	return true
}

// sendDirectly sends one of the engine's messages to each of the members, in a packet of its own, and says whether the budget allows
// that. It runs under n.mu, so that it only starts to.
func (n *Node) sendDirectly(from *budget, message []byte, to []membership.Target) bool {
	if len(to) == 0 {
		return true
	}
	if n.begin() != nil {
		return false
	}
	if !from.take(len(to), time.Now()) {
		n.ops.Done()
		return false
	}
	go func() {
		defer n.ops.Done()
		buf, err := wire.Wrap(message, n.cfg.Cluster, n.sendKey())
		if err != nil {
			return // gossip has it as well
		}
		for _, t := range to {
			if _, err := n.tap.carrier.WriteToAddress(buf, memberlist.Address{Addr: t.Addr.String(), Name: t.Name}); err == nil {
				n.directSent.Add(1)
			}
		}
	}()
	return true
}
