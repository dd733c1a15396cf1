package kernelfault

import (
	"errors"
	"slices"

	"github.com/google/nftables/expr"
)

// shaper delays packets and limits their rate. NFQUEUE does it with the very
// model of the virtual engine: by peer and protocol, with even jitter.
type shaper interface {
	// divert is the end of a rule that hands a packet to the shaper.
	divert() []expr.Any
	// set replaces the faults that packets are delayed for, from the next
	// packet on.
	set(faults []*standing)
	// drops counts the packets dropped because there was no room for them.
	drops() uint64
	// close lets all packets go, also those that still come.
	close()
}

// openShaper returns what can delay packets in a namespace.
func openShaper(ns int) (shaper, error) {
	q, err := newQueue(ns)
	if err != nil {
		return nil, &UnsupportedError{
			Missing: "a way to delay packets (for delay, jitter, reorder and rate): neither NFQUEUE nor netem",
			Reason:  errors.Join(err, errors.New("netem: this program does not use it yet")),
		}
	}
	return q, nil
}

// divert is the rule that leads to the shaper; nil when there is none.
func (t *Table) divert() []expr.Any {
	if t.shaper == nil {
		return nil
	}
	return t.shaper.divert()
}

// shape makes the shaper ready for faults; it fails, and changes nothing, when
// they need one and there is none.
func (t *Table) shape(faults []*standing) error {
	if t.shaper != nil {
		t.shaper.set(faults)
		return nil
	}
	if slices.ContainsFunc(faults, func(s *standing) bool { return s.Effect.shapes() }) {
		return t.flat
	}
	return nil
}

func (t *Table) closeShaper() {
	if t.shaper != nil {
		t.shaper.close()
	}
}

// Dropped counts the packets dropped because too many were held for a delay or
// a limited rate.
func (t *Table) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shaper == nil {
		return 0
	}
	return t.shaper.drops()
}
