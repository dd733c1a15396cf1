package agent

import (
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"heartbeat/gossip/httpapi"
)

// logHub is where all lines of an agent go: to its own output from the agent's
// level on, and to whoever watches (heartbeat monitor) from the level that each
// watcher asked for.
//
// It is the loggers' sampler too, so that a line which nobody wants is never put
// together, and so that the level can change while the agent runs although
// loggers are values.
type logHub struct {
	level atomic.Int32 // of the agent's own output
	// leases tell until when somebody reads lines of a level, in nanoseconds
	// since the hub began; 0: nobody does. The index is the level less trace.
	leases [zerolog.Disabled - zerolog.TraceLevel]atomic.Int64
	begin  time.Time

	mu   sync.Mutex // writers of console lines are not safe for concurrent use
	out  io.Writer  // guarded by mu
	ring *httpapi.LogRing
}

// ringLines is how many lines a slow watcher may be behind.
const ringLines = 1024

// leaseTime is how long lines are still put together for a watcher after it has
// asked last. The API asks again every 15 seconds at least, and within 10 more
// when its reader is slow; watchers are not closed, they just stop asking.
const leaseTime = 30 * time.Second

func newLogHub(out io.Writer, level zerolog.Level) *logHub {
	h := &logHub{out: out, begin: time.Now(), ring: httpapi.NewLogRing(ringLines)}
	h.SetLevel(level)
	return h
}

// Logger returns a logger into the hub.
func (h *logHub) Logger() zerolog.Logger {
	return zerolog.New(h).Level(zerolog.TraceLevel).Sample(h).With().Timestamp().Logger()
}

// SetLevel changes the level of the agent's own output.
func (h *logHub) SetLevel(level zerolog.Level) { h.level.Store(int32(level)) }

// Sample tells whether anybody wants lines of that level.
func (h *logHub) Sample(level zerolog.Level) bool {
	if int32(level) >= h.level.Load() {
		return true
	}
	for i := range h.leases[:level-zerolog.TraceLevel+1] {
		lease := &h.leases[i]
		until := lease.Load()
		switch {
		case until == 0:
		case int64(time.Since(h.begin)) < until:
			return true
		default:
			lease.CompareAndSwap(until, 0) // unless it was renewed meanwhile
		}
	}
	return false
}

// Write takes a line without a level, which goes everywhere.
func (h *logHub) Write(line []byte) (int, error) { return h.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel takes a line. An output that fails (a full disk, a closed pipe)
// must not stop the agent nor the stream of lines, so its errors end here.
func (h *logHub) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	if int32(level) >= h.level.Load() {
		h.mu.Lock()
		_, _ = h.out.Write(line)
		h.mu.Unlock()
	}
	return h.ring.WriteLevel(level, line)
}

// Subscribe implements httpapi.LogSource.
func (h *logHub) Subscribe(level zerolog.Level) httpapi.LogReader {
	r := &leasedReader{hub: h, level: level, lines: h.ring.Subscribe(level)}
	r.renew()
	return r
}

// leasedReader reads lines and keeps the hub making those of its level.
type leasedReader struct {
	hub   *logHub
	level zerolog.Level
	lines httpapi.LogReader
}

func (r *leasedReader) renew() {
	i := r.level - zerolog.TraceLevel
	if i < 0 || int(i) >= len(r.hub.leases) {
		return
	}
	r.hub.leases[i].Store(int64(time.Since(r.hub.begin) + leaseTime))
}

// Next implements httpapi.LogReader.
func (r *leasedReader) Next(ctx context.Context) (line []byte, lost uint64, err error) {
	r.renew()
	return r.lines.Next(ctx)
}

// logOutput is where the agent's lines go in the given format: console, json,
// or auto, which is console on a terminal.
func logOutput(w io.Writer, format string) io.Writer {
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if format == "json" || format == "auto" && !terminal {
		return w
	}
	return zerolog.ConsoleWriter{Out: w, NoColor: !terminal || os.Getenv("NO_COLOR") != "", TimeFormat: time.StampMilli}
}
