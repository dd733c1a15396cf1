package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// eventSource is what a stream needs of a gossip.Watcher.
type eventSource interface {
	Next(ctx context.Context) (gossip.Event, error)
}

// LogSource hands out the agent's log lines. LogRing is one.
type LogSource interface {
	// Subscribe returns a reader of the lines of that level and above, from
	// now on. It needs no closing.
	Subscribe(level zerolog.Level) LogReader
}

// LogReader reads lines in order, by one goroutine at a time.
type LogReader interface {
	// Next waits for the next line, a JSON object without a line's end, which
	// is not changed afterwards. lost is how many lines before it are missing
	// because the reader was too slow.
	Next(ctx context.Context) (line []byte, lost uint64, err error)
}

// stream is one subscriber's connection.
type stream struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
	buf      []byte
}

// send writes one event and waits until the connection has taken it, at most
// for the stream's patience: what comes meanwhile stays in the bounded log
// that the subscriber reads, so a slow one costs no memory.
func (st *stream) send(ev sseEvent) error {
	st.buf = ev.appendTo(st.buf[:0])
	return st.flush()
}

// comment is a sign of life.
func (st *stream) comment(id string) error {
	st.buf = append(st.buf[:0], ": alive\n"...)
	st.buf = sseEvent{id: id}.appendTo(st.buf)
	return st.flush()
}

func (st *stream) flush() error {
	if err := st.rc.SetWriteDeadline(time.Now().Add(st.patience)); err != nil {
		return err
	}
	if _, err := st.w.Write(st.buf); err != nil {
		return err
	}
	return st.rc.Flush()
}

// openStream takes one of the bounded places and begins the answer. The
// context ends with the request and when the server stops; the caller must call
// done in the end.
func (s *Server) openStream(w http.ResponseWriter, r *http.Request, kind string) (ctx context.Context, st *stream, done func(), err error) {
	if r.Method == http.MethodHead {
		return nil, nil, nil, newProblem(http.StatusMethodNotAllowed, ProblemMethod, "a stream has no head alone", "use GET")
	}
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		return nil, nil, nil, newProblem(http.StatusServiceUnavailable, ProblemTooManyStreams,
			fmt.Sprintf("%d subscribers are connected, which is all there is room for", maxStreams), "end some of them, or try again later")
	}
	gauge := s.metrics.streams.WithLabelValues(kind)
	gauge.Inc()
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(s.stopping, func() { cancel(context.Cause(s.stopping)) })
	done = func() {
		stop()
		cancel(nil)
		gauge.Dec()
		s.streams.Add(-1)
	}
	st = &stream{w: w, rc: http.NewResponseController(w), patience: s.patience}
	if err := st.rc.SetReadDeadline(time.Time{}); err != nil { // the server's would end the request
		done()
		return nil, nil, nil, fmt.Errorf("cannot stream: %w", err)
	}
	w.Header().Set("Content-Type", typeStream)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not hold it back
	w.WriteHeader(http.StatusOK)
	return ctx, st, done, nil
}

// pump sends what next hands out, and a sign of life whenever that takes long,
// until the context ends or the reader does not keep up.
func (s *Server) pump(ctx context.Context, st *stream, position func() string, next func(context.Context) (*sseEvent, error)) {
	for {
		wait, cancel := context.WithTimeout(ctx, s.beat)
		ev, err := next(wait)
		cancel()
		switch {
		case err == nil && ev != nil:
			err = st.send(*ev)
		case err == nil: // filtered
		case ctx.Err() != nil:
			return // all that was there has been sent, also when the server stops
		case errors.Is(err, context.DeadlineExceeded):
			err = st.comment(position())
		default:
			return // the node is closed
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.metrics.cut.Inc()
				s.log.Debug().Str("part", "api").Err(err).Msg("a subscriber that did not keep up was cut off")
			}
			return
		}
	}
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r.URL.RawQuery, "since", "backlog", "state", "name")
	if err != nil {
		return err
	}
	filter, err := readFilter(q)
	if err != nil {
		return err
	}
	begin, err := s.beginAt(r, q)
	if err != nil {
		return err
	}
	ctx, st, done, err := s.openStream(w, r, "events")
	if err != nil {
		return err
	}
	defer done()
	first := sseEvent{id: eventID(begin.epoch, begin.next-1)}
	if begin.reset {
		first = encodeEvent(Event{ID: first.id, Kind: EventReset, At: s.now().UTC(),
			Reason: "the node was restarted since then: its events count anew, and the members should be read again"})
	}
	if st.send(first) != nil {
		return nil // gone already
	}
	events := &eventStream{source: s.watch(begin.next), epoch: begin.epoch, passed: begin.next - 1, filter: filter, now: s.now, forgive: begin.backlog}
	s.pump(ctx, st, events.position, events.next)
	return nil
}

