package httpapi

import (
	"encoding/json"
	"time"
)

// The types of this file are what travels as JSON. They are apart from the
// types of packages gossip and membership, so that those can change without
// breaking clients.

// Member is a node as the answering node knows it.
type Member struct {
	// Name is unique in the cluster.
	Name string `json:"name"`
	// Addr is the gossip address, host:port ([v6]:port).
	Addr string `json:"addr"`
	// Tags are the member's own key=value pairs; never null.
	Tags map[string]string `json:"tags"`
	// State is alive, suspect, failed or left.
	State string `json:"state"`
	// Incarnation is SWIM's counter of refutations.
	Incarnation uint32 `json:"incarnation"`
	// Since is when the member came into its state, FirstSeen when the
	// answering node first heard of it; both by the answering node's clock.
	Since     time.Time `json:"since"`
	FirstSeen time.Time `json:"first_seen"`
	// ForcedOut tells that an operator removed the member by force-leave.
	ForcedOut bool `json:"forced_out"`
	// Probation tells that the member is failed though it runs: it failed too
	// soon after coming back before, or answers hardly anything.
	Probation bool `json:"probation,omitempty"`
	// Local marks the answering node itself.
	Local bool `json:"local"`
	// AccusedBy are those who accuse a suspect or testify against it; absent
	// for others.
	AccusedBy []string `json:"accused_by,omitempty"`
	// RTTMS is the round trip of the last direct probe of this member in
	// milliseconds; absent when none was measured.
	RTTMS *float64 `json:"rtt_ms,omitempty"`
}

// Members answers GET /v1/members.
type Members struct {
	// Node is the name of the answering node: this is its view, no other's.
	Node string `json:"node"`
	// Condition is the answering node's own: connected, degraded, minority or
	// isolated. In the last two the view says little about the members that
	// it holds failed.
	Condition string `json:"condition"`
	// ViewVersion grows with each change of the view of this run.
	ViewVersion uint64 `json:"view_version"`
	// At is when the view was taken.
	At time.Time `json:"at"`
	// Total counts all members of the view, before the filter.
	Total int `json:"total"`
	// Members are those that the filter lets through, sorted by name.
	Members []Member `json:"members"`
}

// MemberAnswer answers GET /v1/members/{name}; the fields outside Member are
// those of Members.
type MemberAnswer struct {
	Node        string    `json:"node"`
	Condition   string    `json:"condition"`
	ViewVersion uint64    `json:"view_version"`
	At          time.Time `json:"at"`
	Member      Member    `json:"member"`
}

// Counts are members by state.
type Counts struct {
	Alive   int `json:"alive"`
	Suspect int `json:"suspect"`
	Failed  int `json:"failed"`
	Left    int `json:"left"`
}

// Info answers GET /v1/info.
type Info struct {
	Name string `json:"name"`
	// Cluster is empty when the cluster has no name.
	Cluster string `json:"cluster"`
	// Profile is lan, wan, local or empty.
	Profile string `json:"profile"`
	// Detector is who decides that a member failed: memberlist (the engine
	// alone) or verdicts (witnesses).
	Detector string `json:"detector"`
	// Version is the agent's.
	Version string `json:"version"`
	// Bind is where the gossip sockets listen, Advertise what others use.
	Bind      string `json:"bind"`
	Advertise string `json:"advertise"`
	// Epoch names this run of the node; event ids begin with it.
	Epoch    string    `json:"epoch"`
	Started  time.Time `json:"started"`
	UptimeMS float64   `json:"uptime_ms"`
	// Condition is connected, degraded, minority or isolated.
	Condition string `json:"condition"`
	// HealthScore is the node's own health: 0 is best (Lifeguard).
	HealthScore int `json:"health_score"`
	// Ready and ReadyReason are what /readyz says.
	Ready       bool   `json:"ready"`
	ReadyReason string `json:"ready_reason"`
	// Left: the node has left its cluster and is about to end.
	Left bool `json:"left"`
	// Encrypted tells whether gossip is encrypted.
	Encrypted bool   `json:"encrypted"`
	Members   Counts `json:"members"`
	// PendingBroadcasts are messages that wait to be gossiped.
	PendingBroadcasts int    `json:"pending_broadcasts"`
	ViewVersion       uint64 `json:"view_version"`
	// Digest sums up the node's view; absent with sync.digest off.
	Digest *Digest `json:"digest,omitempty"`
}

