package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// Source is where it was written: "agent.yaml:12:5", "environment variable
	// HEARTBEAT_PROBE_INTERVAL", "flag --set probe.interval"; empty when the
	// default itself does not fit.
	Source string
	// Key is the setting that it is about, when there is one.
	Key string
	// Err says what is wrong.
	Err error

	line, column int // in the file, for sorting
}

func (p Problem) String() string {
	if p.Source == "" {
		return p.Err.Error()
	}
	return p.Source + ": " + p.Err.Error()
}

// Error reports everything that is wrong with a configuration at once, one
// problem a line. Nothing of such a configuration is used.
type Error struct {
	Problems []Problem
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the causes.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p.Err
	}
	return errs
}

// sortByPosition orders problems as a reader meets them: those of the file by
// place, then the others as they are.
func sortByPosition(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if inFile := cmp.Compare(min(b.line, 1), min(a.line, 1)); inFile != 0 {
			return inFile
		}
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
}

// fileProblem is a problem at a place of a file.
func fileProblem(file string, line, column int, format string, args ...any) Problem {
	return Problem{
		Source: position(file, line, column), Err: fmt.Errorf(format, args...),
		line: line, column: column,
	}
}

func position(file string, line, column int) string {
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// listError puts the errors about the values of one list into one line.
func listError(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
