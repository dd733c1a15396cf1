package gossip

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"heartbeat/membership"
)

// listener notices packets of members that are suspect. Its zero value is ready.
type listener struct {
	some atomic.Bool // there are suspects; read for every packet

	mu     sync.Mutex
	byName map[string]netip.AddrPort    // guarded by mu
	byAddr map[netip.AddrPort]*listened // guarded by mu; the same members
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
	l.some.Store(len(l.byName) > 0)
}

// heard returns the suspect whose packet it is, or "" when it is nobody's or was reported just now.
func (l *listener) heard(from net.Addr) string {
	if !l.some.Load() {
		return ""
	}
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return ""
	}
	addr := udp.AddrPort()
	addr = netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byAddr[addr]
	if s == nil {
		return ""
	}
	now := time.Now()
	if now.Sub(s.at) < reportEvery {
		return ""
	}
	s.at = now
	return s.name
}