// Digest sums up the members that a node holds, alive or suspect.
type Digest struct {
	// Sum is 16 hexadecimal digits, the same at nodes that hold the same names,
	// addresses and tags.
	Sum string `json:"sum"`
	// Held is how many members the node holds, itself included.
	Held int `json:"held"`
	// LastAgreed and LastDiffered are when a peer that the node probed told the
	// same digest, or another one; absent when none has.
	LastAgreed   *time.Time `json:"last_agreed,omitempty"`
	LastDiffered *time.Time `json:"last_differed,omitempty"`
}

// Partitions answers GET /v1/partitions: who holds which view, as the members
// say themselves. Members that are failed or have left are not asked.
type Partitions struct {
	Node      string    `json:"node"`
	Condition string    `json:"condition"`
	At        time.Time `json:"at"`
	// Agree: all that told a digest told the same, and this node has it too.
	Agree bool `json:"agree"`
	// Groups are the views that there are, this node's first, then the largest.
	Groups []PartitionGroup `json:"groups"`
	// Silent are members that did not answer, NoDigest those whose answers hold
	// no digest (plain memberlist, or sync.digest off).
	Silent   []string `json:"silent"`
	NoDigest []string `json:"no_digest"`
	// NotAsked counts members beyond the 512 that are asked at a time; they are
	// in their group by what they told last, if that was in the last minute.
	NotAsked int `json:"not_asked"`
	// Unknown are those of them that have told nothing lately.
	Unknown int `json:"unknown"`
}

// PartitionGroup are the nodes that hold the same members.
type PartitionGroup struct {
	Sum  string `json:"sum"`
	Held int    `json:"held"`
	// Own marks the group of the answering node.
	Own bool `json:"own"`
	// Nodes are sorted by name.
	Nodes []string `json:"nodes"`
}

// Event is one change of a node's view, or a notice about the stream itself.
type Event struct {
	// ID is <epoch>-<number>; hand it back (EventOptions.Since) to resume.
	ID string `json:"id"`
	// Kind is joined, updated, suspected, refuted, lapsed, failed, left,
	// removed, condition or conflict; or a notice: EventLost, EventReset.
	Kind string `json:"kind"`
	// At is when the node saw the change.
	At time.Time `json:"at"`
	// Member is the member after the change; absent in notices and in changes
	// of the node's own condition.
	Member *Member `json:"member,omitempty"`
	// Before is the member's state before the change; empty when it was new.
	Before string `json:"before,omitempty"`
	// By names the members on whose word the change rests: accusers or
	// witnesses.
	By []string `json:"by,omitempty"`
	// Reason says it in words.
	Reason string `json:"reason,omitempty"`
	// Condition is the node's own condition after the change; always there
	// when it is what changed.
	Condition string `json:"condition,omitempty"`
	// Lost is how many events before this one are gone (EventLost only).
	Lost uint64 `json:"lost,omitempty"`
}

// Notices among the events.
const (
	// EventLost: the client was too slow or away for too long; Event.Lost
	// events are missing here.
	EventLost = "lost"
	// EventReset: the id to resume from belongs to another run of the node.
	// What follows are the events of this run from its beginning; how many of
	// the earlier run were missed is not known, so read the members anew.
	EventReset = "reset"
)

// JournalEntry is one line of the history of a member.
type JournalEntry struct {
	At time.Time `json:"at"`
	// Member is whom it is about.
	Member string `json:"member"`
	// Kind is joined, updated, accused, refuted, lapsed, failed, left,
	// forced-out, removed, condition, conflict, testified, abstained, answered,
	// verdict, overturned, held-back or healed.
	Kind string `json:"kind"`
	// Incarnation is the one known or claimed then; 0 when not known.
	Incarnation uint32 `json:"incarnation"`
	// By is the member who said it; empty for the engine and for rules.
	By string `json:"by"`
	// Via is how the node learned it: inbound, outbound, engine, operator,
	// memory or rule.
	Via string `json:"via"`
	// Note says it in words; may be empty.
	Note string `json:"note"`
}