// start is where a stream of events begins.
type start struct {
	epoch   string
	next    uint64 // the first event wanted
	reset   bool   // the id to resume from is of another run
	backlog bool   // the newest ones were asked for, as many as there are
}

// beginAt reads where to begin: Last-Event-ID, which a client that connects
// again sends beside its first query, before since, before backlog.
func (s *Server) beginAt(r *http.Request, q url.Values) (start, error) {
	since, backlog := q.Get("since"), q.Has("backlog")
	if since != "" && backlog {
		return start{}, badRequest("since and backlog are given together", "decide for one of them")
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		since, backlog = last, false
	}
	epoch, newest := s.cfg.Node.Info().Epoch, s.cfg.Node.Stats().Events
	if since == "" {
		n, err := readBacklog(q)
		if err != nil || !backlog {
			return start{epoch: epoch, next: newest + 1}, err
		}
		return start{epoch: epoch, next: newest + 1 - min(n, newest), backlog: true}, nil
	}
	from, passed, err := parseEventID(since)
	switch {
	case err != nil:
		return start{}, err
	case from != epoch || passed > newest:
		return start{epoch: epoch, next: 1, reset: true}, nil
	}
	return start{epoch: epoch, next: passed + 1}, nil
}

// eventStream turns the events of a node into those of a stream.
type eventStream struct {
	source  eventSource
	epoch   string
	passed  uint64 // the newest event that was sent or filtered out
	filter  memberFilter
	now     func() time.Time
	forgive bool // a notice of loss at the very beginning says nothing new
}

func (e *eventStream) position() string { return eventID(e.epoch, e.passed) }

// next returns nil for an event that the filter holds back.
func (e *eventStream) next(ctx context.Context) (*sseEvent, error) {
	forgive := e.forgive
	e.forgive = false
	ev, err := e.source.Next(ctx)
	if err != nil {
		return nil, err
	}
	if ev.Lost > 0 {
		e.passed = ev.ID - 1
		if forgive {
			return nil, nil
		}
		out := encodeEvent(Event{ID: e.position(), Kind: EventLost, At: e.now().UTC(), Lost: ev.Lost,
			Reason: "these events are no longer held; the members should be read again"})
		return &out, nil
	}
	e.passed = ev.ID
	// A change of the node's own condition passes every filter: it says how
	// far all others can be trusted.
	if ev.Change.Kind != membership.ChangeCondition && !e.filter.match(ev.Change.Member) {
		return nil, nil
	}
	out := encodeEvent(toEvent(e.position(), ev.Change))
	return &out, nil
}

// encodeEvent encodes an event.
func encodeEvent(ev Event) sseEvent {
	data, err := json.Marshal(ev)
	if err != nil {
		panic(err) // an Event can be encoded; the recovery ends the stream
	}
	return sseEvent{id: ev.ID, name: ev.Kind, data: data}
}

func (s *Server) getLogs(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r.URL.RawQuery, "level")
	if err != nil {
		return err
	}
	level := zerolog.InfoLevel
	if text := q.Get("level"); text != "" {
		if level, err = parseLevel(text); err != nil {
			return err
		}
	}
	if s.cfg.Logs == nil {
		return newProblem(http.StatusServiceUnavailable, ProblemUnavailable, "this agent keeps no log lines to stream", "read its log where it is written")
	}
	lines := s.cfg.Logs.Subscribe(level)
	ctx, st, done, err := s.openStream(w, r, "logs")
	if err != nil {
		return err
	}
	defer done()
	if st.comment("") != nil {
		return nil // gone already
	}
	var queued *sseEvent // a line whose notice of loss goes first
	s.pump(ctx, st, func() string { return "" }, func(ctx context.Context) (*sseEvent, error) {
		if ev := queued; ev != nil {
			queued = nil
			return ev, nil
		}
		line, lost, err := lines.Next(ctx)
		if err != nil {
			return nil, err
		}
		ev := &sseEvent{name: "log", data: line}
		if lost == 0 {
			return ev, nil
		}
		queued = ev
		notice, err := json.Marshal(LogLine{Lost: lost})
		return &sseEvent{name: EventLost, data: notice}, err
	})
	return nil
}

func parseLevel(text string) (zerolog.Level, error) {
	switch text {
	case "debug", "info", "warn", "error":
		return zerolog.ParseLevel(text)
	}
	return 0, badRequest(fmt.Sprintf("level %.32q is not known", text), "possible are debug, info, warn and error")
}
