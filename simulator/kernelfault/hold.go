package kernelfault

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"time"
)

const (
	// maxHeld bounds the packets that one table holds at a time.
	maxHeld = 8192

	// queueBytes bounds what waits for a limited rate before packets are
	// dropped from the tail, as in the simulator's virtual network. Streams are
	// bounded by their windows instead.
	queueBytes = 64 << 10
)

// standing is a fault in effect.
type standing struct {
	Fault
	set  string // the name of the set that holds its peers
	ends time.Time
}

// flow is one direction of a TCP connection.
type flow struct {
	source         netip.Addr
	ports          uint32
	destinationEnd byte // of the address: a host may have several
}

// packet is what must be known of a packet to hold it.
type packet struct {
	id       uint32
	source   netip.Addr
	protocol Protocol
	size     int // of the payload of UDP or TCP, in bytes
	flow     flow
}

// holder decides how long packets are held, and holds them. It is the same link
// model as the virtual engine's (package fabric): what is decided for a packet
// stays so when the faults change.
type holder struct {
	faults map[netip.Addr][]*standing
	free   map[line]time.Time // when a line of limited rate has sent all it was given
	last   map[flow]time.Time // when the last packet of a stream is due
	held   held
	serial uint64
}

// line is what a fault lets a peer use of the network.
type line struct {
	fault *standing
	peer  netip.Addr
}

func newHolder() *holder {
	return &holder{free: make(map[line]time.Time), last: make(map[flow]time.Time)}
}

// set replaces the faults in effect.
func (h *holder) set(faults []*standing) {
	h.faults = make(map[netip.Addr][]*standing)
	current := make(map[*standing]bool)
	for _, s := range faults {
		if !s.Effect.shapes() {
			continue
		}
		current[s] = true
		for _, p := range s.Peers {
			h.faults[p] = append(h.faults[p], s)
		}
	}
	for l := range h.free {
		if !current[l.fault] {
			delete(h.free, l)
		}
	}
}

// add takes a packet in, and returns false when it is to be dropped because too
// much is held already.
func (h *holder) add(p packet, now time.Time) bool {
	if len(h.held) >= maxHeld {
		return false
	}
	departs, delay := now, time.Duration(0)
	for _, s := range h.faults[p.source] {
		if !s.concerns(p.protocol) || !now.Before(s.ends) {
			continue
		}
		if s.Effect.Rate > 0 {
			l := line{s, p.source}
			free := h.free[l]
			if p.protocol == UDP && free.Sub(now).Seconds()*float64(s.Effect.Rate)/8 > queueBytes {
				return false
			}
			if free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(float64(p.size) * 8 / float64(s.Effect.Rate) * float64(time.Second)))
			h.free[l] = free
			if free.After(departs) {
				departs = free
			}
		}
		if p.protocol != UDP || rand.Float64() >= s.Effect.Reorder {
			delay += s.Effect.Delay + time.Duration((2*rand.Float64()-1)*float64(s.Effect.Jitter))
		}
	}
	due := departs.Add(delay)
	if p.protocol == TCP {
		// Streams keep their order.
		if last := h.last[p.flow]; last.After(due) {
			due = last
		}
		h.remember(p.flow, due, now)
	}
	h.serial++
	heap.Push(&h.held, holding{due, h.serial, p.id})
	return true
}

// remember notes when the last packet of a stream is due. Those that are past
// matter no more, so that there are hardly more notes than packets held.
func (h *holder) remember(f flow, due, now time.Time) {
	h.last[f] = due
	if len(h.last) <= 2*len(h.held)+64 {
		return
	}
	for f, due := range h.last {
		if due.Before(now) {
			delete(h.last, f)
		}
	}
}

// due returns the packets whose time has come, in order, and when the next one
// is due; that is zero when none is held.
func (h *holder) due(now time.Time) (ids []uint32, next time.Time) {
	for len(h.held) > 0 {
		if h.held[0].due.After(now) {
			return ids, h.held[0].due
		}
		ids = append(ids, heap.Pop(&h.held).(holding).id)
	}
	return ids, time.Time{}
}

// holding is one packet that is held.
type holding struct {
	due    time.Time
	serial uint64 // those due at the same time leave in order of arrival
	id     uint32
}

// held is a heap.
type held []holding

func (h held) Len() int      { return len(h) }
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h held) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].serial < h[j].serial
}
func (h *held) Push(x any) { *h = append(*h, x.(holding)) }
func (h *held) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
