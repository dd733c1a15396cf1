package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxErrors bounds how many errors are reported of one file. One broken habit can produce thousands.
const maxErrors = 50

// Error is one thing that is wrong with a scenario.
type Error struct {
	// Source is the file, or the override, in which the reason stands.
	Source string
	// Line and Column count from 1. They are 0 where there is no file to point into.
	Line, Column int
	// Message says what is wrong and, where it can, how to put it right.
	Message string
}

// Error writes the error as source:line:column: message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Source + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Source, e.Line, e.Column, e.Message)
}

// Errors is everything that is wrong with a scenario, in the order of the file; at most 50, the last of which
// then says how many more there are.
type Errors []*Error

// Error writes one error a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, err := range e {
		all[i] = err
	}
	return all
}

// problems collects errors together with the place in the scenario that each is about.
type problems struct {
	source string
	pos    positions
	list   Errors
	paths  []string
}

// positions maps places in a scenario, such as timeline[2].link.loss, to where their values were given.
type positions map[string]position

type position struct {
	source       string
	line, column int
}

// add reports that something is wrong with the value at path. A value that is not in the file is reported
// where the nearest thing around it stands.
func (p *problems) add(path, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	at := position{source: p.source}
	for around := path; ; around = parent(around) {
		if found, ok := p.pos[around]; ok {
			at = found
			break
		}
		if around == "" {
			break
		}
	}
	p.addAt(at, path, message)
}

// addAt reports an error at a position.
func (p *problems) addAt(at position, path, message string) {
	p.list = append(p.list, &Error{Source: at.source, Line: at.line, Column: at.column, Message: message})
	p.paths = append(p.paths, path)
}

// touches says whether something wrong is known already about the value at path, about something in it or
// about something that it is in. What else could be said about it would only confuse.
func (p *problems) touches(path string) bool {
	return slices.ContainsFunc(p.paths, func(bad string) bool { return inside(bad, path) || inside(path, bad) })
}

// err returns what was collected, sorted, or nil.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	p.list = slices.CompactFunc(p.list, func(a, b *Error) bool { return *a == *b })
	if more := len(p.list) - maxErrors; more > 0 {
		p.list = append(p.list[:maxErrors-1], &Error{Source: p.source, Message: fmt.Sprintf("%d more errors", more+1)})
	}
	return p.list
}

// parent returns the path of what the value at path is in.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// inside says whether the value at path is the one at outer or in it.
func inside(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// join puts a key behind a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// element puts an index behind a path.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// oneOf writes a list of words as in: a, b or c.
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
