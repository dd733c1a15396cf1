package gossip

import (
	"cmp"
	"math"
	"net"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// The detectors: who decides that a member failed.
const (
	// DetectorMemberlist leaves it to the engine alone.
	DetectorMemberlist = "memberlist"
	// DetectorVerdicts lets witnesses decide before the engine does, and holds back for a moment what
	// the engine says without them.
	DetectorVerdicts = "verdicts"
)

// Detectors lists the values of Config.Detector, the default first. The slice is the caller's.
func Detectors() []string { return []string{DetectorVerdicts, DetectorMemberlist} }

// verdicts are the core's settings; nil when the engine decides.
func (c Config) verdicts() *membership.Verdicts {
	if c.Detector != DetectorVerdicts {
		return nil
	}
	return &membership.Verdicts{
		Witnesses:     c.VerdictWitnesses,
		Quorum:        c.VerdictQuorum,
		Controls:      c.VerdictControls,
		Patience:      c.VerdictPatience,
		Silence:       c.VerdictSilence,
		PatienceMax:   c.VerdictPatienceMax,
		Probation:     cmp.Or(c.VerdictProbation, -1),
		ProbeInterval: c.ProbeInterval,
		ProbeTimeout:  c.ProbeTimeout,
		EngineTimeout: time.Duration(c.SuspicionMult) * c.ProbeInterval,
	}
}

// Case returns how a member is judged, or would be; false for one that is not known.
func (n *Node) Case(name string) (membership.Case, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drainLocked()
	return n.core.Case(name)
}

// carryOut does what the core asks for. It runs under n.mu, so it only starts things.
func (n *Node) carryOut(effect membership.Effect) {
	switch e := effect.(type) {
	case membership.Changed:
		n.events.append(e.Change)
		if n.cfg.Detector == DetectorVerdicts {
			n.tap.suspects.note(e.Change.Member)
		}
	case membership.Probe:
		n.beginLook(func() { n.look(e) })
	case membership.PatientProbe:
		n.beginLook(func() { n.lookPatiently(e) })
	case membership.Listen:
		at, ok := n.tap.suspects.last(e.Subject.Addr)
		if ok && !n.taken(e.Subject.Addr, e.Subject.Name) && n.hearsOthers() {
			n.inbox.put(membership.Heard{Subject: e.Subject.Name, At: at})
		}
	case membership.Testify:
		if message := n.testimonies.queue(e, n.cfg.PacketSize); message != nil {
			if !n.sendDirectly(&n.direct, wire.EncodeUsers([][]byte{message}), e.To) && e.Quietly {
				e.Quietly = false
				n.testimonies.queue(e, n.cfg.PacketSize)
			}
		}
	case membership.Summon:
		n.sendDirectly(&n.direct, wire.EncodeSuspect(e.Subject, n.cfg.Name, e.Incarnation), e.To)
	case membership.Inquire:
		if n.hearsOthers() && n.sendDirectly(&n.inquiries, wire.EncodeSuspect(e.Subject, e.Accuser, e.Incarnation), e.To) {
			n.inbox.put(membership.Inquired{Subject: e.Subject, Incarnation: e.Incarnation})
		}
	case membership.Reconcile:
		n.reconcile(e.Subject)
	case membership.GiveUp:
		n.tap.tellEngine(wire.EncodeDead(e.Subject, n.cfg.Name, e.Incarnation))
	case membership.Refute:
		n.tap.accuseSelf(e.Witness, e.Incarnation)
	}
}

// beginLook starts a look unless the node has left or is being closed.
func (n *Node) beginLook(look func()) {
	if !n.left.Load() {
		n.tryLook(look)
	}
}

// reconcile exchanges state with a member that answers though the engine holds it dead, one at a time: if others
// wait, the core asks for them again. Like a look it does not begin when the node is being closed.
func (n *Node) reconcile(t membership.Target) {
	n.opsMu.RLock()
	defer n.opsMu.RUnlock()
	if n.ctx.Err() != nil || n.left.Load() || !n.reconciling.CompareAndSwap(false, true) {
		return
	}
	n.loop.Go(func() {
		defer n.reconciling.Store(false)
		if err := n.exchange(t.Addr.String()); err != nil {
			n.log.Debug().Err(err).Str("member", t.Name).Msg("it answers and the engine holds it dead; the exchange of state with it failed, and is tried again")
		}
	})
}

// The pings of one look at the subject, spread over half of probe.timeout: a single one is lost too easily. Controls get one.
const (
	pingsAsWitness = 2
	pingsAtLast    = 3
)

// earlyReport is the part of probe.timeout, in tenths, after which a look reports what it has found so far: the last ping was sent
// a fifteenth of it ago at least.
const earlyReport = 4

// look probes the subject and the controls at the same time and reports the outcome. The core bounds how many looks are under way.
func (n *Node) look(p membership.Probe) {
	if outcome, ok := n.lookAt(p, func(early membership.Probed) { n.inbox.put(early) }); ok {
		n.inbox.put(outcome)
	}
}

// lookAt returns the outcome of a look after probe.timeout and p.Wait or, when the subject answers, at once; false when
// the node is being closed. If the subject has not answered early on, it tells so.
func (n *Node) lookAt(p membership.Probe, tellEarly func(membership.Probed)) (membership.Probed, bool) {
	pings := pingsAsWitness
	if p.Last {
		pings = pingsAtLast
	}
	var late <-chan struct{}
	if p.Wait > 0 { // the engine waits for no answer as long as that
		w := n.tap.answers.watch(p.Subject.Name, 1, n.cfg.ProbeTimeout)
		defer n.tap.answers.forget(w)
		late = w.enough
	}
	subject := make(chan bool, pings)
	for i := range pings {
		n.pingAfter(time.Duration(i)*n.cfg.ProbeTimeout/time.Duration(2*pings), p.Subject, subject)
	}
	controls := make(chan bool, len(p.Controls))
	for _, target := range p.Controls {
		n.pingAfter(0, target, controls)
	}
	outcome := membership.Probed{Subject: p.Subject.Name, Incarnation: p.Incarnation, Last: p.Last, ControlsAsked: len(p.Controls)}
	over := time.NewTimer(n.cfg.ProbeTimeout + p.Wait)
	defer over.Stop()
	early := time.NewTimer(n.cfg.ProbeTimeout / 10 * earlyReport)
	defer early.Stop()
	for waiting := true; waiting && !outcome.Answered; {
		select {
		case outcome.Answered = <-subject:
		case <-late:
			outcome.Answered = true
		case answered := <-controls:
			if answered {
				outcome.ControlsAnswered++
			}
		case <-early.C:
			so := outcome
			so.Early = true
			tellEarly(so)
		case <-over.C:
			waiting = false
		case <-n.ctx.Done():
			return outcome, false
		}
	}
	select {
	case <-late: // it came while this process stood still, like the end of the look
		outcome.Answered = true
	default:
	}
	return outcome, true
}

// pingAfter sends a direct probe after the delay, and whether it was answered to the channel, which must have
// room. Close waits for it.
func (n *Node) pingAfter(delay time.Duration, t membership.Target, answered chan<- bool) {
	n.looks.Go(func() {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-n.ctx.Done():
		}
		if n.ctx.Err() != nil {
			return
		}
		_, err := n.engine.Ping(t.Name, net.UDPAddrFromAddrPort(t.Addr))
		answered <- err == nil
	})
}

