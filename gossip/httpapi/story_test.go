package httpapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"heartbeat/membership"
)

// noted reads a journal of lines "SECONDS KIND INCARNATION BY VIA NOTE", - for none.
func noted(t *testing.T, lines string) []JournalEntry {
	t.Helper()
	var entries []JournalEntry
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 6)
		e := JournalEntry{Member: "n7", Kind: f[1], Via: f[4]}
		var seconds float64
		if _, err := fmt.Sscan(f[0]+" "+f[2], &seconds, &e.Incarnation); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		e.At = t0.UTC().Truncate(time.Hour).Add(time.Duration(seconds * float64(time.Second)))
		if f[3] != "-" {
			e.By = f[3]
		}
		if len(f) > 5 {
			e.Note = f[5]
		}
		entries = append(entries, e)
	}
	return entries
}

// TestStories tells hand-made journals; the golden file is to be read by people.
func TestStories(t *testing.T) {
	const verdict = `
		1 joined 3 - engine it joined the cluster
		60 accused 3 n3 inbound n3 got no answer from it
		60.6 testified 3 n1 rule it did not answer this node, though 3 of 3 controls did
		60.9 testified 3 n9 inbound
		61 accused 3 n5 inbound
		61.1 testified 3 n12 inbound
		61.2 testified 3 n20 inbound
		61.2 testified 3 n31 inbound
		63.22 verdict 3 - rule accused by n3 and n5, confirmed
		63.4 testified 3 n44 inbound
		64 accused 3 n8 inbound`
	const failed = `
		1 joined 3 - engine it joined the cluster
		60 accused 3 n1 outbound it did not answer this node's probe
		60.3 accused 3 n5 inbound
		64.001 failed 3 - engine accused by n1 and n5 and not refuted for 4.001s`
	var b strings.Builder
	for _, tc := range []struct {
		what, journal, state string
		change               func(*Why)
	}{
		{"failed by a verdict", verdict, "failed", nil},
		{"failed by a verdict that waited for nothing", `
			60 accused 3 n3 inbound n3 got no answer from it
			60.3 testified 3 n9 inbound
			60.3 testified 3 n12 inbound
			60.61 verdict 3 - rule accused by n3, confirmed by n9 and n12 within 301ms, their controls answered; the members were asked, and it had been heard of last 5.21s before the accusation`, "failed", nil},
		{"failed by a verdict that waited: it had been heard just before", `
			60 accused 3 n3 inbound n3 got no answer from it
			60 heard 3 - rule a packet of it had arrived here 1.2s before the accusation
			60.1 heard 3 - inbound a packet of it had arrived at another node 410ms before the accusation
			60.5 testified 3 n9 inbound
			60.6 testified 3 n12 inbound
			62.59 verdict 3 - rule accused by n3, confirmed
			62.6 heard 3 - inbound a packet of it had arrived at another node 100ms before the accusation`, "failed", nil},
		{"failed by a verdict that waited: it was heard after the accusation", `
			60 accused 3 n3 inbound n3 got no answer from it
			60.1 heard 3 n1 rule packets of it still arrive there
			60.4 heard 3 n4 inbound packets of it still arrive there
			60.5 testified 3 n9 inbound
			65.2 verdict 3 - rule accused by n3, confirmed
			65.3 heard 3 n5 inbound packets of it still arrive there`, "failed", nil},
		{"failed by a verdict that waited: it had stalled before", `
			60 accused 3 n3 inbound n3 got no answer from it
			60 stalled 3 - rule it had come back from a silence of 4s only 42s ago, so a verdict waits until 7.62s after the accusation
			60.5 testified 3 n9 inbound
			60.6 testified 3 n12 inbound
			67.63 verdict 3 - rule accused by n3, confirmed`, "failed", nil},
		{"alive, heard once more after it had refuted", `
			60 accused 3 n2 inbound n2 got no answer from it
			60.52 refuted 4 n7 inbound it proved itself alive with incarnation 4
			60.6 heard 3 - inbound a packet of it had arrived at another node 100ms before the accusation`, "alive", nil},
		{"failed for the second time and back", verdict + `
			80 probation 5 - rule it came back, but has failed once soon after coming back: it stays failed here until nobody has accused it for 30s`,
			"failed", func(w *Why) { w.Member.Probation = true }},
		{"failed though it refutes, for it answers too little", `
			60 accused 3 n2 inbound n2 got no answer from it
			60.52 refuted 4 n7 inbound it proved itself alive with incarnation 4
			70 accused 4 n3 inbound n3 got no answer from it
			71 refuted 5 n7 inbound it proved itself alive with incarnation 5
			77 unreliable 5 - rule n2, n3, n4, n5, n6 and n8 accused it in the last 2m0s, and it refuted that, but it answered only 2 of 8 pings of this node, late answers included
			77 probation 5 - rule it answers too little: it stays failed here until nobody has accused it for 1m0s`,
			"failed", func(w *Why) { w.Member.Probation = true }},
		{"failed by a verdict, seen by a node in the minority", verdict, "failed", func(w *Why) { w.Condition = "minority" }},
		{"failed by the engine", failed, "failed", func(w *Why) { w.Detector = "memberlist" }},
		{"failed by the engine though there are witnesses", failed, "failed", nil},
		{"failed, held back first", `
			60 held-back 3 - engine the engine was told that it failed, and no quorum here has confirmed it
			60.5 abstained 3 n1 rule
			61.7 answered 3 n1 rule
			64 accused 3 n5 inbound
			66 failed 3 - engine`, "failed", nil},
		{"failed, nobody accused it here", `
			1 joined 3 - engine it joined the cluster
			64 failed 3 - engine the engine declared it failed; no accusation was seen here`, "failed", nil},
		{"failed, known by another's memory", `64 failed 3 n2 memory learnt from another node's memory: failed for 1h`, "failed", nil},
		{"failed, and the journal does not reach back", `64 updated 3 - engine`, "failed", func(w *Why) { w.JournalSince = w.Evidence[0].At }},
		{"failed a second time", failed + `
			80 joined 4 - engine it came back after it had failed
			90 accused 4 n2 inbound n2 got no answer from it
			94 failed 4 - engine`, "failed", nil},
		{"suspect, by the engine's rules", `60 accused 3 n2 inbound n2 got no answer from it`, "suspect", func(w *Why) { w.Rules = &Rules{} }},
		{"suspect, two of five have spoken", `
			60 accused 3 n2 inbound n2 got no answer from it
			60.5 testified 3 n9 inbound
			60.6 testified 3 n12 inbound
			60.7 abstained 3 n1 rule
			60.9 abstained 3 n1 rule`, "suspect", nil},
		{"suspect, heard just before", `
			60 accused 3 n2 inbound n2 got no answer from it
			60 heard 3 - rule a packet of it had arrived here 20ms before the accusation`, "suspect", func(w *Why) { w.Rules.PatienceMS = 2980 }},
		{"suspect, heard of long ago", `
			60 accused 3 n3 inbound n3 got no answer from it
			60.3 testified 3 n9 inbound`, "suspect", func(w *Why) { w.Rules.PatienceMS = 0 }},
		{"suspect, by a testimony alone", `60 testified 3 n2 inbound`, "suspect", nil},
		{"alive, never accused", `1 joined 3 - engine it joined the cluster`, "alive", nil},
		{"alive, refuted", `
			1 joined 3 - engine it joined the cluster
			60 accused 3 n2 inbound n2 got no answer from it
			60.52 refuted 4 n7 inbound it proved itself alive with incarnation 4`, "alive", nil},
		{"alive, accused three times", `
			60 accused 3 n2 inbound
			60.52 refuted 4 n7 inbound
			160 accused 4 n2 inbound
			160.52 refuted 5 n7 inbound
			260 accused 5 n3 inbound
			320 lapsed 5 - rule`, "alive", nil},
		{"alive, a verdict was wrong", verdict + `
			70 overturned 4 n7 inbound it proved itself alive with incarnation 4`, "alive", nil},
		{"alive, back after a failure", failed + `
			70 joined 4 - engine it came back after it had failed`, "alive", nil},
		{"alive, what was refuted was held back", `
			60 held-back 3 - engine the engine was told that it failed, and no quorum here has confirmed it
			60.7 refuted 4 n7 engine it proved itself alive after the engine had been told that it failed`, "alive", nil},
		{"alive, of itself", `
			60 accused 3 n2 inbound this node is accused itself
			60 refuted 4 n7 inbound it raised its incarnation while it was not suspect here`, "alive", func(w *Why) {
			w.Node, w.Member.Local = "n7", true
		}},
		{"left by itself", `64 left 3 - engine it left the cluster`, "left", nil},
		{"left, known by another's memory", `64 left 3 n2 memory learnt from another node's memory: left for 1h`, "left", nil},
		{"forced out", failed + `
			90 forced-out 3 n2 operator an operator at n2 forced it out`, "left", func(w *Why) { w.Member.ForcedOut = true }},
		{"pruned", failed + `
			90 forced-out 3 n2 operator an operator at n2 forced it out
			99 removed 3 n2 operator an operator at n2 pruned it`, "", nil},
	} {
		entries := noted(t, tc.journal)
		why := Why{Node: "n1", Condition: "connected", Name: "n7", Detector: "verdicts", JournalSince: t0.UTC().Truncate(time.Hour), Evidence: entries,
			Rules: &Rules{Witnesses: []string{"n1", "n9"}, Quorum: 5, PatienceMS: 1200, Majority: true}}
		if tc.state != "" {
			last := entries[len(entries)-1]
			why.Member = &Member{Name: "n7", State: tc.state, Incarnation: last.Incarnation, Since: last.At, FirstSeen: why.JournalSince}
		}
		if tc.change != nil {
			tc.change(&why)
		}
		fmt.Fprintf(&b, "# %s\n", tc.what)
		for _, line := range (&story{why: &why, cases: tellCases(entries)}).tell() {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	golden(t, "stories", b.String())
}

// Whatever a journal holds, there is a story, and it is whole.
func TestStoriesOfAnyJournal(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	states := []string{"", "alive", "suspect", "failed", "left"}
	for range 20000 {
		var entries []JournalEntry
		for i := range rnd.IntN(8) {
			entries = append(entries, JournalEntry{
				At: t0.Add(time.Duration(i) * time.Second), Member: "n7", Kind: membership.EntryKind(1 + rnd.IntN(19)).String(),
				Incarnation: uint32(rnd.IntN(4)), By: fmt.Sprintf("n%d", rnd.IntN(3)), Via: membership.Source(1 + rnd.IntN(6)).String(),
			})
		}
		why := Why{Node: "n1", Condition: "connected", Name: "n7", Detector: "verdicts", JournalSince: t0, Evidence: entries}
		if state := states[rnd.IntN(len(states))]; state != "" {
			why.Member = &Member{Name: "n7", State: state, ForcedOut: rnd.IntN(2) == 0}
			why.Rules = &Rules{Quorum: rnd.IntN(2)}
		}
		story := strings.Join((&story{why: &why, cases: tellCases(entries)}).tell(), "\n")
		if story == "" || strings.Contains(story, "%!") || strings.Contains(story, "  ") || strings.Contains(story, "unknown") {
			t.Fatalf("%+v\n%s", entries, story)
		}
		for line := range strings.Lines(story) {
			if line = strings.TrimSpace(line); !strings.HasSuffix(line, ".") && !strings.HasSuffix(line, ":") {
				t.Fatalf("%+v\n%s", entries, story)
			}
		}
	}
}
