package membership

import (
	"net/netip"
	"time"
)

// Input is something that happened. The set is sealed: the inputs are the struct types
// of this package that say so. A core takes over the maps in an input: whoever
// produced it must not change them afterwards, but may share one map among inputs.
type Input interface{ input() }

// Joined says that the engine holds the member alive and did not before (memberlist's
// NotifyJoin), for this node itself once at the start. It is a new life: it overrides
// failed and left whatever the incarnation, because the engine has judged it by its own
// table and may have forgotten the old incarnation. It is produced by the owner of the engine.
type Joined struct {
	Name        string
	Addr        netip.AddrPort
	Tags        map[string]string
	Incarnation uint32 // 0 when not known
	Life        uint32 // tells its process from an earlier one of the same name; 0 when not known
}

// Updated says that the engine has a new address or new tags for a member that it holds
// (memberlist's NotifyUpdate). For a member not held here it is as good as [Joined].
type Updated struct {
	Name        string
	Addr        netip.AddrPort
	Tags        map[string]string
	Incarnation uint32 // 0 when not known
	Life        uint32 // as in Joined
}

// Accused is an accusation: the accuser suspects the subject at that incarnation. It is
// produced by the tap for every suspect message that passes, in either direction. It
// counts for a held member when the incarnation is not lower than the one known: the
// first one makes the member suspect, further accusers are kept as evidence. This node
// itself never becomes suspect here: that accusation goes to the journal alone.
type Accused struct {
	Subject     string
	Incarnation uint32
	Accuser     string
	Source      Source // SourceInbound, or SourceOutbound for this node's own and relayed ones
}

// Refuted says that the tap saw an alive message about the subject. When its incarnation
// is higher than the one known, a suspect is alive again. It never brings back a failed
// or left member: that is the engine's to decide, through [Joined].
type Refuted struct {
	Subject     string
	Incarnation uint32
}

// EngineFailed says that the engine declared the member failed (memberlist's NotifyLeave
// with the state dead). The accusers collected so far are its evidence.
type EngineFailed struct {
	Name        string
	Incarnation uint32 // 0 when not known
}

// EngineLeft says that the member left gracefully (memberlist's NotifyLeave with the
// state left). It is the only input that takes this node itself out.
type EngineLeft struct {
	Name        string
	Incarnation uint32 // 0 when not known
}

// ForcedOut says that an operator forced a failed member out, at this node or, by
// broadcast, at another. The failed member becomes left; with Prune a failed or left
// member is removed at once, and its name is remembered for a while so that an older
// [Record] does not bring it back. It is ignored for members that are held here and
// when the incarnation is known and lower than the member's.
type ForcedOut struct {
	Subject     string
	Incarnation uint32 // 0 when not known
	Prune       bool
	By          string // the node at which the operator gave the order; empty when not known
}

// Record is one node's memory of a failed, left or pruned member. [Core.Records] produces
// it, the user state of a push/pull carries it, and it is an input at the receiver. It
// never changes a member that is held here; it fills in unknown ones, so that a
// newcomer's table equals everybody's, and merges into failed and left ones.
//
// It is ignored in the last sixteenth of the receiver's retention for its state, and not
// handed out then either: otherwise two nodes whose clocks of the same failure differ by
// seconds would teach each other again and again what one of them has just forgotten.
type Record struct {
	Name        string
	Addr        netip.AddrPort // without one, address and tags that are known here stay
	Tags        map[string]string
	Incarnation uint32
	State       State         // Failed or Left
	Age         time.Duration // how long ago it entered State, or was pruned; ages need no common clock
	ForcedOut   bool
	Pruned      bool
	By          string // the node that told it, set by the receiver; empty in what Core.Records returns
}

// Conflict says that two nodes use one name (memberlist's NotifyConflict): Ours is the
// address the engine keeps, Theirs the one it refused. Reported at most once a minute a name.
type Conflict struct {
	Name         string
	Ours, Theirs netip.AddrPort
}

// Testified is a witness's testimony: the subject did not answer it though its controls
// did. It is produced for every testimony that arrives by broadcast, and counts when the witness is held
// here and this node, too, would have chosen it, or nearly so. It is an accusation as
// well. Without Config.Verdicts it is ignored.
type Testified struct {
	Subject     string
	Incarnation uint32
	Witness     string
	Asked       bool          // the witness asked its share of the members who had heard of the subject
	Age         time.Duration // how long ago the subject was first accused, as the sender knew
}

// Probed is the outcome of a [Probe]. One that nobody waits for any more is ignored.
type Probed struct {
	Subject          string
	Incarnation      uint32 // of the Probe
	Answered         bool   // the subject did
	ControlsAsked    int
	ControlsAnswered int
	Last             bool // of the Probe
	Early            bool // the look goes on, and its outcome follows; the subject has not answered yet
}