// endLooks ends the looks that are under way, once n.ctx is done. The engine must still run: its pings
// end when they are acked or time out.
func (n *Node) endLooks() {
	ended := make(chan struct{})
	go func() {
		n.looks.Wait()
		close(ended)
	}()
	longest := n.cfg.ProbeInterval * time.Duration(n.cfg.AwarenessMax)
	for {
		n.tap.finishProbes(longest)
		select {
		case <-ended:
			return
		case <-time.After(5 * time.Millisecond): // a ping may have begun just now
		}
	}
}

// accuseSelf hands the engine an accusation of this node, which it refutes unless the
// incarnation is older than its own.
func (t *tap) accuseSelf(accuser string, incarnation uint32) {
	t.tellEngine(wire.EncodeSuspect(t.node.cfg.Name, accuser, incarnation))
}

// tellEngine hands the node's own engine a message as if it had arrived.
func (t *tap) tellEngine(message []byte) {
	buf, err := wire.Wrap(message, t.node.cfg.Cluster, t.ownKey())
	if err != nil {
		return // as unlikely as a packet that is lost; what made it necessary happens again
	}
	t.inject(&memberlist.Packet{Buf: buf, From: &net.UDPAddr{}, Timestamp: time.Now()})
}

// testimonyQueue holds testimonies that wait to be gossiped, one message for each subject: the
// newest, which has all that older ones had. So it is no longer than the table.
type testimonyQueue struct {
	memberlist.TransmitLimitedQueue
}

