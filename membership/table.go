package membership

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// row is one name in the table: the fact that views share, and what only the rules need.
type row struct {
	fact      *fact
	suspicion *suspicion    // nil unless accused
	due       time.Duration // when time alone changes something, while pos >= 0
	quiet     time.Duration // no conflict about the name is reported before
	pos       int32         // index in table.alarms; -1 = nothing waits for time
	heard     uint32        // highest incarnation at which others held it alive since it was gone; 0 = none
	stable    bool          // it counts in the last stable view
	judged    bool          // it is failed by a verdict
	engine    bool          // the engine counts it in
	holding   bool          // a failure that the engine reported is held back until heldUntil
	hash      uint64        // of the name
	print     uint64        // what it contributes to the digest while it is held
	lost      bool          // while it is held back: it was silent when this node looked last
	heldSince time.Duration
	heldUntil time.Duration
	heldInc   uint32        // the incarnation at which the engine gave it up, while that is held back
	pruning   bool          // an operator ordered to prune it; it goes when the engine has given it up
	outSince  time.Duration // while judged: the first accusation
	stall     time.Duration // the longest silence from which it came back, as of stallAt; it fades
	stallAt   time.Duration
	back      time.Duration // when it last came back after it had failed; 0 = never
	refutedAt time.Duration // when it last refuted an accusation; 0 = never
	flaps     int           // how often in a row it has failed soon after it had come back
	fellAt    time.Duration // when it last failed; 0 = never
	trial     time.Duration // for how long nobody must accuse it before it counts as back; 0 = not on probation
	clean     time.Duration // on probation: when that while began
	blamer    string        // on probation: who accused it last
	blames    []blame       // who accused it lately, the latest last; at most maxBlames
	patientAt time.Duration // when it was looked at patiently last; 0 = never
	patiences int           // how often in a row it answered such a look
	patient   bool          // it is being looked at patiently
	life      uint32        // the process that stall is about; 0 = not known
	windowAt  time.Duration // when the window began in which it said that much as a witness
	said      int
}

// suspicion is the evidence against one member at one incarnation.
type suspicion struct {
	inc      uint32
	since    time.Duration // the first accusation at inc; with verdicts as witnesses know it
	accusers []string      // at most maxAccusers, in order of arrival

	// With verdicts only:
	heard       time.Duration // the first accusation at inc as it was heard here
	alone       bool          // nobody accuses it but this node
	hastened    bool          // this node has told others directly of a quorum
	asking      bool          // this node, a witness, has tried to ask its share of the members
	asked       bool          // and does
	testimonies []testimony   // at most maxTestimonies, of different witnesses, in order of arrival
	heardOf     time.Duration // when a packet of it arrived anywhere before the accusation; neverHeard if nobody says so
	hearers     []string      // at most maxHearers members where packets of it still arrive, in order of arrival
	next        time.Duration // when to look at it anew
	lookedAt    time.Duration // when this node began its last look, if looks > 0
	looks       int
	fresh       bool // there is a reason for another look
	last        lastLook
	lastAt      time.Duration // when the last look began
	lastWait    time.Duration // for how long it waits for late answers
	silences    int           // last looks in a row that found it silent
}

// lastLook is how far this node's own probe before a verdict has come.
type lastLook uint8

const (
	notLooked lastLook = iota
	lookingNow
	foundSilent
	foundAnswering
	foundNobody // neither it nor the controls: the fault may be this node's
)

// testimony is a witness's finding that the subject did not answer.
type testimony struct {
	witness string
	at      time.Duration // when it arrived
	asked   bool          // the witness asked its share of the members
}

// maxAccusers bounds the evidence about one member. The engine asks for 2 or 3
// confirmations and section 5's verdicts for about 5; more names explain nothing more.
const maxAccusers = 16

