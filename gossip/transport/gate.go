package transport

import (
	"cmp"
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
// Memory: a stream waits in one of two lanes, small or large, until its weight fits into the lane's budget, or nothing else
// uses the lane. So a join, which is small, never waits for streams that promise much. Within a lane the holder with
// the least memory in use goes first, among equals the one whose last turn is longest ago, then the stream
// that has waited longest. Nobody overtakes the one whose turn it is, so a stream that needs the whole lane gets
// it. No holder gets more than half of a lane, except for one stream that is larger than that, so that the other half is
// there when somebody else comes.
//
// A holder is an IPv4 address or an IPv6 /64.
type gate struct {
	mu      sync.Mutex
	places  int
	budgets [lanes]int64
	open    int                      // guarded by mu
	used    [lanes]int64             // guarded by mu: sums of the weights granted
	grants  uint64                   // guarded by mu: how many there were
	holders map[netip.Prefix]*holder // guarded by mu: those with an open stream
	queues  [lanes][]*pass           // guarded by mu: waiting for memory, in order of arrival
}

// The lanes.
const (
	smallLane = iota
	largeLane
	lanes
)

// laneOf returns the lane for a weight.
func laneOf(weight int64) int {
	if weight <= smallWeight {
		return smallLane
	}
	return largeLane
}

type holder struct {
	from    netip.Prefix
	open    int
	used    [lanes]int64
	last    [lanes]uint64 // gate.grants at its last turn
	waiting []*pass       // open and without memory, in order of arrival
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

func newGate(places int, budgets [lanes]int64) *gate {
	return &gate{places: places, budgets: budgets, holders: make(map[netip.Prefix]*holder)}
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
	g.queues[laneOf(weight)] = append(g.queues[laneOf(weight)], p)
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
	lane := laneOf(p.weight)
	if p.granted {
		g.used[lane] -= p.weight
		h.used[lane] -= p.weight
	} else {
		h.waiting = without(h.waiting, p)
		g.queues[lane] = without(g.queues[lane], p)
	}
	if h.open == 0 {
		delete(g.holders, h.from)
	}
}

// dispatch grants memory to those whose turn it is. g.mu is held.
func (g *gate) dispatch() {
	for lane := range lanes {
		for next := g.next(lane); next != nil; next = g.next(lane) {
			h := next.holder
			g.grants++
			h.last[lane] = g.grants
			next.granted = true
			g.used[lane] += next.weight
			h.used[lane] += next.weight
			h.waiting = without(h.waiting, next)
			g.queues[lane] = without(g.queues[lane], next)
			close(next.turn)
		}
	}
}

// next returns the stream whose turn it is in a lane, nil when none fits. g.mu is held.
func (g *gate) next(lane int) *pass {
	var best *pass
	for _, p := range g.queues[lane] {
		if h := p.holder; h.used[lane] > 0 && h.used[lane]+p.weight > g.budgets[lane]/2 {
			continue
		}
		if best == nil || cmp.Or(
			cmp.Compare(p.holder.used[lane], best.holder.used[lane]),
			cmp.Compare(p.holder.last[lane], best.holder.last[lane])) < 0 {
			best = p
		}
	}
	if best == nil || g.used[lane] > 0 && g.used[lane]+best.weight > g.budgets[lane] {
		return nil
	}
	return best
}

func without(list []*pass, p *pass) []*pass {
	if i := slices.Index(list, p); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
