package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/gossip"
)

// blockUntilDone is a join that waits for its context.
func blockUntilDone(entered chan struct{}) func(context.Context) (gossip.JoinResult, error) {
	return func(ctx context.Context) (gossip.JoinResult, error) {
		close(entered)
		<-ctx.Done()
		return gossip.JoinResult{}, ctx.Err()
	}
}

func TestClientAddresses(t *testing.T) {
	for _, tc := range []struct {
		address, base string // no base: refused
	}{
		{"127.0.0.1:7980", "http://127.0.0.1:7980"},
		{"[::1]:7980", "http://[::1]:7980"},
		{"http://node:7980", "http://node:7980"},
		{"https://node:7980/", "https://node:7980"},
		{"https://node", "https://node"},
		{"unix:/run/a.sock", "http://localhost"},
		{"", ""}, {"unix:", ""}, {"node", ""}, {"::1", ""}, {":7980", ""}, {"ftp://node:1", ""}, {"http://", ""}, {"node:7980/v1", ""},
		{"http://user:secret@node:1", ""}, {"http://node:1?x=1", ""}, {"node:port", ""}, {"a b:1", ""},
	} {
		c, err := NewClient(ClientConfig{Address: tc.address})
		if (err == nil) != (tc.base != "") {
			t.Errorf("%q: %v", tc.address, err)
			continue
		}
		if err == nil && c.base != tc.base {
			t.Errorf("%q: %s", tc.address, c.base)
		}
	}
	if _, err := NewClient(ClientConfig{Address: "a:1", Token: "line\r\nbreak"}); err == nil || strings.Contains(err.Error(), "line") {
		t.Errorf("a token with a line break: %v", err)
	}
}

func TestClientCalls(t *testing.T) {
	h := start127(t, nil)
	h.node.ring = keyring(t)
	ctx, c := t.Context(), h.client
	members, err := c.Members(ctx, Filter{States: []string{"alive", "failed"}, Name: "n?", Tags: map[string]string{"role": "d*"}})
	if err != nil || len(members.Members) != 1 || members.Members[0].Name != "n2" || members.Total != 4 || members.Condition != "connected" || members.Node != "n1" {
		t.Errorf("%+v %v", members, err)
	}
	if m := members.Members[0]; m.RTTMS == nil || *m.RTTMS != 1.235 || !m.Since.Equal(t0.Add(time.Second)) {
		t.Errorf("%+v", m)
	}
	one, err := c.Member(ctx, "n3")
	if err != nil || one.Member.State != "suspect" || one.Member.RTTMS != nil {
		t.Errorf("%+v %v", one, err)
	}
	info, err := c.Info(ctx)
	if err != nil || info.Version != "1.2.3" || !info.Ready || info.Members != (Counts{2, 1, 1, 0}) {
		t.Errorf("%+v %v", info, err)
	}
	journal, err := c.Journal(ctx, "n3")
	if err != nil || len(journal.Entries) != 2 || journal.Entries[1].Kind != "accused" {
		t.Errorf("%+v %v", journal, err)
	}
	join, err := c.Join(ctx, []string{"n2"})
	if err != nil || len(join.Joined) != 1 || len(join.Failed) != 1 {
		t.Errorf("%+v %v", join, err)
	}
	if err := c.ForceLeave(ctx, "n4", true); err != nil {
		t.Error(err)
	}
	tags, err := c.Tags(ctx)
	if err != nil || tags["role"] != "web" {
		t.Errorf("%v %v", tags, err)
	}
	tags, err = c.UpdateTags(ctx, map[string]string{"zone": "b"}, []string{"x"})
	if err != nil || tags["zone"] != "b" {
		t.Errorf("%v %v", tags, err)
	}
	if err := c.Health(ctx); err != nil {
		t.Error(err)
	}
	if ready, err := c.Ready(ctx); err != nil || !ready.Ready {
		t.Errorf("%+v %v", ready, err)
	}
	if err := c.Leave(ctx); err != nil {
		t.Error(err)
	}
	if ready, err := c.Ready(ctx); err != nil || ready.Ready || ready.Reason == "" || ready.Condition != "connected" {
		t.Errorf("after leaving: %+v %v", ready, err)
	}
	want := []string{"join [n2]", "force-leave n4 true", "tags map[zone:b] [x]", "leave"}
	if diff := cmp.Diff(want, h.node.changes()); diff != "" {
		t.Error(diff)
	}
}

