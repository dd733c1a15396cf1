package httpapi

import (
	"bytes"
	"context"
	"sync"

	"github.com/rs/zerolog"
)

// maxLogLine bounds a line of a LogRing, in bytes; with the number of lines it
// bounds the ring's memory.
const maxLogLine = 16 << 10

// LogRing keeps the newest log lines for subscribers. Give it to zerolog as a
// writer beside the one for people:
//
//	ring := httpapi.NewLogRing(1024)
//	log := zerolog.New(zerolog.MultiLevelWriter(os.Stderr, ring))
//
// Readers are only cursors into it, so a slow one never holds the logger up
// and costs nothing; what it misses is counted for it. A LogRing is safe for
// concurrent use.
type LogRing struct {
	mu   sync.Mutex
	ring []logLine     // guarded by mu; ring[n % len] holds line n
	next uint64        // guarded by mu; number of the next line, from 0
	wake chan struct{} // guarded by mu; closed and replaced when lines come; nil while nobody waits
}

type logLine struct {
	level zerolog.Level
	text  []byte // never changed; nil for a line that was too long
}

// NewLogRing keeps up to that many lines, at least one.
func NewLogRing(lines int) *LogRing {
	return &LogRing{ring: make([]logLine, max(lines, 1))}
}

// Write takes a line without a level, which every reader gets.
func (l *LogRing) Write(p []byte) (int, error) { return l.WriteLevel(zerolog.NoLevel, p) }

// WriteLevel takes a line. It implements zerolog.LevelWriter and never fails.
func (l *LogRing) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	line := logLine{level: level}
	if text := bytes.TrimRight(p, "\r\n"); len(text) <= maxLogLine && !bytes.ContainsAny(text, "\r\n") {
		line.text = bytes.Clone(text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next%uint64(len(l.ring))] = line
	l.next++
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
	return len(p), nil
}

// Subscribe implements LogSource.
func (l *LogRing) Subscribe(level zerolog.Level) LogReader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ringReader{from: l, level: level, cursor: l.next}
}

type ringReader struct {
	from   *LogRing
	level  zerolog.Level
	cursor uint64 // number of the next line to look at
	lost   uint64 // lines missed since the last one handed out
}

// Next implements LogReader. Lines that were overwritten count as lost whatever
// their level was: nobody knows any more.
func (r *ringReader) Next(ctx context.Context) ([]byte, uint64, error) {
	for {
		line, wait := r.poll()
		if wait == nil {
			lost := r.lost
			r.lost = 0
			return line, lost, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// poll returns a line, or a channel that is closed when it is worth to ask
// again.
func (r *ringReader) poll() ([]byte, <-chan struct{}) {
	l := r.from
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := uint64(len(l.ring)); l.next > n && r.cursor < l.next-n {
		r.lost += l.next - n - r.cursor
		r.cursor = l.next - n
	}
	for ; r.cursor < l.next; r.cursor++ {
		line := l.ring[r.cursor%uint64(len(l.ring))]
		switch {
		case line.level < r.level:
		case line.text == nil:
			r.lost++
		default:
			r.cursor++
			return line.text, nil
		}
	}
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return nil, l.wake
}
