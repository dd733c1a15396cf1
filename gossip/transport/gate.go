package transport

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// idleGrace is how long a stream may stay silent before it can lose its place to a newcomer from its own address. Honest
// peers send their first bytes with the handshake's end.
const idleGrace = time.Second

var errFull = errors.New("all places for inbound streams are taken")

// gate decides who gets in and when. Two things are scarce: places (streams open) and memory (streams being decoded).
//
// Places: when all are taken, the newcomer displaces the longest-waiting stream of the holder with the most places, silent ones
// first, unless that holder is its own; then only a stream that has been silent for idleGrace gives way. So
// the places converge to equal shares under attack, and without one a single address may use all of them: a thousand nodes on
// loopback, or behind one NAT, are no attack.
//
// Memory: a stream waits until its weight fits into the budget. The holder with the least memory in use goes first, then
// the one that has waited longest. Nobody overtakes the one whose turn it is, so a large push/pull is not starved by small
// ones. No holder gets more than half of the budget, except for one stream that is larger than that, so that
// the other half is there when somebody else comes.
//
// A holder is an IPv4 address or an IPv6 /64.
type gate struct {
	mu      sync.Mutex
	places  int
	budget  int64
	open    int                      // guarded by mu
	used    int64                    // guarded by mu: sum of the weights granted
	holders map[netip.Prefix]*holder // guarded by mu: those with an open stream
	queue   []*pass                  // guarded by mu: waiting for memory, in order of arrival
}

type holder struct {
	from    netip.Prefix
	open    int
	used    int64
	waiting []*pass // open and without memory, in order of arrival
}

// pass is a stream's place at the gate. Its fields are guarded by gate.mu.
type pass struct {
	holder  *holder
	since   time.Time
	weight  int64 // 0 until the stream has said what it holds
	granted bool
	left    bool
	turn    chan struct{} // closed when the weight is granted
	evict   func()        // called, off the lock, when a newcomer gets the place
}

func newGate(places int, budget int64) *gate {
	return &gate{places: places, budget: budget, holders: make(map[netip.Prefix]*holder)}
}

// holderOf returns whom an address belongs to.
func holderOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // fails only for bits out of range
	return p
}

func (g *gate) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// enter takes a place, or returns errFull. evict is called at most once, when the place is lost to a newcomer.
func (g *gate) enter(addr netip.Addr, now time.Time, evict func()) (*pass, error) {
	from := holderOf(addr)
	g.mu.Lock()
	var victim *pass
	if g.open >= g.places {
		if victim = g.victim(from, now); victim == nil {
			g.mu.Unlock()
			return nil, errFull
		}
		g.remove(victim)
	}
	h := g.holders[from]
	if h == nil {
		h = &holder{from: from}
		g.holders[from] = h
	}
	p := &pass{holder: h, since: now, turn: make(chan struct{}), evict: evict}
	h.open++
	h.waiting = append(h.waiting, p)
	g.open++
	g.dispatch()
	g.mu.Unlock()

	if victim != nil {
		victim.evict()
	}
	return p, nil
}

// victim picks the stream that has to give way to a newcomer. g.mu is held.
func (g *gate) victim(newcomer netip.Prefix, now time.Time) *pass {
	var most *holder
	for _, h := range g.holders {
		if len(h.waiting) > 0 && (most == nil || h.open > most.open) {
			most = h
		}
	}
	if most == nil {
		return nil
	}
	silent := slices.IndexFunc(most.waiting, func(p *pass) bool { return p.weight == 0 })
	own := g.holders[newcomer]
	if most == own || own != nil && own.open+1 >= most.open {
		if silent >= 0 && now.Sub(most.waiting[silent].since) >= idleGrace {
			return most.waiting[silent]
		}
		return nil
	}
	return most.waiting[max(silent, 0)]
}

// ask queues the stream for memory. p.turn is closed when it may go on; whoever stops waiting calls leave.
func (g *gate) ask(p *pass, weight int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.left {
		return
	}
	p.weight = weight
	g.queue = append(g.queue, p)
	g.dispatch()
}

// leave gives back the place and the memory. It may be called more than once.
func (g *gate) leave(p *pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(p)
	g.dispatch()
}

// remove takes p off the books. g.mu is held.
func (g *gate) remove(p *pass) {
	if p.left {
		return
	}
	p.left = true
	h := p.holder
	g.open--
	h.open--
	if p.granted {
		g.used -= p.weight
		h.used -= p.weight
	} else {
		h.waiting = without(h.waiting, p)
		g.queue = without(g.queue, p)
	}
	if h.open == 0 {
		delete(g.holders, h.from)
	}
}

// dispatch grants memory to those whose turn it is. g.mu is held.
func (g *gate) dispatch() {
	for {
		var next *pass
		for _, p := range g.queue {
			if h := p.holder; h.used > 0 && h.used+p.weight > g.budget/2 {
				continue
			}
			if next == nil || p.holder.used < next.holder.used {
				next = p
			}
		}
		if next == nil || g.used+next.weight > g.budget {
			return
		}
		next.granted = true
		g.used += next.weight
		next.holder.used += next.weight
		next.holder.waiting = without(next.holder.waiting, next)
		g.queue = without(g.queue, next)
		close(next.turn)
	}
}

func without(list []*pass, p *pass) []*pass {
	if i := slices.Index(list, p); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
