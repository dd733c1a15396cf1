package agent

import (
	"bytes"
	"context"
	"io"
	"os"
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
// Nobody who logs ever waits for the output: a terminal that was paused or a pipe
// that nobody reads would otherwise stop the node, and the others would hold it
// failed. Lines that it cannot take are dropped and counted.
//
// The hub is the loggers' sampler too, so that a line which nobody wants is never put
// together, and so that the level can change while the agent runs although
// loggers are values.
type logHub struct {
	level atomic.Int32 // of the agent's own output
	// leases tell until when somebody reads lines of a level, in nanoseconds
	// since the hub began; 0: nobody does. The index is the level less trace.
	leases [zerolog.Disabled - zerolog.TraceLevel]atomic.Int64
	begin  time.Time

	ring    *httpapi.LogRing
	out     io.Writer     // used by the writing goroutine only
	lines   chan []byte   // to be written to out
	dropped atomic.Uint64 // lines that did not fit into it
	quit    chan struct{} // closed by Close
	written chan struct{} // closed once all lines are written
}

// outputLines is how many lines wait for a slow output.
const outputLines = 1024

// ringLines is how many lines a slow watcher may be behind.
const ringLines = 1024

// leaseTime is how long lines are still put together for a watcher after it has
// asked last. The API asks again every 15 seconds at least, and within 10 more
// when its reader is slow; watchers are not closed, they just stop asking.
const leaseTime = 30 * time.Second

// Journal and events have milliseconds too, so that lines can be put beside them.
func init() { zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00" }

// newLogHub starts a hub that the caller must Close.
func newLogHub(out io.Writer, level zerolog.Level) *logHub {
	h := &logHub{
		out: out, begin: time.Now(), ring: httpapi.NewLogRing(ringLines), lines: make(chan []byte, outputLines),
		quit: make(chan struct{}), written: make(chan struct{}),
	}
	h.SetLevel(level)
	go h.write()
	return h
}

// write is the one goroutine that waits for the output. An output that fails (a
// full disk, a closed pipe) must not stop the agent, so its errors end here.
func (h *logHub) write() {
	defer close(h.written)
	note := zerolog.New(h.out).With().Timestamp().Logger()
	for {
		select {
		case line := <-h.lines:
			_, _ = h.out.Write(line)
		case <-h.quit:
			for len(h.lines) > 0 {
				_, _ = h.out.Write(<-h.lines)
			}
			return
		}
		if n := h.dropped.Swap(0); n > 0 {
			note.Warn().Uint64("lines", n).Msg("lines of the log were dropped: whoever reads it is too slow")
		}
	}
}

// Close waits until the output has taken what was logged so far, at most for a
// second: an output that hangs must not keep the agent from ending.
func (h *logHub) Close() {
	close(h.quit)
	select {
	case <-h.written:
	case <-time.After(time.Second):
	}
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

// WriteLevel takes a line. It never waits and never fails.
func (h *logHub) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	if int32(level) >= h.level.Load() {
		select {
		case h.lines <- bytes.Clone(line):
		default:
			h.dropped.Add(1)
		}
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
