package membership

import "time"

// Core is the state machine. It has one owner and is not safe for concurrent use.
type Core struct {
	cfg     Config
	epoch   time.Time
	version uint64
	ignored uint64
}

// New returns the core of the node cfg.Self.
func New(cfg Config, now time.Time) (*Core, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Core{cfg: cfg, epoch: now}, nil
}

// Step advances the core to now, takes one input and returns what follows.
func (c *Core) Step(now time.Time, in Input) []Effect { return nil }

// View returns a snapshot of the table.
func (c *Core) View(now time.Time) *View {
	return &View{version: c.version, at: now, epoch: c.epoch, condition: Connected,
		self: &fact{name: c.cfg.Self, state: Alive, local: true}}
}

// Journal returns what happened to the member, oldest first; "" means to all of them.
func (c *Core) Journal(name string) []Entry { return nil }

// NextWake returns when a Tick is due; false when nothing waits for time.
func (c *Core) NextWake() (time.Time, bool) { return time.Time{}, false }

// Records returns what this node remembers of failed, left and pruned members.
func (c *Core) Records(now time.Time) []Record { return nil }

// Ignored returns how many inputs were refused because of a bound.
func (c *Core) Ignored() uint64 { return c.ignored }
