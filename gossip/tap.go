package gossip

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// tap sits between the engine and its transport and reads what the engine does
// not tell: who accuses whom, and at which incarnation. It changes nothing.
//
// Outbound packets show what the engine itself has accepted, for it gossips on
// every suspicion, refutation and death that it believes; inbound ones show
// the same one gossip round earlier, and who said it.
type tap struct {
	node   *Node
	peeker *wire.Peeker
	// Bound once: a function value made for each packet would be an allocation for each packet.
	seenIn, seenOut func(wire.Seen)
	seenUnheeded    func(wire.Seen)               // seenIn for a packet whose alive messages the engine does not take
	carrier         memberlist.NodeAwareTransport // what wrap has returned
	inject          func(*memberlist.Packet)      // hands the engine a packet as if it had arrived; drops it rather than wait
	relay           sync.WaitGroup                // the goroutine of a transport without hooks
	stop            chan struct{}
	began           time.Time // what moments are counted from: time.Since reads one clock, time.Now two

	mu       sync.Mutex
	probes   map[uint32]time.Duration // guarded by mu; pings that were not acked, at most maxProbesInFlight: when since began they were sent
	suspects listener                 // synchronizes itself
	answers  answers                  // synchronizes itself
}

// maxProbesInFlight is more than the probe loop (one at a time), the pings relayed for others, this node's looks (16 as
// a witness of up to 10 pings, last ones of 3, and of up to 11 when they have controls) and AskDigests keep waiting at once, unless nearly all are silent.
const maxProbesInFlight = 1024

// hooked is a transport that shows and takes inbound packets without a
// goroutine in between, as gossip/transport and the simulator's fabric do.
type hooked interface {
	// SetInbound sets what sees each inbound packet; it returns the packet
	// for the engine, or nil to drop it. To be called before packets flow.
	SetInbound(func(*memberlist.Packet) *memberlist.Packet)
	// Inject queues a packet for the engine as if it had arrived.
	Inject(*memberlist.Packet)
}

func newTap(n *Node) *tap {
	var keys func() [][]byte
	if n.cfg.Keyring != nil {
		keys = n.cfg.Keyring.active
	}
	var options []wire.PeekerOption
	if n.cfg.AcceptPlain {
		options = append(options, wire.AcceptPlain())
	}
	t := &tap{
		node:   n,
		peeker: wire.NewPeeker(n.cfg.Cluster, keys, options...),
		stop:   make(chan struct{}),
		probes: make(map[uint32]time.Duration),
		began:  time.Now(),
	}
	t.seenIn = func(s wire.Seen) { t.see(s, membership.SourceInbound) }
	t.seenUnheeded = func(s wire.Seen) {
		if s.Kind != wire.Alive {
			t.seenIn(s)
		}
	}
	t.seenOut = func(s wire.Seen) { t.see(s, membership.SourceOutbound) }
	return t
}

// wrap returns the transport to give to the engine.
func (t *tap) wrap(inner memberlist.Transport) memberlist.NodeAwareTransport {
	w := &tappedTransport{Transport: inner, tap: t}
	w.aware, _ = inner.(memberlist.NodeAwareTransport)
	t.carrier = w
	if h, ok := inner.(hooked); ok {
		h.SetInbound(t.inbound)
		t.inject = h.Inject
		return w
	}
	relayed := make(chan *memberlist.Packet, maxProbesInFlight)
	w.relayed = relayed
	t.inject = func(p *memberlist.Packet) {
		select {
		case relayed <- p:
		default:
		}
	}
	t.relay.Go(func() {
		for {
			select {
			case p := <-inner.PacketCh():
				if p = t.inbound(p); p == nil {
					continue
				}
				select {
				case relayed <- p:
				case <-t.stop:
					return
				}
			case <-t.stop:
				return
			}
		}
	})
	return w
}

// close ends the relay goroutine, if there is one.
func (t *tap) close() {
	close(t.stop)
	t.relay.Wait()
}

func (t *tap) inbound(p *memberlist.Packet) *memberlist.Packet {
	// A packet that the tap cannot read is the engine's to judge, but for
	// those that it may not survive.
	visit := t.seenIn
	if !t.node.heeds(p.From) {
		visit = t.seenUnheeded
	}
	err := t.peeker.Peek(p.Buf, visit)
	if errors.Is(err, wire.ErrUnsafe) {
		return nil
	}
	if err == nil && t.node.running.Load() && t.node.cfg.Detector == DetectorVerdicts {
		name, addr := t.suspects.heard(p.From, p.Timestamp)
		if name != "" && !t.node.taken(addr, name) && t.node.hearsOthers() {
			t.node.inbox.offer(membership.Heard{Subject: name})
		}
	}
	return p
}

func (t *tap) outbound(b []byte) {
	_ = t.peeker.Peek(b, t.seenOut)
}

