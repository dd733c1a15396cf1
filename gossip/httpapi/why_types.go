package httpapi

import "time"

// Why answers GET /v1/why/{name}: why the answering node holds a member in its
// state, as far back as its journal reaches. All times are by its own clock.
type Why struct {
	// Node, Condition and At are those of Members.
	Node      string    `json:"node"`
	Condition string    `json:"condition"`
	At        time.Time `json:"at"`
	// Name is the member in question, Member what is known of it; absent when
	// it is only in the journal any more.
	Name   string  `json:"name"`
	Member *Member `json:"member,omitempty"`
	// Detector is who decides at the answering node that a member failed:
	// memberlist or verdicts.
	Detector string `json:"detector"`
	// JournalSince is when the journal about the member begins.
	JournalSince time.Time `json:"journal_since"`
	// Story tells the rest in words, a sentence or two an element.
	Story []string `json:"story"`
	// Case is the latest accusation and what came of it; absent when the
	// journal has none.
	Case *Case `json:"case,omitempty"`
	// Rules say how it is judged, or would be if it were accused now; absent
	// when Member is.
	Rules *Rules `json:"rules,omitempty"`
	// Evidence are the entries of the journal about it, oldest first.
	Evidence []JournalEntry `json:"evidence"`
}

// Case is one accusation of a member and what came of it.
type Case struct {
	Incarnation uint32 `json:"incarnation"`
	// Began is the first accusation or testimony. Ended is when the member was
	// held failed or alive again; absent while nothing is decided.
	Began time.Time  `json:"began"`
	Ended *time.Time `json:"ended,omitempty"`
	// TookMS is from the one to the other.
	TookMS *float64 `json:"took_ms,omitempty"`
	// Outcome is the kind of the entry that ended it: verdict (a quorum of
	// witnesses), failed (the engine alone), refuted, lapsed, joined, left ...
	Outcome string `json:"outcome,omitempty"`
	// Accusers and Testimonies are those who spoke against it, each once.
	// Abstentions and Answers are looks of the answering node itself.
	Accusers    []Statement `json:"accusers"`
	Testimonies []Statement `json:"testimonies"`
	Abstentions []Statement `json:"abstentions"`
	Answers     []Statement `json:"answers"`
	// Hearers are the nodes at which packets of it arrived after the
	// accusation: it may only be slow, and a verdict waits longer.
	Hearers []Statement `json:"hearers"`
	// HeardBefore is when the answering node noted that a packet of it had
	// arrived somewhere shortly before the accusation, the last time; how
	// shortly is in the note of that entry. A verdict waits until its silence is
	// longer.
	HeardBefore *time.Time `json:"heard_before,omitempty"`
	// HeldBack is when the engine's word that it failed was held back.
	HeldBack *time.Time `json:"held_back,omitempty"`
}

// Statement is what one node said, and how long after the case began it was
// heard.
type Statement struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	AfterMS float64   `json:"after_ms"`
	// Late tells that it came after the case had ended.
	Late bool `json:"late"`
}

// Rules say who judges a member and by what.
type Rules struct {
	// Witnesses are those who look at it, the surest first, as the answering
	// node sees the members now; empty when the engine alone decides, or when
	// the member's incarnation is not known.
	Witnesses []string `json:"witnesses"`
	// Quorum is how many of them must get no answer; 0: the engine alone
	// decides.
	Quorum int `json:"quorum"`
	// PatienceMS is how long after the first accusation a verdict waits at
	// least.
	PatienceMS float64 `json:"patience_ms"`
	// StallMS is the silence from which the member came back before, which makes
	// the patience longer; absent when there was none that does.
	StallMS float64 `json:"stall_ms,omitempty"`
	// Majority tells that the answering node may pass a verdict: it is not on
	// the smaller side of a split.
	Majority bool `json:"majority"`
}
