// Package trace writes down what happened in one run, one JSON object a line,
// and tells the story of one node from it.
package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Line is one line of a trace. Its JSON names are stable.
type Line struct {
	// T is when, in seconds from time 0; the joining before it has no lines.
	T float64 `json:"t"`
	// Kind is begin, action, probe-failed, truncated, or the kind of a change
	// of a view: joined, updated, suspected, refuted, lapsed, failed, left,
	// removed, condition, conflict; or what led to a verdict: testified,
	// heard-testimony, abstained, answered, held-back, overturned, probation,
	// heard, stalled, unreliable.
	Kind string `json:"kind"`
	// Observer is the node whose view changed or whose probe failed.
	Observer string `json:"observer,omitempty"`
	// Subject is the node that it is about.
	Subject string `json:"subject,omitempty"`
	// Incarnation is the subject's as the observer knows it.
	Incarnation uint32 `json:"inc,omitempty"`
	// By names those on whose word the change rests.
	By []string `json:"by,omitempty"`
	// Text says in words what an action of the timeline does, or why; of failed,
	// who accused it and which witnesses confirmed it.
	Text string `json:"text,omitempty"`
	// Nodes are those that an action concerns; none means all.
	Nodes []string `json:"nodes,omitempty"`
}

// Kinds of lines that are not changes of a view.
const (
	KindBegin       = "begin"
	KindAction      = "action"
	KindProbeFailed = "probe-failed"
	KindTruncated   = "truncated"
	// KindHeardTestimony is a testimony at somebody else than the witness, who is
	// in By. At the witness itself its kind is testified.
	KindHeardTestimony = "heard-testimony"
)

// MaxBytes is the default bound of a trace's size: 64 MiB.
const MaxBytes = 64 << 20

// Writer writes a trace up to a bound, after which one last line says that it
// was cut off. It is not safe for concurrent use. The first error stays.
type Writer struct {
	out  *bufio.Writer
	left int64
	err  error
}

// NewWriter writes to w, at most limit bytes and the line that says so; 0
// means MaxBytes.
func NewWriter(w io.Writer, limit int64) *Writer {
	if limit <= 0 {
		limit = MaxBytes
	}
	return &Writer{out: bufio.NewWriter(w), left: limit}
}

// Write adds a line at the given time.
func (w *Writer) Write(at time.Duration, l Line) {
	if w.err != nil || w.left <= 0 {
		return
	}
	l.T = at.Seconds()
	data, err := json.Marshal(l)
	if err != nil {
		w.err = err
		return
	}
	if w.left -= int64(len(data)) + 1; w.left <= 0 {
		data = fmt.Appendf(nil, `{"t":%v,"kind":%q,"text":"the trace has reached its bound; what follows was not written down"}`, l.T, KindTruncated)
	}
	if _, err := w.out.Write(append(data, '\n')); err != nil {
		w.err = err
	}
}

// Close writes out what is buffered and returns the first error of all.
func (w *Writer) Close() error {
	if err := w.out.Flush(); w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return fmt.Errorf("write the trace: %w", w.err)
	}
	return nil
}

// maxLine bounds a line that is read back.
const maxLine = 1 << 20

// Read calls each for every line, in order. It fails on a line that cannot be
// read, with its number.
func Read(r io.Reader, each func(Line) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	number := 0
	for in.Scan() {
		number++
		var l Line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d of the trace cannot be read: %w", number, err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read the trace after line %d: %w", number, err)
	}
	if number == 0 {
		return errors.New("the trace is empty")
	}
	return nil
}