// outboundTo is outbound for a packet to that member, if it has a name.
func (t *tap) outboundTo(name string, b []byte) {
	inquiry := &t.node.digests.inquiry
	asked, watched := inquiry.active.Load() > 0, t.answers.active.Load() > 0
	if name == "" || !asked && !watched {
		t.outbound(b)
		return
	}
	_ = t.peeker.Peek(b, func(s wire.Seen) {
		t.seenOut(s)
		if s.Kind != wire.Ping {
			return
		}
		if asked {
			inquiry.sent(s.SeqNo, name)
		}
		if watched {
			t.answers.sent(s.SeqNo, name)
		}
	})
}

func (t *tap) see(s wire.Seen, source membership.Source) {
	n := t.node
	switch s.Kind {
	case wire.Suspect:
		if checkPeerName(s.From) != nil {
			return
		}
		n.roster.suspect(s.Node, s.Incarnation)
		n.inbox.offer(membership.Accused{Subject: s.Node, Incarnation: s.Incarnation, Accuser: s.From, Source: source})
	case wire.Alive:
		if s.Addr.Port() == 0 { // the engine reads it so
			s.Addr = netip.AddrPortFrom(s.Addr.Addr(), uint16(n.cfg.Port))
		}
		if !n.engineTakes(s) {
			return
		}
		disputed := n.roster.disputed(s.Node, s.Incarnation)
		if disputed {
			n.dispute(s.Node)
		}
		if n.roster.alive(s.Node, s.Incarnation, s.Addr) {
			if !disputed {
				t.suspects.take(s.Node, plainAddr(s.Addr))
			}
			n.inbox.offer(membership.Refuted{Subject: s.Node, Incarnation: s.Incarnation})
		}
	case wire.Dead:
		leaves := s.From == s.Node
		if known := n.roster.dead(s.Node, s.Incarnation, leaves); known && leaves {
			n.noteLeave(s.Node, s.Incarnation)
		}
	case wire.Ack:
		if source == membership.SourceInbound {
			t.endProbe(s.SeqNo)
			n.digests.inquiry.acked(s, n.cfg.MaxMembers)
			t.answers.acked(s.SeqNo)
		}
	case wire.Ping:
		if source == membership.SourceOutbound {
			t.noteProbe(s.SeqNo)
		}
	}
}

func (t *tap) noteProbe(seqNo uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.probes) >= maxProbesInFlight { // all but a few are over: nobody answered
		maps.DeleteFunc(t.probes, func(old uint32, _ time.Duration) bool { return seqNo-old > maxProbesInFlight/2 })
	}
	t.probes[seqNo] = time.Since(t.began)
}

// endProbe forgets a ping that was acked: else many that are answered at once, as those of AskDigests, would push out
// one that still waits, and Close would wait with it.
func (t *tap) endProbe(seqNo uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.probes, seqNo)
}

// finishProbes lets the engine's probes end at once by handing it the acks
// that they wait for. The engine's shutdown neither ends nor awaits them, and a
// probe may run for ProbeInterval*AwarenessMax.
func (t *tap) finishProbes(longest time.Duration) {
	t.mu.Lock()
	var waiting []uint32
	for seqNo, at := range t.probes {
		if time.Since(t.began)-at <= longest {
			waiting = append(waiting, seqNo)
		}
	}
	t.mu.Unlock()
	key := t.ownKey()
	for _, seqNo := range waiting {
		buf, err := wire.Wrap(wire.EncodeAck(seqNo), t.node.cfg.Cluster, key)
		if err != nil {
			return // the probes then end by themselves, only later
		}
		t.inject(&memberlist.Packet{Buf: buf, From: &net.UDPAddr{}, Timestamp: time.Now()})
	}
}

// ownKey is what packets for the node's own engine are encrypted with; nil for plain text.
func (t *tap) ownKey() []byte {
	if k := t.node.cfg.Keyring; k != nil && !t.node.cfg.AcceptPlain {
		return k.active()[0]
	}
	return nil
}

// tappedTransport is the transport as the engine sees it.
type tappedTransport struct {
	memberlist.Transport
	aware   memberlist.NodeAwareTransport // the same transport, when it takes names; else nil
	tap     *tap
	relayed chan *memberlist.Packet // nil when the transport has hooks
}

var _ memberlist.NodeAwareTransport = (*tappedTransport)(nil)

func (w *tappedTransport) PacketCh() <-chan *memberlist.Packet {
	if w.relayed != nil {
		return w.relayed
	}
	return w.Transport.PacketCh()
}

func (w *tappedTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	w.tap.outbound(b)
	return w.Transport.WriteTo(b, addr)
}

func (w *tappedTransport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	w.tap.outboundTo(addr.Name, b)
	if w.aware != nil {
		return w.aware.WriteToAddress(b, addr)
	}
	return w.Transport.WriteTo(b, addr.Addr)
}

func (w *tappedTransport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	dial := func() (net.Conn, error) { return w.Transport.DialTimeout(addr.Addr, timeout) }
	if w.aware != nil {
		dial = func() (net.Conn, error) { return w.aware.DialAddressTimeout(addr, timeout) }
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	return w.tap.node.digests.metered(conn, addr.Addr), nil
}
