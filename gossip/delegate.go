package gossip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// delegate is the engine's side of a Node. The engine calls most of it under
// its own lock, so nothing here waits, calls the engine back or takes Node.mu;
// it reads what it needs and queues an input. Only LocalState, which the
// engine calls without its lock, looks into the core.
type delegate struct{ n *Node }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
	_ memberlist.MergeDelegate    = delegate{}
	_ memberlist.PingDelegate     = delegate{}
)

// NotifyAlive refuses members that no table should hold: their alive message
// may come from anyone who can send a packet.
func (d delegate) NotifyAlive(m *memberlist.Node) error {
	if err := checkPeer(m); err != nil {
		return err
	}
	if !d.n.allowed(peerAddr(m).Addr()) {
		return fmt.Errorf("%v is in none of the allowed networks", m.Addr)
	}
	if !d.n.roster.admit(m.Name, time.Now()) {
		return fmt.Errorf("the table is full (members.max = %d)", d.n.cfg.MaxMembers)
	}
	return nil
}

func checkPeer(m *memberlist.Node) error {
	switch {
	case len(m.Meta) > memberlist.MetaMaxSize:
		return fmt.Errorf("its meta data has %d bytes: at most %d are possible", len(m.Meta), memberlist.MetaMaxSize)
	case !usable(engineAddr(m)):
		return fmt.Errorf("%v port %d is not an address", m.Addr, m.Port)
	case !speaksOurs(peerVersions(m)):
		return fmt.Errorf("it speaks protocol %d of %d to %d, delegate protocol %d of %d to %d: this node cannot talk to that",
			m.PCur, m.PMin, m.PMax, m.DCur, m.DMin, m.DMax)
	}
	return checkPeerName(m.Name)
}

// engineTakes says whether the engine takes such an alive message, as far as the message itself tells: it must pass
// what aliveNode of memberlist and NotifyAlive look at before anything changes. The peeker shows none with more meta
// data than is possible, and versions of 0 when some are missing.
func (n *Node) engineTakes(s wire.Seen) bool {
	return usable(s.Addr) && speaksOurs(s.Versions) && checkPeerName(s.Node) == nil && n.allowed(s.Addr.Addr().Unmap())
}

// heeds says whether the engine takes alive messages from the sender of a packet, whomever they are about.
func (n *Node) heeds(from net.Addr) bool {
	udp, ok := from.(*net.UDPAddr)
	return len(n.cfg.AllowedNetworks) == 0 || !ok || n.allowed(udp.AddrPort().Addr().Unmap())
}

// usable tells whether a member can have the address.
func usable(addr netip.AddrPort) bool {
	return addr.IsValid() && addr.Port() != 0 && !addr.Addr().Unmap().IsUnspecified()
}

