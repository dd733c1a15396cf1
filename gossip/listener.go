package gossip

import (
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"heartbeat/membership"
)

// listener remembers when packets of others arrived, and notices those of members that are suspect. Its zero
// value is ready.
type listener struct {
	mu     sync.Mutex
	recent []arrival                      // guarded by mu; by the hash of the address, so that it is bounded whoever sends
	byName map[string]*listened           // guarded by mu; suspects
	byAddr map[netip.AddrPort][]*listened // guarded by mu; the same members
}

// arrival is the last packet from an address.
type arrival struct {
	from netip.AddrPort
	at   time.Time
}

// listened is a suspect to listen for.
type listened struct {
	name  string
	addr  netip.AddrPort
	at    time.Time // when it was reported last
	taken bool      // another member has its address now
}

// reportEvery bounds how often one suspect is reported: evidence may have begun anew in between.
const reportEvery = 100 * time.Millisecond

// maxHearerHealth is the score of its own health up to which a node says what it hears.
const maxHearerHealth = 2

// hearsOthers says whether this node may say what it hears. One that reads late itself may get what was sent before a
// crash. One probe that fails through somebody else's fault costs a unit of health, and is no reason to be silent.
func (n *Node) hearsOthers() bool { return n.engine.GetHealthScore() <= maxHearerHealth }

// taken says whether another member, or this node, is where the suspect is or was: a packet from there is no sign of it.
func (n *Node) taken(addr netip.AddrPort, suspect string) bool {
	return addr == plainAddr(n.advertise) || n.book.hasOther(suspect, addr)
}

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
	if old := l.byName[m.Name]; old != nil {
		delete(l.byName, m.Name)
		rest := slices.DeleteFunc(l.byAddr[old.addr], func(s *listened) bool { return s == old })
		if l.byAddr[old.addr] = rest; len(rest) == 0 {
			delete(l.byAddr, old.addr)
		}
	}
	if m.State == membership.Suspect && !m.Local {
		if l.byName == nil {
			l.byName, l.byAddr = make(map[string]*listened), make(map[netip.AddrPort][]*listened)
		}
		s := &listened{name: m.Name, addr: m.Addr}
		l.byName[m.Name] = s
		l.byAddr[m.Addr] = append(l.byAddr[m.Addr], s)
	}
}

// take notes that a member of that name is at the address: what comes from there is no packet of others any more. A
// process that was started again under another name says so in its first packets, before anybody holds it.
func (l *listener) take(name string, addr netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byAddr[addr] {
		s.taken = s.taken || s.name != name
	}
}

// heard takes that a packet from the address arrived, and returns the suspect whose it is and the address, or "" when it
// is nobody's, may be somebody else's or was reported just now.
func (l *listener) heard(from net.Addr, at time.Time) (string, netip.AddrPort) {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return "", netip.AddrPort{}
	}
	addr := plainAddr(udp.AddrPort())
	if at.IsZero() { // a transport that sets no timestamps
		at = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.slotOf(addr) = arrival{addr, at}
	there := l.byAddr[addr]
	if len(there) != 1 || there[0].taken || at.Sub(there[0].at) < reportEvery {
		return "", addr
	}
	there[0].at = at
	return there[0].name, addr
}
