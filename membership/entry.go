package membership

import "time"

// EntryKind says what kind of happening a journal [Entry] is about.
type EntryKind uint8

// The kinds of journal entry.
const (
	EntryJoined     EntryKind = iota + 1 // the engine holds it alive again or for the first time
	EntryUpdated                         // its address or tags changed
	EntryAccused                         // one accuser's first accusation at that incarnation
	EntryRefuted                         // it raised its incarnation
	EntryLapsed                          // a suspicion was dropped
	EntryFailed                          // it failed
	EntryLeft                            // it left
	EntryForcedOut                       // an operator forced it out
	EntryRemoved                         // it was forgotten or pruned
	EntryCondition                       // this node's own condition changed
	EntryConflict                        // two nodes use its name
	EntryTestified                       // a witness got no answer from it though its controls answered
	EntryAbstained                       // this node got no answer from it, nor from its controls
	EntryAnswered                        // it answered this node, which looked as a witness
	EntryVerdict                         // it failed by a quorum of witnesses
	EntryOverturned                      // it proved itself alive after a verdict
	EntryHeld                            // the engine's word that it failed is held back
	EntryHeard                           // packets of it still arrive at By; without By, one had arrived shortly before it was accused
	EntryHealed                          // this node reached it again, and members came back because of it
	EntryProbation                       // it is back for the engine, but failed too often to count as back at once
	EntryStalled                         // it is accused, but stalled before, so a verdict waits longer
	EntryUnreliable                      // it failed though it refutes, for many accuse it and it answers too little
)

var entryNames = []string{"", "joined", "updated", "accused", "refuted", "lapsed", "failed", "left",
	"forced-out", "removed", "condition", "conflict", "testified", "abstained", "answered", "verdict", "overturned", "held-back", "heard", "healed", "probation", "stalled", "unreliable"}

// String returns the kind as one word: "joined", "updated", "accused", "refuted", "lapsed",
// "failed", "left", "forced-out", "removed", "condition", "conflict", "testified", "abstained",
// "answered", "verdict", "overturned", "held-back", "heard", "healed", "probation", "stalled" or
// "unreliable".
func (k EntryKind) String() string { return nameOf(entryNames, k) }

// MarshalText returns the kind as one word, empty for the zero EntryKind.
func (k EntryKind) MarshalText() ([]byte, error) { return marshalName(entryNames, "entry kind", k) }

// UnmarshalText is the inverse of MarshalText. On error k keeps its value.
func (k *EntryKind) UnmarshalText(text []byte) error {
	return unmarshalName(entryNames, "entry kind", text, k)
}

// Source is the way by which a piece of knowledge reached the core.
type Source uint8

// The sources.
const (
	SourceInbound  Source = iota + 1 // a message that arrived
	SourceOutbound                   // a message that this node sent: its own or relayed
	SourceEngine                     // the engine's own decision
	SourceOperator                   // an operator's order
	SourceMemory                     // another node's record
	SourceRule                       // a rule of this package: retention, lapse, condition
)

var sourceNames = []string{"", "inbound", "outbound", "engine", "operator", "memory", "rule"}

// String returns "inbound", "outbound", "engine", "operator", "memory" or "rule".
func (s Source) String() string { return nameOf(sourceNames, s) }

// MarshalText returns the name of the source, empty for the zero Source.
func (s Source) MarshalText() ([]byte, error) { return marshalName(sourceNames, "source", s) }

// UnmarshalText is the inverse of MarshalText. On error s keeps its value.
func (s *Source) UnmarshalText(text []byte) error {
	return unmarshalName(sourceNames, "source", text, s)
}

// Entry is one line of the journal: what happened, when, and who said it.
type Entry struct {
	At          time.Time
	Subject     string // the member it is about
	Kind        EntryKind
	Incarnation uint32 // the one known or claimed then; 0 = not known
	By          string // who said it; empty for the engine and for rules
	Via         Source
	Note        string // one plain sentence for people; may be empty
}