// checkPeerName is more lenient than checkName, for plain memberlist nodes
// choose their names by other rules, but lets nothing in that would garble a
// terminal.
func checkPeerName(name string) error {
	switch {
	case name == "" || len(name) > maxNameLen:
		return fmt.Errorf("its name has %d bytes: 1 to %d are possible", len(name), maxNameLen)
	case !utf8.ValidString(name):
		return errors.New("its name is not valid UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("its name holds control characters")
	}
	return nil
}

// speaksOurs tells whether the member's versions fit with those of every node of
// today. The engine looks at the versions of its whole table in each exchange
// of state and refuses all of them for a single one that does not fit.
func speaksOurs(versions [6]uint8) bool {
	pMin, pMax, pCur, dMin, dCur := versions[0], versions[1], versions[2], versions[3], versions[5]
	protocol := pMin != 0 && pMin <= memberlist.ProtocolVersionMin && pMax >= memberlist.ProtocolVersionMax &&
		pCur >= memberlist.ProtocolVersionMin && pCur <= memberlist.ProtocolVersionMax
	return protocol && dMin == 0 && dCur == 0
}

// peerVersions are the member's versions in the order in which they travel.
func peerVersions(m *memberlist.Node) [6]uint8 {
	return [6]uint8{m.PMin, m.PMax, m.PCur, m.DMin, m.DMax, m.DCur}
}

// engineAddr is the member's address as the engine compares it: to it IPv4 that is mapped into IPv6 is another address.
func engineAddr(m *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(m.Addr)
	return netip.AddrPortFrom(ip, m.Port)
}

// peerAddr is the member's address for everybody else.
func peerAddr(m *memberlist.Node) netip.AddrPort {
	addr := engineAddr(m)
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// peerMeta are the member's tags and what tells its process from an earlier one; a plain memberlist node has neither.
func peerMeta(m *memberlist.Node) (tags map[string]string, life uint32) {
	tags, life, err := wire.DecodeMeta(m.Meta)
	if err != nil {
		return nil, 0
	}
	return tags, life
}

// NotifyJoin reports a member that the engine holds alive from now on.
func (d delegate) NotifyJoin(m *memberlist.Node) {
	if failed := d.n.roster.joined(m.Name, engineAddr(m)); !failed.IsZero() {
		d.n.returned(failed)
	}
	if m.Name != d.n.cfg.Name {
		d.n.book.put(m.Name, peerAddr(m))
	}
	tags, life := peerMeta(m)
	d.n.inbox.put(membership.Joined{Name: m.Name, Addr: peerAddr(m), Tags: tags, Life: life})
}

// NotifyUpdate reports changed tags.
func (d delegate) NotifyUpdate(m *memberlist.Node) {
	tags, life := peerMeta(m)
	d.n.inbox.put(membership.Updated{Name: m.Name, Addr: peerAddr(m), Tags: tags, Life: life})
}

// NotifyLeave reports that the engine gave the member up, for one of three
// reasons that it does not tell apart: a dead message, its own suspicion timer,
// or a full exchange of state. The tap has seen the first, and the suspicion
// before the second.
func (d delegate) NotifyLeave(m *memberlist.Node) {
	d.n.book.remove(m.Name)
	d.n.digests.gone(m)
	why, incarnation := d.n.roster.gone(m.Name, time.Now())
	if why == membership.Failed && m.Name != d.n.cfg.Name {
		d.n.inbox.put(membership.EngineFailed{Name: m.Name, Incarnation: incarnation})
		return
	}
	d.n.inbox.put(membership.EngineLeft{Name: m.Name, Incarnation: incarnation})
}

// NotifyConflict reports that two nodes use one name, as the engine does for
// every message of the other one.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.n.inbox.offer(membership.Conflict{Name: existing.Name, Ours: peerAddr(existing), Theirs: peerAddr(other)})
}

// NotifyMerge refuses to join a cluster in which somebody else has this node's
// name.
func (d delegate) NotifyMerge(peers []*memberlist.Node) error {
	own := d.n.advertise
	for _, p := range peers {
		held := p.State == memberlist.StateAlive || p.State == memberlist.StateSuspect
		if p.Name == d.n.cfg.Name && held && peerAddr(p) != own {
			return fmt.Errorf("%w: %q is the node at %s; give this node (%s) another name", ErrNameConflict, p.Name, peerAddr(p), own)
		}
		if held && d.n.roster.disputed(p.Name, 0) {
			d.n.dispute(p.Name)
		}
	}
	return nil
}

// NodeMeta returns the encoded tags; Validate and UpdateTags keep them within
// the limit.
func (d delegate) NodeMeta(int) []byte { return d.n.tags.Load().meta }

// NotifyMsg takes a user message. What is not ours, or of another version, is
// ignored so that mixed clusters do no harm.
func (d delegate) NotifyMsg(b []byte) {
	msg, err := wire.Decode(b)
	if err != nil {
		d.n.user.refused.Add(1)
		return
	}
	switch msg := msg.(type) {
	case *wire.ForcedOut:
		if checkPeerName(msg.Subject) != nil || checkPeerName(msg.By) != nil {
			break
		}
		// One that finds no room here stays unknown, so that its next copy is taken.
		if !d.n.user.knows(msg.ID) && d.n.inbox.offer(membership.ForcedOut{
			Subject: msg.Subject, Incarnation: msg.Incarnation, Prune: msg.Prune, By: msg.By}) {
			d.n.user.relay(msg.ID, b)
		}
		return
	case *wire.Testimony:
		d.n.offerTestimony(msg)
		return
	}
	d.n.user.refused.Add(1)
}

// GetBroadcasts hands out our messages that wait to be gossiped.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.n.userBroadcasts(overhead, limit)
}

