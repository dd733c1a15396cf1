package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrStreamEnded is returned when the agent ended a stream, as it does when it
// stops.
var ErrStreamEnded = errors.New("the agent ended the stream")

// EventOptions selects what Events reads. The zero value reads all events from
// now on.
type EventOptions struct {
	// Since is the Event.ID after which to resume; what is gone by then is
	// told by an EventLost or EventReset notice.
	Since string
	// Backlog starts with up to that many of the newest events; not together
	// with Since.
	Backlog int
	// States and Name let only events of such members through, as in Filter.
	// Notices and changes of the node's own condition always pass.
	States []string
	Name   string
	// Reconnect resumes after a broken connection, for as long as the context
	// lives. The first connection must succeed.
	Reconnect bool
}

// Events calls handle with each event, in order, one at a time, until ctx
// ends, handle fails, or the stream breaks; it returns the cause. An agent
// that stops gives ErrStreamEnded, one that is gone ErrNotReachable.
func (c *Client) Events(ctx context.Context, opts EventOptions, handle func(Event) error) error {
	q := Filter{States: opts.States, Name: opts.Name}.query()
	if opts.Backlog > 0 && opts.Since == "" {
		q.Set("backlog", strconv.Itoa(opts.Backlog))
	}
	position := opts.Since
	var failed error // handle's, which ends everything
	read := func() error {
		return c.stream(ctx, "/v1/events", q, position, func(ev sseEvent) error {
			if ev.id != "" {
				position = ev.id
				q.Del("backlog")
			}
			if ev.data == nil {
				return nil
			}
			var out Event
			if err := json.Unmarshal(ev.data, &out); err != nil {
				failed = fmt.Errorf("the agent at %s sent an event that cannot be read (another version?): %w", c.address, err)
			} else {
				failed = handle(out)
			}
			return failed
		})
	}
	err := read()
	for opts.Reconnect && failed == nil && ctx.Err() == nil && position != "" && resumable(err) {
		err = c.retry(ctx, read)
	}
	return err
}

// Logs calls handle with each line of the agent's log of that level (debug,
// info, warn, error) and above, from now on; it ends as Events does.
func (c *Client) Logs(ctx context.Context, level string, handle func(LogLine) error) error {
	q := url.Values{}
	if level != "" {
		q.Set("level", level)
	}
	return c.stream(ctx, "/v1/logs", q, "", func(ev sseEvent) error {
		if ev.data == nil {
			return nil
		}
		if ev.name != EventLost {
			return handle(LogLine{Line: ev.data})
		}
		var lost LogLine
		if err := json.Unmarshal(ev.data, &lost); err != nil {
			return fmt.Errorf("the agent at %s sent a notice that cannot be read (another version?): %w", c.address, err)
		}
		return handle(lost)
	})
}

// resumable tells whether trying again may help.
func resumable(err error) bool {
	var refused *APIError
	if errors.As(err, &refused) {
		return refused.Status >= http.StatusInternalServerError
	}
	return errors.Is(err, ErrNotReachable) || errors.Is(err, ErrStreamEnded)
}

// Bounds of the wait before a stream is connected again.
const (
	retryFirst = 250 * time.Millisecond
	retryMost  = 5 * time.Second
)

// retry calls read again, with growing and jittered waits, until one call
// lasted longer than the longest wait or the error is final.
func (c *Client) retry(ctx context.Context, read func() error) error {
	wait := retryFirst
	for {
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		begin := time.Now()
		err := read()
		if ctx.Err() != nil || !resumable(err) || time.Since(begin) > retryMost {
			return err
		}
		wait = min(2*wait, retryMost)
	}
}

// stream reads one connection's stream. It gives up when the agent sends
// nothing, not even its regular sign of life.
func (c *Client) stream(ctx context.Context, path string, q url.Values, position string, handle func(sseEvent) error) error {
	streamCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silenceLimit, func() {
		cancel(fmt.Errorf("%s is %w at %s: the stream was silent for %v", c.name, ErrNotReachable, c.address, silenceLimit))
	})
	defer watchdog.Stop()
	header := http.Header{"Accept": {typeStream}}
	if position != "" {
		header.Set("Last-Event-ID", position)
	}
	resp, err := c.send(streamCtx, http.MethodGet, path, q, nil, header)
	if err != nil {
		return c.transportError(streamCtx, err)
	}
	defer resp.Body.Close()
	if err := c.checkStatus(resp); err != nil {
		return err
	}
	if kind := mediaType(resp.Header); kind != typeStream {
		return fmt.Errorf("the agent at %s answered %s with %q instead of a stream of events", c.address, path, kind)
	}
	in := newSSEReader(&touchReader{in: resp.Body, touch: func() { watchdog.Reset(silenceLimit) }})
	for {
		ev, err := in.next()
		switch {
		case errors.Is(err, io.EOF) && streamCtx.Err() == nil:
			return fmt.Errorf("%w at %s", ErrStreamEnded, c.address)
		case errors.Is(err, errLineTooLong):
			return err
		case err != nil:
			return c.transportError(streamCtx, err)
		}
		if err := handle(ev); err != nil {
			return err
		}
	}
}

// touchReader calls touch whenever something was read.
type touchReader struct {
	in    io.Reader
	touch func()
}

func (r *touchReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	if n > 0 {
		r.touch()
	}
	return n, err
}
