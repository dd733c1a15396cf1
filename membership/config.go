package membership

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// MaxNameBytes is the longest name of a member that is taken; inputs with longer names
// are ignored and counted. DNS allows 253 bytes for a host name, but a name travels in
// every packet about its member, and the engine's packets hold about 1400 bytes.
const MaxNameBytes = 128

// Config is the configuration of a [Core]. Zero fields have the defaults given.
type Config struct {
	// Self is the name of this node: 1 to MaxNameBytes bytes. Required.
	Self string

	// StableAfter is how long a member must have been held alive without a break before
	// it counts in the last stable view, by which minority and isolated are judged.
	// Shorter: a newcomer that dies at once counts as a loss. Longer: a split soon after
	// the start goes unreported. Default 30 s, at most 10 years.
	StableAfter time.Duration

	// SuspicionLapse is how long a suspicion stands that is neither confirmed nor
	// refuted. The tap misses refutations that arrive inside a push/pull, so this should be the
	// engine's longest suspicion timeout plus slack: shorter hides suspicions that the
	// engine still holds, longer shows ones that it has dropped. 0 means for ever, or 2 min
	// with Verdicts; at most 10 years.
	SuspicionLapse time.Duration

	// FailedRetention and LeftRetention are how long failed and left members stay in
	// the table. Longer keeps `failed` members in view and in the healing, and keeps
	// minority reported; each costs a few hundred bytes. Defaults 72 h and 24 h, at most 10 years.
	FailedRetention, LeftRetention time.Duration

	// MaxMembers bounds the table, this node included; further unknown names are ignored
	// and counted (see Core.Ignored). Records fill at most half of it. Default 16384, at most 2^24.
	MaxMembers int

	// JournalPerMember and JournalTotal bound the journal, in entries of about 100 bytes.
	// The oldest entry of the member goes first, so a flood about one member does
	// not push out what is known about others. Defaults 64 and 8192, at most 2^24.
	JournalPerMember, JournalTotal int

	// DegradedScore is the engine's health score from which on the condition is
	// degraded. A score of 1 or 2 comes from one or two unanswered probes, which a single
	// crashed peer or 1 % loss causes at a healthy node. At 3 the node probes four times more
	// slowly than it should, so what it finds comes late. Default 3, at least 1.
	DegradedScore int

	// Verdicts lets witnesses decide, with these settings. Nil: the engine alone decides.
	Verdicts *Verdicts
}

// Upper bounds that keep sums of durations and indices of the journal from overflowing.
const (
	maxDuration = 10 * 365 * 24 * time.Hour
	maxCount    = 1 << 24
)

// withDefaults returns cfg with its zero fields filled in, or an error that names every
// field that is out of bounds.
func (cfg Config) withDefaults() (Config, error) {
	cfg.StableAfter = cmp.Or(cfg.StableAfter, 30*time.Second)
	cfg.FailedRetention = cmp.Or(cfg.FailedRetention, 72*time.Hour)
	cfg.LeftRetention = cmp.Or(cfg.LeftRetention, 24*time.Hour)
	cfg.MaxMembers = cmp.Or(cfg.MaxMembers, 16384)
	cfg.JournalPerMember = cmp.Or(cfg.JournalPerMember, 64)
	cfg.JournalTotal = cmp.Or(cfg.JournalTotal, 8192)
	cfg.DegradedScore = cmp.Or(cfg.DegradedScore, 3)

	var errs []error
	if cfg.Verdicts != nil {
		v := cfg.Verdicts.withDefaults()
		errs = v.check()
		cfg.Verdicts = &v
		cfg.SuspicionLapse = cmp.Or(cfg.SuspicionLapse, defaultLapse)
	}
	reject := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("membership config: "+format, args...))
		}
	}
	reject(len(cfg.Self) == 0, "Self is empty: a node needs a name")
	reject(len(cfg.Self) > MaxNameBytes, "Self has %d bytes, at most %d are allowed", len(cfg.Self), MaxNameBytes)
	duration := func(field string, d time.Duration) {
		reject(d < 0 || d > maxDuration, "%s is %v, want 0 (the default) to %v", field, d, maxDuration)
	}
	count := func(field string, n int) {
		reject(n < 0 || n > maxCount, "%s is %d, want 0 (the default) to %d", field, n, maxCount)
	}
	duration("StableAfter", cfg.StableAfter)
	duration("SuspicionLapse", cfg.SuspicionLapse)
	duration("FailedRetention", cfg.FailedRetention)
	duration("LeftRetention", cfg.LeftRetention)
	count("MaxMembers", cfg.MaxMembers)
	count("JournalPerMember", cfg.JournalPerMember)
	count("JournalTotal", cfg.JournalTotal)
	count("DegradedScore", cfg.DegradedScore)
	return cfg, errors.Join(errs...)
}