// LocalState carries what the engine does not: failed and left members, which
// it forgets.
func (d delegate) LocalState(bool) []byte {
	n := d.n
	n.mu.Lock()
	records := n.core.Records(time.Now())
	n.mu.Unlock()
	out := make([]wire.Record, 0, len(records))
	for _, r := range records {
		meta, err := wire.EncodeTags(r.Tags)
		if err != nil {
			continue
		}
		out = append(out, wire.Record{
			Name: r.Name, Addr: r.Addr, Incarnation: r.Incarnation, State: uint8(r.State), Meta: meta,
			AgeMillis: r.Age.Milliseconds(), ForcedOut: r.ForcedOut, Pruned: r.Pruned,
		})
	}
	buf, err := wire.Encode(&wire.StateSync{Records: wire.Fit(out)})
	if err != nil {
		n.log.Warn().Err(err).Msg("cannot encode the memory of failed members; this exchange goes without it")
		return nil
	}
	return buf
}

// MergeRemoteState takes in another node's memory.
func (d delegate) MergeRemoteState(buf []byte, _ bool) {
	d.n.digests.exchanged()
	msg, err := wire.Decode(buf)
	if err != nil {
		d.n.user.refused.Add(1)
		return
	}
	sync, ok := msg.(*wire.StateSync)
	if !ok {
		return
	}
	for _, r := range sync.Records {
		if checkPeerName(r.Name) != nil {
			d.n.user.refused.Add(1)
			continue
		}
		tags, _ := wire.DecodeTags(r.Meta)
		d.n.inbox.offer(membership.Record{
			Name: r.Name, Addr: r.Addr, Tags: tags, Incarnation: r.Incarnation, State: membership.State(r.State),
			Age: time.Duration(r.AgeMillis) * time.Millisecond, ForcedOut: r.ForcedOut, Pruned: r.Pruned,
		})
	}
}

// AckPayload tells the digest of this node's view with each ack.
func (d delegate) AckPayload() []byte {
	if d.n.digests.node == nil {
		return nil
	}
	return d.n.digests.own.Load().payload
}

// NotifyPingComplete measures a member, and this node's own health with it. The
// score counts only when somebody answers: one that rises while nobody does says
// more about them than about this node, and nothing would lower it again.
// The digest that came with the ack is compared.
func (d delegate) NotifyPingComplete(m *memberlist.Node, rtt time.Duration, payload []byte) {
	d.n.roster.answered(m.Name, rtt)
	d.n.noteHealth()
	d.n.digests.compare(m.Name, peerAddr(m), payload)
}

// noteHealth tells the core when the engine's score of its own health changed.
func (n *Node) noteHealth() {
	if !n.running.Load() {
		return // the engine is still being made
	}
	score := int64(n.engine.GetHealthScore())
	if n.health.Swap(score) != score {
		n.inbox.put(membership.Health{Score: int(score)})
	}
}

// noteLeave reports a graceful leave that the tap has heard of. The engine
// tells the core itself when it still holds the member; when it gave the
// member up as failed before, only this record turns failed into left.
func (n *Node) noteLeave(name string, incarnation uint32) {
	n.inbox.offer(membership.Record{Name: name, Incarnation: incarnation, State: membership.Left, By: name})
}
