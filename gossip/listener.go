package gossip

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"

	"heartbeat/membership"
)

// listener remembers when packets of others arrived, and notices those of members that are suspect. Its zero
// value is ready.
type listener struct {
	mu     sync.Mutex
	recent []arrival                    // guarded by mu; by the hash of the address, so that it is bounded whoever sends
	byName map[string]netip.AddrPort    // guarded by mu; suspects
	byAddr map[netip.AddrPort]*listened // guarded by mu; the same members
}

// arrival is the last packet from an address.
type arrival struct {
	from netip.AddrPort
	at   time.Time
}

// listened is a suspect to listen for.
type listened struct {
	name string
	at   time.Time // when it was reported last
}

// reportEvery bounds how often one suspect is reported: evidence may have begun anew in between.
const reportEvery = 100 * time.Millisecond

// maxHearerHealth is the score of its own health up to which a node says what it hears.
const maxHearerHealth = 2

// hearsOthers says whether this node may say what it hears. One that reads late itself may get what was sent before a
// crash. One probe that fails through somebody else's fault costs a unit of health, and is no reason to be silent.
func (n *Node) hearsOthers() bool { return n.engine.GetHealthScore() <= maxHearerHealth }

// maxArrivals is several times as many as a node hears in the seconds that matter.
const maxArrivals = 512

var arrivalSeed = maphash.MakeSeed()

func (l *listener) slotOf(addr netip.AddrPort) *arrival {
	if l.recent == nil {
		l.recent = make([]arrival, maxArrivals)
	}
	return &l.recent[maphash.Comparable(arrivalSeed, addr)%uint64(len(l.recent))]
}

// last returns when the last packet from the address arrived; false when it is not remembered.
func (l *listener) last(addr netip.AddrPort) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := l.slotOf(addr)
	return slot.at, slot.from == addr
}

// note takes the member's new state.
func (l *listener) note(m membership.Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if addr, known := l.byName[m.Name]; known {
		delete(l.byName, m.Name)
		delete(l.byAddr, addr)
	}
	if m.State == membership.Suspect && !m.Local {
		if l.byName == nil {
			l.byName, l.byAddr = make(map[string]netip.AddrPort), make(map[netip.AddrPort]*listened)
		}
		l.byName[m.Name] = m.Addr
		l.byAddr[m.Addr] = &listened{name: m.Name}
	}
}

// heard takes that a packet from the address arrived, and returns the suspect whose it is, or "" when it is nobody's or
// was reported just now.
func (l *listener) heard(from net.Addr, at time.Time) string {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return ""
	}
	addr := udp.AddrPort()
	addr = netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
	if at.IsZero() { // a transport that sets no timestamps
		at = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.slotOf(addr) = arrival{addr, at}
	s := l.byAddr[addr]
	if s == nil || at.Sub(s.at) < reportEvery {
		return ""
	}
	s.at = at
	return s.name
}