func TestClientErrors(t *testing.T) {
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Token = testToken })
	stranger, err := NewClient(ClientConfig{Address: h.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, err = stranger.Info(t.Context())
	if !errors.Is(err, ErrNotAuthorised) || errors.Is(err, ErrNoSuchMember) || errors.Is(err, ErrNotReachable) {
		t.Errorf("without token: %v", err)
	}
	for _, name := range []string{"n9", "a/b", "a b", "ü", "%2F", "?", "#"} {
		if _, err = h.client.Member(t.Context(), name); !errors.Is(err, ErrNoSuchMember) || errors.Is(err, ErrNotAuthorised) {
			t.Errorf("unknown member %q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", ".."} { // no names that a URL could carry
		var refused *APIError
		if _, err = h.client.Member(t.Context(), name); !errors.As(err, &refused) || refused.Status != 404 {
			t.Errorf("member %q: %v", name, err)
		}
	}
	h.node.join = func(context.Context) (gossip.JoinResult, error) {
		failed := &gossip.SeedError{Seed: "a", Err: errors.New("refused")}
		return gossip.JoinResult{Failed: []*gossip.SeedError{failed}}, failed
	}
	_, err = h.client.Join(t.Context(), []string{"a"})
	var refused *APIError
	if !errors.As(err, &refused) || refused.Type != ProblemJoinFailed || len(refused.Failed) != 1 || refused.Error() != "seed a: refused" {
		t.Errorf("%+v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if _, err := h.client.Info(ctx); !errors.Is(err, errEnough) || errors.Is(err, ErrNotReachable) {
		t.Errorf("given up by the caller: %v", err)
	}
}

// What is not an agent is told apart from one that refuses.
func TestClientMeetsStrangers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"a web server", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 404) }, "does not speak like an agent"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		}, "does not speak like an agent"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, "cannot be read"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, "is not reachable"},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer in time"},
		{"a problem without a title", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typeProblem)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "{}")
		}, "does not speak like an agent"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()
			cfg := ClientConfig{Address: srv.URL}
			if tc.name == "silence" {
				cfg.Timeout = 50 * time.Millisecond
			}
			c, err := NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Info(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v", err)
			}
			if tc.name != "silence" {
				if err := c.Events(t.Context(), EventOptions{}, func(Event) error { return nil }); err == nil {
					t.Error("a stream of events was read")
				}
			}
		})
	}
}

func TestClientGivesUpSilentStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, agent := io.Pipe()
		c := &Client{address: "a:1", base: "http://a:1", http: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			context.AfterFunc(r.Context(), func() { _ = body.CloseWithError(r.Context().Err()) })
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {typeStream}}, Body: body, Request: r}, nil
		})}}
		go func() {
			time.Sleep(silenceLimit - time.Second)
			_, _ = io.WriteString(agent, ": alive\n\n")
		}()
		begin := time.Now()
		err := c.Events(t.Context(), EventOptions{}, func(Event) error { return nil })
		if !errors.Is(err, ErrNotReachable) || !strings.Contains(err.Error(), "silent") {
			t.Errorf("%v", err)
		}
		if took := time.Since(begin); took != 2*silenceLimit-time.Second {
			t.Errorf("given up after %v", took)
		}
		_ = agent.Close()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUnixSocket(t *testing.T) {
	path := socketPath(t)
	node := newFakeNode(t)
	s, err := New(ServerConfig{Node: node, Ready: func() (bool, string) { return false, "not joined yet" }})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{node: node, server: s}
	h.serve(t, ln)
	c, err := NewClient(ClientConfig{Address: "unix:" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ready, err := c.Ready(t.Context())
	if diff := cmp.Diff(&Readiness{Reason: "not joined yet", Condition: "connected"}, ready); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	h.stop()
	if _, err := c.Info(t.Context()); !errors.Is(err, ErrNotReachable) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

// Clients ignore fields that a newer agent adds.
func TestClientIgnoresNewFields(t *testing.T) {
	var m Members
	if err := json.Unmarshal([]byte(`{"node":"n1","moon":"full","members":[{"name":"n1","colour":"red"}]}`), &m); err != nil || m.Members[0].Name != "n1" {
		t.Errorf("%+v %v", m, err)
	}
}