// newTestimonyQueue returns a queue that sends each message a little less often than the engine
// sends its own, for the last of them has all; but in a small cluster not so few times that a node may miss all.
func newTestimonyQueue(retransmitMult int, nodes func() int) *testimonyQueue {
	return &testimonyQueue{memberlist.TransmitLimitedQueue{
		NumNodes:       func() int { return max(nodes(), 99) },
		RetransmitMult: max(3*retransmitMult/4, 3),
	}}
}

// queue takes the testimonies, unless they are for a few members alone, and returns the message with them; nil if there is none.
func (q *testimonyQueue) queue(t membership.Testify, packetSize int) []byte {
	message := encodeTestimony(t, packetSize)
	if message != nil && !t.Quietly {
		q.QueueBroadcast(&testimonyMessage{subject: t.Subject, bytes: message})
	}
	return message
}

// encodeTestimony returns the message with the testimonies, the newest of them if not all fit into half a packet. Hearers get what room
// witnesses leave, which is an eighth of a packet at least: a quorum of witnesses must not lack one, and one hearer is enough.
func encodeTestimony(t membership.Testify, packetSize int) []byte {
	whole := min(packetSize-maxPacketFrame, wire.MaxBroadcast) // what is larger would never be sent
	room := min(packetSize*5/8, whole-testimonyFrame-nameSize(t.Subject))
	forHearers, from := room/5, len(t.Witnesses)
	for from > 0 && room-nameSize(t.Witnesses[from-1]) >= forHearers {
		from--
		room -= nameSize(t.Witnesses[from])
	}
	hearers := 0
	for hearers < len(t.Hearers) && room >= nameSize(t.Hearers[hearers]) {
		room -= nameSize(t.Hearers[hearers])
		hearers++
	}
	message := &wire.Testimony{Subject: t.Subject, Incarnation: t.Incarnation,
		Age: uint16(min(t.Age/ageUnit, math.MaxUint16)), Witnesses: t.Witnesses[from:], Hearers: t.Hearers[:hearers]}
	for i, asked := range t.Asked {
		if asked && i >= from {
			message.Asked |= 1 << (i - from)
		}
	}
	if t.Before >= 0 {
		message.Before = uint16(min(t.Before/ageUnit+1, math.MaxUint16))
	}
	buf, err := wire.Encode(message)
	if err != nil {
		return nil // names in the core are short enough
	}
	return buf
}

// offerTestimony takes a message of testimonies. The core takes only those about members, by members, and relays what it takes. What was
// heard of the subject is told before a quorum can be complete, which is passed on at once. But it counts only once the
// core knows of the accusation, which the first testimony may be the first to tell; so it comes behind that one. If the core did not take that
// one, it comes again at the end.
func (n *Node) offerTestimony(msg *wire.Testimony) {
	heard := func() {
		for _, h := range msg.Hearers {
			n.inbox.offer(membership.Heard{Subject: msg.Subject, By: h, Incarnation: msg.Incarnation})
		}
		if msg.Before > 0 {
			n.inbox.offer(membership.HeardBefore{Subject: msg.Subject, Incarnation: msg.Incarnation,
				Before: time.Duration(msg.Before-1) * ageUnit})
		}
	}
	for i, w := range msg.Witnesses {
		if i == 1 {
			heard()
		}
		n.inbox.offer(membership.Testified{Subject: msg.Subject, Incarnation: msg.Incarnation, Witness: w,
			Asked: msg.Asked>>i&1 != 0, Age: time.Duration(msg.Age) * ageUnit})
	}
	heard()
}

// maxPacketFrame is what a packet takes at most beside one message of ours: the longest label is 255 bytes.
const maxPacketFrame = 2 + 255 + cipherOverhead + compoundHeader + messageOverhead

// testimonyFrame is what a testimony takes at most beside the names.
const testimonyFrame = 32

// nameSize is what a name takes at most in a testimony.
func nameSize(name string) int { return len(name) + 3 }

// ageUnit is what the age of an accusation is counted in on the wire.
const ageUnit = 10 * time.Millisecond

// testimonyMessage is a broadcast that replaces an older one about the same subject.
type testimonyMessage struct {
	subject string
	bytes   []byte
}

var _ memberlist.NamedBroadcast = (*testimonyMessage)(nil)

func (m *testimonyMessage) Name() string { return m.subject }
func (m *testimonyMessage) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(*testimonyMessage)
	return ok && o.subject == m.subject
}
func (m *testimonyMessage) Message() []byte { return m.bytes }
func (m *testimonyMessage) Finished()       {}
