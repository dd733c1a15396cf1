package membership

import (
	"fmt"
	"slices"
	"time"
)

// Core is the state machine. It has one owner and is not safe for concurrent use.
//
// Step, View and Journal never fail; what cannot be taken is ignored. Times are measured
// on the clock of the times given, from the one given to New; a time that runs
// backwards counts as no time passed.
type Core struct {
	cfg       Config
	epoch     time.Time
	now       time.Duration // of the last Step, since epoch; never decreases
	table     table
	journal   journal
	self      *row // nil until this node's own Joined
	health    int
	condition Condition
	version   uint64
	ignored   uint64
	effects   []Effect // of the Step in progress
	looking   []look   // this node's looks as a witness that are under way; at most maxLooks
	tally     Tally
	counts    Counts
	deaf      bool // at deafAt, none or few of a look's controls answered
	deafAt    time.Duration

	snapshot []*fact // what views share; valid while snapped == version
	snapped  uint64
}

// New returns the core of the node cfg.Self, with an empty table: the engine's Joined
// for this node itself is expected first. The error names every field of cfg that is
// out of bounds.
func New(cfg Config, now time.Time) (*Core, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Core{
		cfg:       cfg,
		epoch:     now,
		journal:   newJournal(cfg.JournalPerMember, cfg.JournalTotal),
		condition: Connected,
		version:   1,
	}, nil
}

// Step advances the core to now, takes one input and returns what follows, in order;
// nil when nothing does. The cost is O(log n) in the number of members, and one O(n) copy of
// pointers when a name is new or forgotten.
func (c *Core) Step(now time.Time, in Input) []Effect {
	c.now = max(c.now, now.Sub(c.epoch))
	c.expire()
	switch in := in.(type) {
	case Joined:
		c.joined(in)
	case Updated:
		c.updated(in)
	case Accused:
		c.accused(in)
	case Refuted:
		c.refuted(in)
	case EngineFailed:
		c.engineGone(in.Name, Claim{in.Incarnation, Failed})
	case EngineLeft:
		c.engineGone(in.Name, Claim{in.Incarnation, Left})
	case ForcedOut:
		c.forcedOut(in)
	case Record:
		c.record(in)
	case Conflict:
		c.conflict(in)
	case Testified:
		c.testified(in)
	case Probed:
		c.probed(in)
	case PatientlyProbed:
		c.patientlyProbed(in)
	case Heard:
		c.heardFrom(in)
	case Inquired:
		c.inquired(in)
	case HeardBefore:
		c.heardBefore(in)
	case Healed:
		c.healed(in)
	case Health:
		c.health = in.Score
	case Tick:
	}
	c.judgeCondition()
	effects := c.effects
	c.effects = nil
	return effects
}

// Journal returns what happened to the member, oldest first, or to everybody when the
// name is empty. What is known about a member that was removed stays until newer
// entries push it out.
func (c *Core) Journal(name string) []Entry { return c.journal.entries(name, c.epoch) }

// NextWake returns when a Tick is due, because a suspicion lapses, a member becomes
// stable or a retention ends; false when nothing waits for time. A Tick at that time
// always does something, so the next NextWake is later. It costs O(1).
func (c *Core) NextWake() (time.Time, bool) {
	if len(c.table.alarms) == 0 {
		return time.Time{}, false
	}
	return c.epoch.Add(c.table.alarms[0].due), true
}

// Ignored returns how many inputs, or tags of an input, were refused because they were over a
// bound: a full table, a name that is empty or too long, too many tags, a malformed record.
func (c *Core) Ignored() uint64 { return c.ignored }

// View returns a snapshot of the table as of the last Step. It does not advance the
// core. It is O(1) when nothing has changed since the last View, else O(n) in pointers.
func (c *Core) View(now time.Time) *View {
	if c.snapped != c.version {
		c.snapshot = make([]*fact, 0, c.table.members())
		for _, r := range c.table.rows {
			if r.fact.state != 0 {
				c.snapshot = append(c.snapshot, r.fact)
			}
		}
		c.snapped = c.version
	}
	return &View{
		version:   c.version,
		at:        now,
		epoch:     c.epoch,
		self:      c.selfFact(),
		condition: c.condition,
		counts:    c.table.counts,
		facts:     c.snapshot,
	}
}

func (c *Core) selfFact() *fact {
	if c.self == nil {
		return &fact{name: c.cfg.Self, state: Alive, local: true}
	}
	return c.self.fact
}

// expire does everything that time alone has made due. Each turn of the loop removes
// the row's alarm or sets it after now, so the loop ends.
func (c *Core) expire() {
	for len(c.table.alarms) > 0 && c.table.alarms[0].due <= c.now {
		r := c.table.alarms[0]
		switch r.fact.state {
		case Alive:
			c.table.replace(r, r.fact, true)
			c.table.disarm(r)
			c.supersede()
		case Suspect:
			c.review(r)
		case Failed, Left:
			switch {
			case r.trial > 0:
				c.readmit(r)
				continue
			case r.engine:
				c.unconfirmed(r)
				continue
			}
			c.forget(r, fmt.Sprintf("forgotten: %v for %v", r.fact.state, c.retention(r.fact.state)))
		default:
			c.table.remove(r)
		}
	}
}