// Journal answers GET /v1/journal: the history that the node still holds,
// oldest first.
type Journal struct {
	Node      string         `json:"node"`
	Condition string         `json:"condition"`
	Entries   []JournalEntry `json:"entries"`
}

// JoinRequest is the body of POST /v1/join.
type JoinRequest struct {
	// Seeds are host, host:port, [v6]:port or srv:name; 1 to 64 of them.
	Seeds []string `json:"seeds"`
}

// JoinAnswer answers POST /v1/join when at least one seed answered.
type JoinAnswer struct {
	// Joined are the addresses that answered.
	Joined []string `json:"joined"`
	// Failed are the seeds or addresses that did not.
	Failed []SeedFailure `json:"failed"`
}

// SeedFailure says why one seed could not be joined through.
type SeedFailure struct {
	Seed string `json:"seed"`
	// Addr is the resolved address that was tried; empty when the name could
	// not be resolved.
	Addr  string `json:"addr"`
	Error string `json:"error"`
}

// LeaveAnswer answers POST /v1/leave: the node has left and is about to end.
type LeaveAnswer struct {
	Left bool `json:"left"`
}

// ForceLeaveRequest is the body of POST /v1/force-leave.
type ForceLeaveRequest struct {
	// Name is the failed member to be forced out.
	Name string `json:"name"`
	// Prune removes it from the list as well, at once.
	Prune bool `json:"prune"`
}

// ForceLeaveAnswer answers POST /v1/force-leave.
type ForceLeaveAnswer struct {
	Name   string `json:"name"`
	Pruned bool   `json:"pruned"`
}

// TagsRequest is the body of PATCH /v1/tags: the node's own tags.
type TagsRequest struct {
	Set    map[string]string `json:"set,omitempty"`
	Remove []string          `json:"remove,omitempty"`
}

// Tags answers GET and PATCH /v1/tags.
type Tags struct {
	Tags map[string]string `json:"tags"`
}

// KeyRequest is the body of POST /v1/keys.
type KeyRequest struct {
	// Action is install, use or remove.
	Action string `json:"action"`
	// Key is the base64 key, for install only.
	Key string `json:"key,omitempty"`
	// ID is the key's fingerprint, for use and remove.
	ID string `json:"id,omitempty"`
}

// Key tells about an installed key; the key itself is never shown.
type Key struct {
	// ID is the fingerprint.
	ID string `json:"id"`
	// Bits is 128, 192 or 256.
	Bits int `json:"bits"`
	// Primary marks the key that encrypts.
	Primary bool `json:"primary"`
}

// Keys answers GET and POST /v1/keys.
type Keys struct {
	// ID is the key that an action was about; absent in the answer to GET.
	ID string `json:"id,omitempty"`
	// Keys are the installed keys afterwards, the primary one first.
	Keys []Key `json:"keys"`
}

// LogLine is one line of the agent's log, or a notice that lines are missing.
type LogLine struct {
	// Line is the line as the logger made it, a JSON object; absent in a
	// notice.
	Line json.RawMessage `json:"line,omitempty"`
	// Lost is how many lines are missing here.
	Lost uint64 `json:"lost,omitempty"`
}

// Health answers GET /healthz: the process runs and answers.
type Health struct {
	Status string `json:"status"`
}

// Readiness answers GET /readyz.
type Readiness struct {
	Ready bool `json:"ready"`
	// Reason says why not; empty when ready.
	Reason string `json:"reason"`
	// Condition is the node's own.
	Condition string `json:"condition"`
}

// Problem is an error as it travels (RFC 9457).
type Problem struct {
	// Type is one of the Problem constants.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is about this one occurrence.
	Detail string `json:"detail,omitempty"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
	// Failed are the seeds, when a join failed.
	Failed []SeedFailure `json:"failed,omitempty"`
}
