package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"heartbeat/membership"
)

var errEnough = errors.New("enough")

// brief is an event in a few words.
func brief(ev Event) string {
	_, n, _ := strings.Cut(ev.ID, "-")
	s := n + " " + ev.Kind
	if ev.Member != nil {
		s += " " + ev.Member.Name
	}
	if ev.Lost > 0 {
		s += fmt.Sprint(" ", ev.Lost)
	}
	return s
}

// collect reads n events.
func collect(tb testing.TB, c *Client, opts EventOptions, n int) []string {
	tb.Helper()
	var got []string
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	err := c.Events(ctx, opts, func(ev Event) error {
		if got = append(got, brief(ev)); len(got) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		tb.Errorf("after %q: %v", got, err)
	}
	return got
}

// The fake node's events are 1 to 6: four joins, one suspicion, one failure.
func TestEventsResume(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   EventOptions
		oldest uint64 // the log holds nothing older
		want   []string
	}{
		{"from an id", EventOptions{Since: testEpoch + "-4"}, 0, []string{"5 suspected n3", "6 failed n4"}},
		{"from the beginning", EventOptions{Since: testEpoch + "-0", States: []string{"suspect", "failed"}}, 0, []string{"5 suspected n3", "6 failed n4"}},
		{"by name", EventOptions{Since: testEpoch + "-0", Name: "n[34]"}, 0, []string{"7 updated n[34]"}},
		{"by pattern", EventOptions{Since: testEpoch + "-3", Name: "*4"}, 0, []string{"4 joined n4", "6 failed n4"}},
		{"too old", EventOptions{Since: testEpoch + "-1"}, 5, []string{"4 lost 3", "5 suspected n3", "6 failed n4"}},
		{"just held", EventOptions{Since: testEpoch + "-4"}, 5, []string{"5 suspected n3"}},
		{"another run", EventOptions{Since: "deadbeef-4"}, 0, []string{"0 reset", "1 joined n1", "2 joined n2"}},
		{"another run, too old", EventOptions{Since: "deadbeef-4"}, 5, []string{"0 reset", "4 lost 4", "5 suspected n3"}},
		{"a number never given", EventOptions{Since: testEpoch + "-99"}, 0, []string{"0 reset", "1 joined n1"}},
		{"newest", EventOptions{Backlog: 2}, 0, []string{"5 suspected n3", "6 failed n4"}},
		{"newest, as many as held", EventOptions{Backlog: 100}, 5, []string{"5 suspected n3", "6 failed n4"}},
		{"none of the past", EventOptions{}, 0, []string{"7 updated n[34]"}},
		{"none of the past either", EventOptions{Backlog: 0}, 0, []string{"7 updated n[34]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := start127(t, nil)
			h.node.events.oldest = tc.oldest
			if strings.HasPrefix(tc.want[0], "7") {
				go func() {
					eventuallyStreams(t, h, 1)
					h.node.events.append(membership.Change{Kind: membership.ChangeUpdated, Member: membership.Member{Name: "n[34]", State: membership.Alive}})
				}()
			}
			if diff := cmp.Diff(tc.want, collect(t, h.client, tc.opts, len(tc.want))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func eventuallyStreams(tb testing.TB, h *harness, n int64) {
	tb.Helper()
	eventually(tb, fmt.Sprintf("%d streams", n), func() bool { return h.server.streams.Load() == n })
}

// raw opens a stream by hand and returns its lines.
func raw(tb testing.TB, h *harness, path string, headers ...string) (*http.Response, func() string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), "GET", h.base+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = resp.Body.Close() })
	in := bufio.NewReader(resp.Body)
	return resp, func() string {
		line, err := in.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return strings.TrimSuffix(line, "\n")
	}
}

func TestEventsOnTheWire(t *testing.T) {
	h := start127(t, func(_ *ServerConfig, s *Server) {
		if s != nil {
			s.beat = 20 * time.Millisecond
		}
	})
	h.node.events.all[5].Change.Reason = "it fell\nsilent"
	h.node.events.all[5].Change.Condition = membership.Connected
	h.node.events.all[5].Change.By = []string{"n2"}
	resp, line := raw(t, h, "/v1/events?since="+testEpoch+"-1", "Last-Event-ID: "+testEpoch+"-5")
	if resp.Header.Get("Content-Type") != typeStream || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", resp.Header)
	}
	want := []string{
		"id: " + testEpoch + "-5", "", // where the stream begins
		"id: " + testEpoch + "-6", "event: failed",
		`data: {"id":"0badcafe-6","kind":"failed","at":"2026-03-01T11:00:05.123456789Z","member":{"name":"n4","addr":"10.0.0.4:7946","tags":{},"state":"failed",` +
			`"incarnation":4,"since":"2026-03-01T11:00:05.123456789Z","first_seen":"2026-03-01T11:00:03.123456789Z","forced_out":false,"local":false},` +
			`"before":"alive","by":["n2"],"reason":"it fell\nsilent","condition":"connected"}`,
		"",
		": alive", "id: " + testEpoch + "-6", "", // a sign of life
		": alive", "id: " + testEpoch + "-6", "",
	}
	var got []string
	for range want {
		got = append(got, line())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A filter that holds everything back still lets the position move, and the
// node's own condition passes it.
func TestEventsPositionAndCondition(t *testing.T) {
	h := start127(t, func(_ *ServerConfig, s *Server) {
		if s != nil {
			s.beat = 20 * time.Millisecond
		}
	})
	_, line := raw(t, h, "/v1/events?backlog=6&name=nobody")
	if got := []string{line(), line(), line(), line(), line()}; got[0] != "id: "+testEpoch+"-0" || got[3] != "id: "+testEpoch+"-6" {
		t.Errorf("%q", got)
	}
	h.node.events.append(membership.Change{Kind: membership.ChangeCondition, Member: membership.Member{Name: "n1"}, Condition: membership.Minority, At: t0})
	for i := 0; ; i++ {
		got := line()
		if strings.HasPrefix(got, "data: ") {
			if want := `data: {"id":"0badcafe-7","kind":"condition","at":"2026-03-01T11:00:00.123456789Z","condition":"minority"}`; got != want {
				t.Errorf("%s", got)
			}
			break
		}
		if i > 10_000 {
			t.Fatalf("no event came: %q", got)
		}
	}
}

// A subscriber that does not read is cut off by its write deadline and holds
// nobody else up.
func TestSlowReader(t *testing.T) {
	h := start127(t, func(_ *ServerConfig, s *Server) {
		if s != nil {
			s.patience = 50 * time.Millisecond
		}
	})
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventuallyStreams(t, h, 1)
	big := membership.Change{Kind: membership.ChangeUpdated, Member: membership.Member{Name: "n2"}, Reason: strings.Repeat("x", 64<<10)}
	eventually(t, "the slow reader is cut off", func() bool {
		h.node.events.append(big)
		return h.server.streams.Load() == 0
	})
	_, _, text := h.do(t, "GET", "/metrics", "")
	if !strings.Contains(text, "heartbeat_api_streams_cut_total 1\n") {
		t.Error("the cut was not counted")
	}
}

// The bound of streams leaves other requests alone, and all streams end with
// the server.
func TestTooManyStreams(t *testing.T) {
	h := start127(t, nil)
	for range maxStreams {
		raw(t, h, "/v1/events")
	}
	err := h.client.Logs(t.Context(), "", func(LogLine) error { return nil })
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != 503 || refused.Type != ProblemTooManyStreams || refused.Hint == "" {
		t.Errorf("one stream too many: %v", err)
	}
	if _, err := h.client.Info(t.Context()); err != nil {
		t.Errorf("other requests: %v", err)
	}
	h.stop() // ends all of them
	if n := h.server.streams.Load(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

func TestStreamHasNoHead(t *testing.T) {
	h := start127(t, nil)
	for _, path := range []string{"/v1/events", "/v1/logs"} {
		if status, _, _ := h.do(t, "HEAD", path, ""); status != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s: %d", path, status)
		}
	}
}

func TestStopEndsStreams(t *testing.T) {
	h := start127(t, nil)
	ended := make(chan error, 1)
	go func() {
		ended <- h.client.Events(t.Context(), EventOptions{}, func(Event) error { return nil })
	}()
	eventuallyStreams(t, h, 1)
	h.stop()
	if err := <-ended; !errors.Is(err, ErrStreamEnded) {
		t.Errorf("%v", err)
	}
	if _, err := h.client.Info(t.Context()); !errors.Is(err, ErrNotReachable) || !strings.Contains(err.Error(), h.addr) {
		t.Errorf("%v", err)
	}
}

// What an agent says last is often why it ends.
func TestStopSendsWhatWasSaidBefore(t *testing.T) {
	const lines = 500
	ring := NewLogRing(lines)
	log := zerolog.New(ring)
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Logs = ring })
	got := 0
	ended := make(chan error, 1)
	go func() {
		ended <- h.client.Logs(t.Context(), "info", func(LogLine) error { got++; return nil })
	}()
	eventuallyStreams(t, h, 1)
	for range lines {
		log.Info().Msg("a line")
	}
	h.stop()
	if err := <-ended; !errors.Is(err, ErrStreamEnded) || got != lines {
		t.Errorf("%d of %d lines arrived: %v", got, lines, err)
	}
}

// Stop gives a request that is under way its time, and then ends it.
func TestStopCancelsRequests(t *testing.T) {
	h := start127(t, nil)
	entered := make(chan struct{})
	h.node.join = blockUntilDone(entered)
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := h.client.Join(ctx, []string{"a"})
		failed <- err
	}()
	<-entered
	cancel() // the client goes away: the request ends with it, long before its own bound
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.stop()
}

func TestLogsStream(t *testing.T) {
	ring := NewLogRing(4)
	log := zerolog.New(ring)
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Logs = ring })
	var got []string
	ready := make(chan error, 1)
	go func() {
		ready <- h.client.Logs(t.Context(), "warn", func(l LogLine) error {
			if got = append(got, fmt.Sprintf("%s %d", l.Line, l.Lost)); strings.Contains(string(l.Line), "last") {
				return errEnough
			}
			return nil
		})
	}()
	eventuallyStreams(t, h, 1)
	log.Info().Msg("not this")
	log.Warn().Msg("first")
	log.Error().Str("big", strings.Repeat("x", maxLogLine)).Msg("dropped")
	log.Error().Msg("last")
	if err := <-ready; !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	want := []string{`{"level":"warn","message":"first"} 0`, ` 1`, `{"level":"error","message":"last"} 0`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoLogs(t *testing.T) {
	h := start127(t, func(cfg *ServerConfig, s *Server) { cfg.Logs = nil })
	status, _, body := h.do(t, "GET", "/v1/logs", "")
	if status != 503 || !strings.Contains(body, ProblemUnavailable) {
		t.Errorf("%d %s", status, body)
	}
}

// The client resumes after a cut where it was, without a gap and without a
// repetition, even when the cut came before the first event.
func TestReconnect(t *testing.T) {
	h := start127(t, nil)
	proxy := newCutter(t, h.addr)
	c, err := NewClient(ClientConfig{Address: proxy.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	add := func() {
		h.node.events.append(membership.Change{Kind: membership.ChangeUpdated, Member: membership.Member{Name: "n2"}})
	}
	go func() {
		eventuallyStreams(t, h, 1)
		eventually(t, "the beginning has arrived", func() bool { return proxy.passed.Load() > 0 })
		proxy.cut()
		eventuallyStreams(t, h, 0)
		add() // 7, while nobody listens
		eventuallyStreams(t, h, 1)
		add() // 8
	}()
	var got []string
	err = c.Events(t.Context(), EventOptions{Reconnect: true}, func(ev Event) error {
		got = append(got, brief(ev))
		switch len(got) {
		case 2:
			proxy.cut()
			eventuallyStreams(t, h, 0)
			add() // 9
		case 3:
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"7 updated n2", "8 updated n2", "9 updated n2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReconnectStopsWhenRefused(t *testing.T) {
	h := start127(t, nil)
	err := h.client.Events(t.Context(), EventOptions{Since: "nonsense", Reconnect: true}, func(Event) error { return nil })
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != 400 {
		t.Errorf("%v", err)
	}
	h.stop()
	err = h.client.Events(t.Context(), EventOptions{Reconnect: true}, func(Event) error { return nil })
	if !errors.Is(err, ErrNotReachable) {
		t.Errorf("the first connection failed: %v", err)
	}
}

// cutter is a proxy whose connections can be cut.
type cutter struct {
	addr   string
	conns  chan net.Conn
	passed atomic.Int64 // bytes of answers
}

func newCutter(t *testing.T, to string) *cutter {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: ln.Addr().String(), conns: make(chan net.Conn, 16)}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.conns <- in
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.Close()
			}()
			go func() {
				_, _ = io.Copy(in, &touchReader{in: out, touch: func() { c.passed.Add(1) }})
				_ = in.Close()
			}()
		}
	}()
	return c
}

// cut closes the oldest connection.
func (c *cutter) cut() { _ = (<-c.conns).Close() }