// table holds the rows sorted by name, and counts that every change keeps exact.
// Invariant: counts, stable, stableHeld, lost and digest are what counting the rows would give.
type table struct {
	rows       []*row
	byName     map[string]*row // the same rows
	alarms     alarms
	counts     [Left + 1]int // by state; counts[0] are pruned names, which are not members
	stable     int           // members of the last stable view
	stableHeld int           // those of them that are alive, suspect or on probation, and not lost
	lost       int           // members that are lost
	digest     Digest
}

// members returns the number of names that are members.
func (t *table) members() int { return len(t.rows) - t.counts[0] }

// get returns the row of a name, or nil. Almost every input asks for one.
func (t *table) get(name string) *row { return t.byName[name] }

// find returns where the name is or would be, and its row or nil.
func (t *table) find(name string) (int, *row) {
	i, ok := slices.BinarySearchFunc(t.rows, name, func(r *row, name string) int {
		return strings.Compare(r.fact.name, name)
	})
	if !ok {
		return i, nil
	}
	return i, t.rows[i]
}

// insert adds a row for a name that is not a member yet at the index that find gave.
func (t *table) insert(i int, name string) *row {
	r := &row{fact: &fact{name: name}, pos: -1, hash: hashName(name)}
	t.rows = slices.Insert(t.rows, i, r)
	if t.byName == nil {
		t.byName = make(map[string]*row)
	}
	t.byName[name] = r
	t.tally(r, +1)
	return r
}

func (t *table) remove(r *row) {
	t.tally(r, -1)
	t.disarm(r)
	i, _ := t.find(r.fact.name)
	t.rows = slices.Delete(t.rows, i, i+1)
	delete(t.byName, r.fact.name)
}

// replace puts a new fact of the same name in the place of the old one.
func (t *table) replace(r *row, f *fact, stable bool) {
	t.tally(r, -1)
	if (f.state.held() || r.trial > 0) && (!r.fact.state.held() || !sameDigest(r.fact, f)) {
		r.print = f.print()
	}
	r.fact, r.stable = f, stable
	t.tally(r, +1)
}

// setTrial puts r on probation for that long, or ends it with 0.
func (t *table) setTrial(r *row, trial time.Duration) {
	t.tally(r, -1)
	r.trial = trial
	t.tally(r, +1)
}

// setLost notes whether r is lost.
func (t *table) setLost(r *row, lost bool) {
	if r.lost == lost {
		return
	}
	t.tally(r, -1)
	r.lost = lost
	t.tally(r, +1)
}

func (t *table) tally(r *row, by int) {
	t.counts[r.fact.state] += by
	if r.fact.state.held() || r.trial > 0 {
		t.digest.Held += by
		t.digest.Sum += uint64(by) * r.print
	}
	if r.lost {
		t.lost += by
	}
	if !r.stable {
		return
	}
	t.stable += by
	if (r.fact.state.held() || r.trial > 0) && !r.lost {
		t.stableHeld += by
	}
}

// arm sets when time alone changes something about r, instead of what was set before.
func (t *table) arm(r *row, due time.Duration) {
	r.due = due
	if r.pos < 0 {
		heap.Push(&t.alarms, r)
		return
	}
	heap.Fix(&t.alarms, int(r.pos))
}

func (t *table) disarm(r *row) {
	if r.pos >= 0 {
		heap.Remove(&t.alarms, int(r.pos))
	}
}

// alarms is a heap of rows, the one due first on top; equal times in the order of the
// names, so that what happens does not depend on the history of the heap.
type alarms []*row

func (a alarms) Len() int { return len(a) }

func (a alarms) Less(i, j int) bool {
	if a[i].due != a[j].due {
		return a[i].due < a[j].due
	}
	return a[i].fact.name < a[j].fact.name
}

func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].pos, a[j].pos = int32(i), int32(j)
}

// Push is for container/heap alone.
func (a *alarms) Push(x any) {
	r := x.(*row)
	r.pos = int32(len(*a))
	*a = append(*a, r)
}

// Pop is for container/heap alone.
func (a *alarms) Pop() any {
	last := len(*a) - 1
	r := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	r.pos = -1
	return r
}