// deadline returns when time alone changes something about r, if it does.
func (c *Core) deadline(r *row) (time.Duration, bool) {
	f := r.fact
	switch {
	case f.state == Alive && !r.stable:
		// Rounded up to an eighth, so that a thousand joins need a handful of wakes.
		step := max(c.cfg.StableAfter/8, 1)
		return (f.since + c.cfg.StableAfter + step - 1) / step * step, true
	case f.state == Suspect && c.cfg.Verdicts != nil:
		return c.reviewAt(r), true
	case f.state == Suspect && c.cfg.SuspicionLapse > 0:
		return r.suspicion.since + c.cfg.SuspicionLapse, true
	case r.trial > 0:
		return r.clean + r.trial, true
	case f.state.gone() && r.engine:
		return f.since + c.cfg.SuspicionLapse, true
	case f.state.gone() && !f.local:
		return f.since + c.retention(f.state), true
	case f.state == 0:
		return f.since + c.retention(0), true
	}
	return 0, false
}

// retention returns how long a member in that state, or a pruned name (0), is remembered.
func (c *Core) retention(s State) time.Duration {
	switch s {
	case Failed:
		return c.cfg.FailedRetention
	case Left:
		return c.cfg.LeftRetention
	}
	return max(c.cfg.FailedRetention, c.cfg.LeftRetention)
}

// put is the only way by which a fact about a name changes. It keeps the rest of the
// row in step with the new state.
func (c *Core) put(r *row, f fact) {
	before := r.fact.state
	f.probation = f.probation && f.state == Failed
	accused := c.now
	if r.suspicion != nil {
		accused = r.suspicion.since
	}
	if before == Suspect && f.state == Failed && r.suspicion != nil {
		c.counts.detected(c.now - accused)
	}
	stable := r.stable && f.state != Left && f.state != 0 || f.local && f.state.held()
	c.table.replace(r, &f, stable)
	if f.state != before {
		r.heard = 0
		if f.state.gone() {
			r.blames = nil
		}
		r.pruning = r.pruning && f.state == Left
		if f.state != Suspect {
			r.suspicion, r.holding = nil, false
			c.table.setLost(r, false)
		}
		if f.state != Failed {
			r.judged = false
			c.table.setTrial(r, 0)
		}
		switch {
		case before.held() && f.state == Failed:
			c.fell(r, accused)
		case before == Failed && f.state == Alive:
			r.back = c.now
		}
	}
	c.rearm(r)
	if f.state != 0 || before != 0 {
		c.version++
	}
}

// rearm sets r's alarm to what time alone will change.
func (c *Core) rearm(r *row) {
	if due, ok := c.deadline(r); ok {
		c.table.arm(r, due)
	} else {
		c.table.disarm(r)
	}
}

// admit returns the row for a name, new when need be. It returns nil, and counts the
// input as ignored, when the name is no name or the table already holds limit members.
func (c *Core) admit(name string, limit int) *row {
	i, r := c.table.find(name)
	switch {
	case r != nil && r.fact.state != 0:
		return r
	case !validName(name) || c.table.members() >= limit:
		c.ignored++
		return nil
	case r == nil:
		r = c.table.insert(i, name)
	}
	return r
}

// makeRoom forgets the member that has been gone for longest if a new name would not fit below limit: the engine tells
// but once of one that it holds, and who runs must not be missing because of who ran. It costs O(n) while the table is full.
func (c *Core) makeRoom(name string, limit int) {
	if r := c.table.get(name); c.table.members() < limit || r != nil && r.fact.state != 0 || !validName(name) {
		return
	}
	var oldest *row
	for _, r := range c.table.rows {
		if r.fact.state.gone() && !r.engine && !r.fact.local && (oldest == nil || r.fact.since < oldest.fact.since) {
			oldest = r
		}
	}
	if oldest != nil {
		c.forget(oldest, "forgotten to make room for "+name)
	}
}

func validName(name string) bool { return name != "" && len(name) <= MaxNameBytes }

// Bounds of the tags of one member. The engine's own limit for all of its metadata is 512 bytes.
const (
	maxTags     = 64
	maxTagBytes = 1024
)

// boundedTags returns tags, or nil when they are over a bound.
func (c *Core) boundedTags(tags map[string]string) map[string]string {
	size := 0
	for key, value := range tags {
		size += len(key) + len(value)
	}
	if len(tags) > maxTags || size > maxTagBytes {
		c.ignored++
		return nil
	}
	if len(tags) == 0 {
		return nil
	}
	return tags
}

// name returns the table's own copy of a name where there is one, so that the many
// entries and lists that name a node share one string.
func (c *Core) name(name string) string {
	if r := c.table.get(name); r != nil {
		return r.fact.name
	}
	return name
}

// emit tells subscribers about a change of a member.
func (c *Core) emit(kind ChangeKind, f *fact, before State, by []string, reason string) {
	c.effects = append(c.effects, Changed{Change{
		Kind:   kind,
		At:     c.epoch.Add(c.now),
		Member: f.member(c.epoch),
		Before: before,
		By:     slices.Clone(by),
		Reason: reason,
	}})
}

// write adds an entry to the journal.
func (c *Core) write(kind EntryKind, f *fact, inc uint32, by string, via Source, note string) {
	c.counts.count(kind, via)
	c.journal.add(slot{at: c.now, subject: f.name, kind: kind, inc: inc, by: by, via: via, note: note})
}