// Heard says that a packet of an accused member arrived: at this node, for the tap has seen it, or at
// another, which says so along with testimonies. When that was after the accusation, a verdict waits as long as the
// engine would; else as after [HeardBefore]. Without Config.Verdicts, and about members that are no suspects, it is ignored.
type Heard struct {
	Subject     string
	By          string    // where it arrived; empty = here
	Incarnation uint32    // of the accusation, when another node says so
	At          time.Time // when it arrived here; zero = now
}

// HeardBefore says that a packet of an accused member had arrived at some node before the accusation. A verdict
// waits until nobody has heard of the member for Verdicts.Silence, and for Verdicts.Patience unless that was one and a half times as long before the accusation already. What was more than three times as long before it is ignored. It is ignored like [Heard].
type HeardBefore struct {
	Subject     string
	Incarnation uint32        // of the accusation
	Before      time.Duration // how long before the accusation
}

// Health is the engine's score of this node's own health (memberlist's GetHealthScore):
// 0 is good, every unit makes the node probe that much more slowly.
type Health struct{ Score int }

// Tick says that nothing happened but time. It is due at [Core.NextWake].
type Tick struct{}

func (Joined) input()       {}
func (Updated) input()      {}
func (Accused) input()      {}
func (Refuted) input()      {}
func (EngineFailed) input() {}
func (EngineLeft) input()   {}
func (ForcedOut) input()    {}
func (Record) input()       {}
func (Conflict) input()     {}
func (Testified) input()    {}
func (Probed) input()       {}
func (Heard) input()        {}
func (HeardBefore) input()  {}
func (Health) input()       {}
func (Tick) input()         {}

// Effect is something the owner of the core has to do or to pass on. The set is sealed:
// the effects are the struct types of this package that say so.
type Effect interface{ effect() }

// Changed asks the owner to tell subscribers about a change.
type Changed struct{ Change }

// Probe asks the owner to probe the subject, and at the same moment the controls, directly, to report with an early [Probed] if the subject has
// not answered after a while, and to report the outcome with another. At most 16 with controls and 64 without are
// under way at a time, and as many as 64 of each that wait; one whose outcome does not come within Wait and four probe intervals is given up.
type Probe struct {
	Subject     Target
	Incarnation uint32
	Controls    []Target      // at most Verdicts.Controls; none for the look before a verdict
	Last        bool          // it decides what this node tells; Probed has to repeat it
	Wait        time.Duration // for how long after Verdicts.ProbeTimeout an answer of the subject still counts
}

// Listen asks the owner whether a packet of the subject has arrived lately, to be told with [Heard].
type Listen struct{ Subject Target }

// Testify asks the owner to broadcast all testimonies about the subject that are known here, this
// node's own and those of others, in place of what it broadcasts about the subject so far: something
// in them is news here and therefore may be news to others.
type Testify struct {
	Subject     string
	Incarnation uint32
	Witnesses   []string      // in order of arrival, at most 16, maybe none; the owner's to keep
	Asked       []bool        // of each of them, whether it asked its share of the members; the owner's to keep
	Age         time.Duration // how long ago the subject was first accused
	Hearers     []string      // where packets of it still arrive, in order of arrival, at most 4; the owner's to keep
	Before      time.Duration // how long before the accusation a packet of it arrived anywhere; negative = not known
	To          []Target      // at most 20, mostly none: members to send it to directly as well; the owner's to keep
	Quietly     bool          // to those alone: it is no news for others
}

// Summon asks the owner to send this node's accusation of the subject directly to its witnesses, beside the engine's gossip. The owner may
// leave it out: that costs time.
type Summon struct {
	Subject     string
	Incarnation uint32
	To          []Target // at most 16; the owner's to keep
}

// Refute asks the owner to let the engine refute that this node was accused at that incarnation,
// for a testimony does not pass through the engine.
type Refute struct {
	Incarnation uint32
	Witness     string // who testified
}

// GiveUp asks the owner to let the engine hold the subject dead, as a verdict does already, because a node with its
// name has started at another address.
type GiveUp struct {
	Subject     string
	Incarnation uint32
}

// Reconcile asks the owner to exchange state with the subject. It answers this node though the engine was told that it
// failed, and no refutation has come: either gossip of it has missed this node, or the subject has not heard of the accusation. At
// most one is asked for a subject in a patience; the owner may leave one out.
type Reconcile struct {
	Subject Target
}

func (Changed) effect()   {}
func (GiveUp) effect()    {}
func (Probe) effect()     {}
func (Testify) effect()   {}
func (Summon) effect()    {}
func (Listen) effect()    {}
func (Reconcile) effect() {}
func (Refute) effect()    {}
