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

// shape makes the shaper ready for faults, and returns the end of the rules
// that lead to it and a way back.
func (t *Table) shape(faults []*standing) (divert []expr.Any, undo func(), err error) {
	if t.shaper == nil {
		if !slices.ContainsFunc(faults, func(s *standing) bool { return s.Effect.shapes() }) {
			return nil, func() {}, nil
		}
		if t.shaper, err = openShaper(t.ns); err != nil {
			return nil, nil, err
		}
	}
	before := sorted(t.faults)
	t.shaper.set(faults)
	return t.shaper.divert(), func() { t.shaper.set(before) }, nil
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
