package kernelfault

import (
	"errors"

	"github.com/google/nftables/expr"
)

// shaper delays packets. NFQUEUE is one way to do it.
type shaper interface {
	// divert is the end of a rule that hands a packet to the shaper.
	divert() []expr.Any
	// set replaces the faults that packets are held for.
	set(faults []*standing)
	close()
}

func (t *Table) shape(faults []*standing) (divert []expr.Any, undo func(), err error) {
	for _, s := range faults {
		if s.Effect.shapes() {
			return nil, nil, &UnsupportedError{Missing: "a queue", Reason: errors.New("not yet")}
		}
	}
	return nil, func() {}, nil
}

func (s *standing) supported(int) error { return nil }

// Dropped counts packets that were dropped because too many were held.
func (t *Table) Dropped() uint64 { return 0 }

// Capabilities tests one by one what this kernel and these rights can do.
func Capabilities() []Capability { return nil }
