package scenario

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Targets says which nodes something is about: by name, or how many the seed shall pick.
//
// In a file it is one of: a name or range (n3, n1..n9), a list of these, a word (one, minority,
// minority-third, majority, all), a percentage of the cluster (10%, rounded, at least one), or {count: 5}.
// The zero value targets nothing.
type Targets struct {
	// Spans are the nodes given by name.
	Spans []Span
	// Pick is how many nodes the seed picks, when there are no Spans.
	Pick Pick
	// Count goes with PickCount.
	Count int
	// Share goes with PickShare.
	Share Fraction
}

// Span is the nodes from number First to number Last, both included; n1 has the number 1.
type Span struct{ First, Last int }

// Pick says how the number of nodes that the seed picks is found.
type Pick string

// The ways to say how many. Of n nodes:
const (
	// PickOne is one.
	PickOne Pick = "one"
	// PickMinority is the most that are fewer than half: (n-1)/2.
	PickMinority Pick = "minority"
	// PickMinorityThird is the most that are fewer than a third: (n-1)/3.
	PickMinorityThird Pick = "minority-third"
	// PickMajority is the fewest that are more than half: n/2+1.
	PickMajority Pick = "majority"
	// PickAll is all n: nothing is left to the seed.
	PickAll Pick = "all"
	// PickCount is the number given.
	PickCount Pick = "count"
	// PickShare is the share given.
	PickShare Pick = "share"
)

// pickWords are the picks that a file names by a word.
var pickWords = []string{
	string(PickOne), string(PickMinority), string(PickMinorityThird), string(PickMajority), string(PickAll),
}

// IsZero says that nothing is targeted.
func (t Targets) IsZero() bool { return len(t.Spans) == 0 && t.Pick == "" }

// BySeed says that which nodes are meant depends on the seed.
func (t Targets) BySeed() bool { return len(t.Spans) == 0 && t.Pick != "" && t.Pick != PickAll }

// Size returns how many nodes of a cluster of n are meant. Names beyond n do not count.
func (t Targets) Size(n int) int {
	if len(t.Spans) > 0 {
		size := 0
		for _, s := range t.Spans {
			size += max(0, min(s.Last, n)-s.First+1)
		}
		return size
	}
	switch t.Pick {
	case PickOne:
		return 1
	case PickMinority:
		return (n - 1) / 2
	case PickMinorityThird:
		return (n - 1) / 3
	case PickMajority:
		return n/2 + 1
	case PickAll:
		return n
	case PickCount:
		return t.Count
	case PickShare:
		return max(1, int(math.Round(float64(t.Share)*float64(n))))
	}
	return 0
}

// fixed returns the nodes meant, as sorted indexes from 0, when no seed is needed to know them.
func (t Targets) fixed(n int) []int {
	spans := t.Spans
	if t.Pick == PickAll {
		spans = []Span{{First: 1, Last: n}}
	}
	var nodes []int
	for _, s := range spans {
		for i := s.First; i <= min(s.Last, n); i++ {
			nodes = append(nodes, i-1)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// String writes the targets as in a file.
func (t Targets) String() string {
	switch {
	case len(t.Spans) > 0:
		parts := make([]string, len(t.Spans))
		for i, s := range t.Spans {
			parts[i] = s.String()
		}
		return strings.Join(parts, ", ")
	case t.Pick == PickCount:
		return fmt.Sprintf("{count: %d}", t.Count)
	case t.Pick == PickShare:
		return t.Share.String()
	}
	return string(t.Pick)
}

// String writes the span as in a file.
func (s Span) String() string {
	if s.First == s.Last {
		return NodeName(s.First - 1)
	}
	return NodeName(s.First-1) + ".." + NodeName(s.Last-1)
}

// NodeName returns the name of the node with the given index: n1 for 0.
func NodeName(index int) string { return "n" + strconv.Itoa(index+1) }

// parseSpan reads a name or a range of names. It does not know how many nodes there are.
func parseSpan(text string) (Span, error) {
	low, high, isRange := strings.Cut(text, "..")
	first, ok := nodeNumber(low)
	last := first
	if ok && isRange {
		last, ok = nodeNumber(high)
	}
	if !ok {
		return Span{}, fmt.Errorf("%q names no node: nodes are called n1, n2 and so on, a range is n1..n9", text)
	}
	if last < first {
		return Span{}, fmt.Errorf("%s runs backwards: write %s..%s", text, high, low)
	}
	return Span{First: first, Last: last}, nil
}

// nodeNumber reads a name such as n12, without a sign or leading zeros.
func nodeNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "n")
	number, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	return int(number), true
}

// parseText reads targets that are written as one word.
func (t *Targets) parseText(text string) error {
	if slices.Contains(pickWords, text) {
		*t = Targets{Pick: Pick(text)}
		return nil
	}
	if strings.HasSuffix(text, "%") {
		var share Fraction
		if err := share.parseText(text); err != nil {
			return err
		}
		if share == 0 {
			return fmt.Errorf("%s of the nodes is none", text)
		}
		*t = Targets{Pick: PickShare, Share: share}
		return nil
	}
	if count, err := strconv.Atoi(text); err == nil {
		return fmt.Errorf("%d is no target: for that many nodes picked by the seed write {count: %d}, for one node n%d", count, count, count)
	}
	if !strings.HasPrefix(text, "n") {
		return fmt.Errorf("%q is no target: give names (n3, n1..n9), a share (10%%), {count: 5} or one of %s", text, strings.Join(pickWords, ", "))
	}
	return t.addSpan(text)
}

// addSpan appends the nodes that one text names.
func (t *Targets) addSpan(text string) error {
	span, err := parseSpan(text)
	if err != nil {
		return err
	}
	for _, s := range t.Spans {
		if span.First <= s.Last && s.First <= span.Last {
			return fmt.Errorf("%s is named twice", NodeName(max(span.First, s.First)-1))
		}
	}
	t.Spans = append(t.Spans, span)
	return nil
}
