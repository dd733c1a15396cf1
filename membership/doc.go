// Package membership is what one node knows about the members of its cluster, and
// the rules by which it comes to know it: the table, SWIM's merge rules, the journal
// and the node's own condition.
//
// It is a state machine and nothing else. [Core.Step] takes the time and one [Input]
// and returns the [Effect] values that follow from it. There is no I/O, no clock, no
// goroutine and no logging here, and the same inputs at the same times always give
// the same effects, so every rule can be tested with a clock in hand and no network.
//
// A [Core] has one owner and is not safe for concurrent use. What it hands out is:
// a [View] is an immutable snapshot that may be kept and shared between goroutines,
// and a [Member], [Change] or [Entry] is a value that shares nothing with the core.
//
// # Who decides what
//
// The engine (memberlist) decides who is held and who is gone: [Joined], [EngineFailed]
// and [EngineLeft] are taken as they come. What the tap overhears of the engine's
// gossip ([Accused], [Refuted]) moves a member between alive and suspect only. What
// other nodes remember of failed and left members ([Record]) fills the gaps and never
// touches a member that the engine holds here. See [Merge] for the table.
//
// # Bounds
//
// Every list is bounded: members (Config.MaxMembers), the journal (per member and in
// all), the evidence about one member, remembered prunes, and the length of names and
// tags. No flood of inputs makes a core grow beyond these; what was refused is counted
// by [Core.Ignored].
package membership
