package gossip

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// share gives our own messages, orders and testimonies, their part of what the node sends. The engine fills its packets with
// its own broadcasts first and offers what room is left: while it has much to say, as when a thousand nodes join, that is
// next to nothing for as long as it lasts. What is missing to a quarter of each packet is owed, and when a whole
// packet is owed, one of ours alone goes to one member. So nothing is taken from the engine, and while nothing of
// ours waits or the engine leaves room no packet is added; else one to four of the engine's at most.
type share struct {
	owed    atomic.Int64 // bytes, less than two packets
	turn    atomic.Uint32
	sending atomic.Bool   // a packet of ours is being made
	extra   atomic.Uint64 // packets sent so
}

// shareOf is the part of each packet that is ours: one in so many.
const shareOf = 4

// The engine's overheads: a compound message's header, its length field of each message in it, and the type of a
// user message; encryption's version, nonce and tag.
const (
	compoundHeader  = 2
	messageOverhead = 2 + 1
	cipherOverhead  = 1 + 12 + 16
)

// maxOwnPacket bounds a packet of our messages alone, whatever the packet size: 255 messages are the most that a compound
// message counts, and none has fewer than 33 bytes.
const maxOwnPacket = 8 << 10

// take hands out our messages for a packet with that much room. Orders and testimonies go first in turn, so that neither
// waits for the end of the other.
func (n *Node) take(overhead, room int) [][]byte {
	first, second := &n.user.queue, &n.testimonies.TransmitLimitedQueue
	if n.share.turn.Add(1)%2 == 0 {
		first, second = second, first
	}
	messages := first.GetBroadcasts(overhead, room)
	return append(messages, second.GetBroadcasts(overhead, room-size(messages, overhead))...)
}

func size(messages [][]byte, overhead int) int {
	sum := 0
	for _, m := range messages {
		sum += overhead + len(m)
	}
	return sum
}

func (n *Node) userPending() int { return n.user.pending() + n.testimonies.NumQueued() }

// userBroadcasts hands out our messages for the room that the engine has left in a packet.
func (n *Node) userBroadcasts(overhead, room int) [][]byte {
	if n.userPending() == 0 {
		n.share.owed.Store(0)
		return nil
	}
	messages := n.take(overhead, room)
	missing := n.cfg.PacketSize/shareOf - size(messages, overhead)
	// Room for our share that was not used was not needed, unless no message is that small.
	if missing > 0 && (len(messages) == 0 || room < n.cfg.PacketSize/shareOf) {
		n.owe(missing)
	}
	return messages
}

// owe notes what our share lacked in a packet, and has it sent when that is a packet full. It runs in the
// engine's calls, so it waits for nothing.
func (n *Node) owe(missing int) {
	if n.share.owed.Add(int64(missing)) < int64(n.cfg.PacketSize) || n.share.sending.Swap(true) {
		return
	}
	n.share.owed.Store(0)
	if n.begin() != nil {
		n.share.sending.Store(false)
		return
	}
	go func() {
		defer n.ops.Done()
		defer n.share.sending.Store(false)
		n.sendOwn()
	}()
}

// sendOwn sends a packet of our messages alone to a member picked at random.
func (n *Node) sendOwn() {
	to, ok := n.someMember()
	if !ok {
		return
	}
	key := n.sendKey()
	room := min(n.cfg.PacketSize, maxOwnPacket) - compoundHeader
	if n.cfg.Cluster != "" {
		room -= 2 + len(n.cfg.Cluster)
	}
	if key != nil {
		room -= cipherOverhead
	}
	messages := n.take(messageOverhead, room)
	if len(messages) == 0 {
		return
	}
	buf, err := wire.Wrap(wire.EncodeUsers(messages), n.cfg.Cluster, key)
	if err != nil {
		return // the messages wait on; they are sent more than once
	}
	if _, err := n.tap.carrier.WriteToAddress(buf, to); err == nil {
		n.share.extra.Add(1)
	}
}

// sendKey is what packets to others are encrypted with; nil for plain text.
func (n *Node) sendKey() []byte {
	if n.cfg.Keyring != nil && !n.cfg.SendPlain {
		return n.cfg.Keyring.active()[0]
	}
	return nil
}

// someMember picks a member that is up.
func (n *Node) someMember() (memberlist.Address, bool) {
	var picked membership.Member
	seen := 0
	for m := range n.View().All() {
		if !m.Local && (m.State == membership.Alive || m.State == membership.Suspect) {
			if seen++; rand.IntN(seen) == 0 {
				picked = m
			}
		}
	}
	return memberlist.Address{Addr: picked.Addr.String(), Name: picked.Name}, seen > 0
}
