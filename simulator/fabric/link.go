package fabric

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// queueBytes bounds what waits at a throttled link before packets are dropped
// from the tail: 64 KiB, about 45 full packets.
const queueBytes = 64 << 10

// Link says what happens on the way from one node to another, in one
// direction and for one protocol. The zero value is a perfect link without
// delay. The words are those of netem (tc-netem(8)).
type Link struct {
	// Cut stops everything silently, in this direction only.
	Cut bool

	// Loss is the probability, 0 to 1, that a packet or a segment is lost. A
	// lost segment is sent again, so a stream sees delay.
	Loss float64

	// Duplicate is the probability, 0 to 1, that a packet that was not lost
	// arrives twice, the copy with a delay of its own. Streams ignore it.
	Duplicate float64

	// Reorder is the probability, 0 to 1, that a packet is sent at once and so
	// overtakes those that the delay holds. Without Delay it has no effect.
	// Streams ignore it.
	Reorder float64

	// Delay is the one-way latency.
	Delay time.Duration

	// Jitter varies the delay evenly between Delay-Jitter and Delay+Jitter, but
	// not below 0. Each packet draws for itself, so packets may overtake each
	// other; streams keep their order.
	Jitter time.Duration

	// Rate is the bandwidth in bytes of payload per second, which the packets
	// and the streams of the direction share; 0 means unlimited. Beyond a queue
	// of 64 KiB packets are dropped.
	Rate int64
}

// Validate reports every field that is out of its bounds.
func (l Link) Validate() error {
	var errs []error
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", l.Loss}, {"duplicate", l.Duplicate}, {"reorder", l.Reorder}} {
		if math.IsNaN(p.value) || p.value < 0 || p.value > 1 {
			errs = append(errs, fmt.Errorf("%s %v is not a probability between 0 and 1", p.name, p.value))
		}
	}
	if l.Delay < 0 || l.Jitter < 0 {
		errs = append(errs, fmt.Errorf("delay %v and jitter %v must not be negative", l.Delay, l.Jitter))
	}
	if l.Rate < 0 {
		errs = append(errs, fmt.Errorf("rate %d must not be negative", l.Rate))
	}
	if l.Reorder > 0 && l.Delay == 0 {
		errs = append(errs, errors.New("reorder needs a delay to overtake"))
	}
	return errors.Join(errs...)
}

// linkState is what the network remembers of one direction.
type linkState struct {
	seq  [2]uint32     // by Proto: packets or segments drawn for so far
	free time.Duration // when a throttled link has sent all it was given
}

// What a draw decides; each decision about a packet has its own number.
const (
	drawLoss = iota
	drawDuplicate
	drawReorder
	drawDelay
	drawCopyDelay
	drawStall
)

// fate is the source of the draws for one packet or segment.
type fate uint64

// fate returns the draws of the next packet or segment of a link.
func (n *Network) fate(from, to int, proto Proto, st *linkState) fate {
	k := st.seq[proto]
	st.seq[proto]++
	link := uint64(from)<<32 | uint64(to)<<8 | uint64(proto)
	return fate(mix(mix(n.seed^mix(link)) + uint64(k)))
}

// chance draws from [0, 1) for one decision.
func (f fate) chance(what uint64) float64 {
	return float64(mix(uint64(f)+what*0x9e3779b97f4a7c15)>>11) / (1 << 53)
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood 2014), a
// bijection on 64 bits whose outputs for consecutive inputs look independent.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// latency is the delay of one packet, by a draw of its own.
func (l *Link) latency(f fate, what uint64) time.Duration {
	if l.Jitter <= 0 {
		return l.Delay
	}
	return max(0, l.Delay+time.Duration((2*f.chance(what)-1)*float64(l.Jitter)))
}

// depart books size bytes on a throttled link and returns when the last of
// them has left.
func (l *Link) depart(st *linkState, now time.Duration, size int) time.Duration {
	if l.Rate <= 0 {
		return now
	}
	st.free = max(st.free, now) + time.Duration(float64(size)/float64(l.Rate)*float64(time.Second))
	return st.free
}

// full reports whether the queue of a throttled link has no room left.
func (l *Link) full(st *linkState, now time.Duration) bool {
	return l.Rate > 0 && (st.free-now).Seconds()*float64(l.Rate) > queueBytes
}

// link returns the link in force and its state.
func (n *Network) link(from, to int, proto Proto) (Link, *linkState) {
	src := n.node(from)
	for len(src.out) <= to {
		src.out = append(src.out, linkState{})
	}
	st := &src.out[to]
	if from == to {
		return Link{}, st
	}
	return n.links(from, to, proto), st
}
