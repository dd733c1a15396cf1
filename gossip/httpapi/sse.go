package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// sseEvent is one piece of a text/event-stream (WHATWG HTML, section 9.2).
// An id without data moves the position to resume from and nothing else.
type sseEvent struct {
	id, name string
	data     []byte // one line of JSON; no line breaks
}

// appendTo appends the event's text form.
func (e sseEvent) appendTo(b []byte) []byte {
	if e.id != "" {
		b = append(append(append(b, "id: "...), e.id...), '\n')
	}
	if e.data != nil {
		b = append(append(append(b, "event: "...), e.name...), '\n')
		b = append(append(append(b, "data: "...), e.data...), '\n')
	}
	return append(b, '\n')
}

// sseReader takes a stream apart. Lines may end in \n or \r\n; comments,
// retry and unknown fields are skipped.
type sseReader struct {
	in *bufio.Reader
}

func newSSEReader(r io.Reader) *sseReader {
	return &sseReader{in: bufio.NewReaderSize(r, 16<<10)}
}

// errLineTooLong ends a stream that cannot come from an agent.
var errLineTooLong = fmt.Errorf("the stream holds an event larger than %d bytes", maxStreamLine)

// next returns the next event that has data or an id. It returns io.EOF when
// the stream ends, whatever an unfinished event held: by the standard that is
// dropped.
func (r *sseReader) next() (sseEvent, error) {
	var ev sseEvent
	for {
		line, err := r.line()
		if err != nil {
			return sseEvent{}, err
		}
		if len(line) == 0 {
			if ev.data != nil || ev.id != "" {
				return ev, nil
			}
			ev = sseEvent{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			if !bytes.ContainsRune(value, 0) {
				ev.id = string(value)
			}
		case "event":
			ev.name = string(value)
		case "data":
			if ev.data != nil {
				ev.data = append(ev.data, '\n')
			}
			if len(ev.data)+len(value) > maxStreamLine {
				return sseEvent{}, errLineTooLong
			}
			ev.data = append(ev.data, value...)
			if ev.data == nil {
				ev.data = []byte{}
			}
		}
	}
}

// line returns the next line without its end. It is valid until the next call.
func (r *sseReader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) && len(long) <= maxStreamLine {
			line, err = r.in.ReadSlice('\n')
			long = append(long, line...)
		}
		if len(long) > maxStreamLine {
			return nil, errLineTooLong
		}
		line = long
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
