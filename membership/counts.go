package membership

import (
	"slices"
	"time"
)

// Counts are what was heard about members since the start, whoever decides.
type Counts struct {
	Accusations        uint64 // by each accuser the first at an incarnation
	Refutations        uint64
	TestimoniesHeard   uint64 // of other witnesses, those that were new
	TestimoniesRefused uint64 // of nodes that are no witnesses here, or that say too much
	// Detection counts the failures by how long after the first accusation the member was held failed:
	// Detection[i] took at most DetectionBounds()[i], the last one longer than all bounds.
	Detection    [len(detectionBounds) + 1]uint64
	DetectionSum time.Duration
}

var detectionBounds = [...]time.Duration{
	500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second,
	7500 * time.Millisecond, 10 * time.Second, 15 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
}

// DetectionBounds returns the upper bounds of Counts.Detection, ascending. The slice is the caller's.
func DetectionBounds() []time.Duration { return slices.Clone(detectionBounds[:]) }

// Counts returns the counts so far.
func (c *Core) Counts() Counts { return c.counts }

// count keeps the counts in step with the journal.
func (n *Counts) count(kind EntryKind, via Source) {
	switch {
	case kind == EntryAccused:
		n.Accusations++
	case kind == EntryRefuted:
		n.Refutations++
	case kind == EntryTestified && via == SourceInbound:
		n.TestimoniesHeard++
	}
}

// detected counts a failure that was noticed after that time.
func (n *Counts) detected(took time.Duration) {
	i, _ := slices.BinarySearch(detectionBounds[:], took)
	n.Detection[i]++
	n.DetectionSum += took
}
