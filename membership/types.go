package membership

import (
	"errors"
	"maps"
	"net/netip"
	"time"
)

// State is what a node holds about a member. The order of the values is the order in
// which one overrides another at the same incarnation.
type State uint8

// The states. The zero State means that the member is not known.
const (
	Alive   State = iota + 1 // it runs and answers
	Suspect                  // somebody got no answer from it; not decided yet
	Failed                   // it stopped without saying so
	Left                     // it left gracefully, or an operator forced it out
)

var stateNames = []string{"", "alive", "suspect", "failed", "left"}

// String returns "alive", "suspect", "failed" or "left"; "unknown" for the zero State.
func (s State) String() string { return nameOf(stateNames, s) }

// MarshalText returns the name of the state, empty for the zero State.
func (s State) MarshalText() ([]byte, error) { return marshalName(stateNames, "state", s) }

// UnmarshalText is the inverse of MarshalText. On error s keeps its value.
func (s *State) UnmarshalText(text []byte) error {
	return unmarshalName(stateNames, "state", text, s)
}

// ParseState returns the state with that name. The empty string is an error.
func ParseState(name string) (State, error) {
	if name == "" {
		return 0, errors.New(`parse state: the name is empty, want "alive", "suspect", "failed" or "left"`)
	}
	var s State
	err := s.UnmarshalText([]byte(name))
	return s, err
}

// held reports whether the engine still counts the member in.
func (s State) held() bool { return s == Alive || s == Suspect }

// gone reports whether the member has failed or left.
func (s State) gone() bool { return s == Failed || s == Left }

// Member is a node as another node knows it. It is a value: Tags belongs to whoever
// holds the Member, since every accessor of this package returns clones.
type Member struct {
	Name        string
	Addr        netip.AddrPort
	Tags        map[string]string // nil when there are none
	State       State
	Incarnation uint32    // the highest one known; 0 = not known
	Since       time.Time // when it entered State, by this node's clock
	FirstSeen   time.Time // when this node first heard of it, by its own clock
	ForcedOut   bool      // it is left because an operator forced it out
	Probation   bool      // it is failed though it runs: it had failed too soon after coming back, or answers too little
	Local       bool      // it is this node itself
}

// Clone returns a copy that shares nothing with m.
func (m Member) Clone() Member {
	m.Tags = maps.Clone(m.Tags)
	return m
}

// Condition is how a node itself is doing, as far as it can tell from where it stands.
type Condition uint8

// The conditions, from good to bad. When several hold, the worst one is reported.
const (
	Connected Condition = iota + 1 // nothing is wrong
	Degraded                       // the node's own health is poor: its findings come late
	Minority                       // fewer than half of the last stable view are reachable
	Isolated                       // nobody is reachable though the last stable view had others
)

var conditionNames = []string{"", "connected", "degraded", "minority", "isolated"}

// String returns "connected", "degraded", "minority" or "isolated".
func (c Condition) String() string { return nameOf(conditionNames, c) }

// MarshalText returns the name of the condition, empty for the zero Condition.
func (c Condition) MarshalText() ([]byte, error) {
	return marshalName(conditionNames, "condition", c)
}

// UnmarshalText is the inverse of MarshalText. On error c keeps its value.
func (c *Condition) UnmarshalText(text []byte) error {
	return unmarshalName(conditionNames, "condition", text, c)
}

// ChangeKind says what kind of change a [Change] is.
type ChangeKind uint8

// The kinds of change.
const (
	ChangeJoined    ChangeKind = iota + 1 // it is alive now and was not held before
	ChangeUpdated                         // its address or its tags changed
	ChangeSuspected                       // the first accusation that counts
	ChangeRefuted                         // a suspect proved itself alive by a higher incarnation
	ChangeFailed                          // it is held failed now
	ChangeLeft                            // it left, or an operator forced it out
	ChangeRemoved                         // forgotten: its retention is over, or an operator pruned it
	ChangeCondition                       // this node's own condition changed
	ChangeConflict                        // two nodes use one name
	ChangeLapsed                          // a suspicion was dropped: neither confirmed nor refuted in time
)

var changeNames = []string{"", "joined", "updated", "suspected", "refuted", "failed", "left",
	"removed", "condition", "conflict", "lapsed"}

// String returns the kind as one word: "joined", "updated", "suspected", "refuted",
// "failed", "left", "removed", "condition", "conflict" or "lapsed".
func (k ChangeKind) String() string { return nameOf(changeNames, k) }

// MarshalText returns the kind as one word, empty for the zero ChangeKind.
func (k ChangeKind) MarshalText() ([]byte, error) { return marshalName(changeNames, "change kind", k) }

// UnmarshalText is the inverse of MarshalText. On error k keeps its value.
func (k *ChangeKind) UnmarshalText(text []byte) error {
	return unmarshalName(changeNames, "change kind", text, k)
}

// Change is one visible change of the table or of this node's condition. It shares
// nothing with the core.
type Change struct {
	Kind      ChangeKind
	At        time.Time
	Member    Member    // after the change; for ChangeRemoved as last known; for ChangeCondition this node
	Before    State     // the member's state before; 0 when it was not known
	By        []string  // who said it: accusers for suspected and failed (at most 16), the operator's node for forced out
	Reason    string    // one plain sentence for people, without a full stop
	Condition Condition // for ChangeCondition: this node's new condition; otherwise 0
}
