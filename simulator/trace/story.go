package trace

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// ErrNothing is wrapped by Story's error when a trace says nothing about a node.
var ErrNothing = errors.New("nothing in the trace is about")

// Story prints what happened to one node, and what it did to others, in the
// order of time. Lines of one kind that follow each other are told as one.
func Story(w io.Writer, r io.Reader, node string) error {
	s := &story{w: w, node: node}
	err := Read(r, func(l Line) error {
		s.take(l)
		return s.err
	})
	s.flush()
	switch {
	case err != nil:
		return err
	case s.err != nil:
		return s.err
	case !s.told:
		return fmt.Errorf("%w %s", ErrNothing, node)
	}
	return nil
}

// story collects lines of one kind into one sentence.
type story struct {
	w    io.Writer
	node string
	told bool
	err  error

	group []Line
}

// window is how far apart lines may be and still be told together.
const window = 5.0

func (s *story) take(l Line) {
	if !s.concerns(l) {
		return
	}
	if len(s.group) > 0 {
		first := s.group[0]
		if first.Kind != l.Kind || first.Subject != l.Subject && l.Observer != s.node || l.T-first.T > window || !collectable(l.Kind) {
			s.flush()
		}
	}
	s.group = append(s.group, l)
}

// collectable kinds are noted by many observers within seconds.
func collectable(kind string) bool {
	switch kind {
	case KindAction, KindBegin, KindTruncated, "condition", "conflict":
		return false
	}
	return true
}

func (s *story) concerns(l Line) bool {
	switch l.Kind {
	case KindBegin, KindTruncated:
		return true
	case KindAction:
		return len(l.Nodes) == 0 || slices.Contains(l.Nodes, s.node)
	}
	return l.Subject == s.node || l.Observer == s.node
}

func (s *story) flush() {
	if len(s.group) == 0 || s.err != nil {
		return
	}
	first, last := s.group[0], s.group[len(s.group)-1]
	if first.Kind != KindBegin && first.Kind != KindTruncated {
		s.told = true
	}
	when := clock(first.T)
	if len(s.group) > 1 && clock(last.T) != when {
		when += " to " + clock(last.T)
	}
	_, s.err = fmt.Fprintf(s.w, "%-24s %s\n", when, s.sentence())
	s.group = s.group[:0]
}

func clock(t float64) string {
	return (time.Duration(t * float64(time.Second))).Round(time.Millisecond).String()
}

// sentence tells the group.
func (s *story) sentence() string {
	first := s.group[0]
	switch first.Kind {
	case KindBegin, KindAction, KindTruncated, "condition", "conflict":
		if first.Observer != "" {
			return first.Observer + ": " + first.Text
		}
		return first.Text
	}
	own := first.Subject != s.node
	if own {
		return fmt.Sprintf("%s %s %s%s", s.node, verb(first.Kind), enumerate(s.names(func(l Line) string { return l.Subject })), s.because())
	}
	observers := s.names(func(l Line) string { return l.Observer })
	told := fmt.Sprintf("%s %s %s%s", enumerate(observers), verb(first.Kind), s.node, s.because())
	if first.Text != "" {
		told += fmt.Sprintf("; %s: %s", first.Observer, first.Text)
	}
	return told
}

func verb(kind string) string {
	switch kind {
	case KindProbeFailed:
		return "got no answer, directly and indirectly, from"
	case "suspected":
		return "began to suspect"
	case "refuted":
		return "heard the refutation of"
	case "lapsed":
		return "dropped the suspicion of"
	case "failed":
		return "held failed:"
	case "left":
		return "noted the leave of"
	case "joined":
		return "noted as alive:"
	case "removed":
		return "forgot"
	case "testified":
		return "testified, having got no answer though their controls answered, against"
	case KindHeardTestimony:
		return "heard testimonies against"
	case "abstained":
		return "abstained, having got no answer from their controls either, about"
	case "answered":
		return "learned that there is an answer from"
	case "held-back":
		return "held back the engine's word that failed:"
	case "overturned":
		return "took back the verdict about"
	case "unreliable":
		return "found that hardly any ping is answered by"
	case "probation":
		return "put on probation:"
	case "stalled":
		return "will wait longer than usual before a verdict, because of an earlier stall, on"
	case "heard":
		return "learned that packets had lately come from"
	}
	return "noted (" + kind + ")"
}

// because names those on whose word the group rests.
func (s *story) because() string {
	var by []string
	for _, l := range s.group {
		by = append(by, l.By...)
	}
	if by = distinct(by); len(by) == 0 {
		return ""
	}
	return " (on the word of " + enumerate(by) + ")"
}

func (s *story) names(of func(Line) string) []string {
	var names []string
	for _, l := range s.group {
		names = append(names, of(l))
	}
	return distinct(names)
}

func distinct(names []string) []string {
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // n9 before n10
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names)
}

// enumerate names up to nine, or eight and counts the rest.
func enumerate(names []string) string {
	const most = 8
	if len(names) > most+1 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
