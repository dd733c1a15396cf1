package httpapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"heartbeat/gossip"
)

// startNode runs a real node on loopback with a small event log.
func startNode(t *testing.T, name string) *gossip.Node {
	t.Helper()
	cfg := gossip.Local()
	cfg.Name, cfg.Port, cfg.EventBuffer, cfg.Keyring = name, 0, 16, keyring(t)
	node, err := gossip.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	return node
}

// The API in front of real nodes: join, watch, resume with a loss, keys, leave.
func TestRealNode(t *testing.T) {
	node, other := startNode(t, "n1"), startNode(t, "n2")
	left := make(chan struct{})
	s, err := New(ServerConfig{Node: node, Ready: func() (bool, string) { return true, "" }, OnLeave: func() { close(left) }})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{server: s}
	h.serve(t, ln)
	c, err := NewClient(ClientConfig{Address: h.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	joined, err := c.Join(ctx, []string{other.Info().Advertise})
	if err != nil || len(joined.Joined) != 1 {
		t.Fatalf("%+v %v", joined, err)
	}
	view, err := c.Members(ctx, Filter{States: []string{"alive"}})
	if err != nil || len(view.Members) != 2 {
		t.Fatalf("%+v %v", view, err)
	}
	first := ""
	err = c.Events(ctx, EventOptions{Backlog: 100}, func(ev Event) error {
		if first == "" {
			first = ev.ID
		}
		if ev.Kind == "joined" && ev.Member.Name == "n2" {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := c.UpdateTags(ctx, map[string]string{"n": fmt.Sprint(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var lost uint64
	err = c.Events(ctx, EventOptions{Since: first}, func(ev Event) error {
		if ev.Kind == EventLost {
			lost = ev.Lost
		}
		if ev.Kind == "updated" && ev.Member.Tags["n"] == "19" {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || lost == 0 {
		t.Errorf("%v, %d lost", err, lost)
	}
	if tags, err := c.Tags(ctx); err != nil || tags["n"] != "19" {
		t.Errorf("%v %v", tags, err)
	}
	_, err = c.UpdateTags(ctx, map[string]string{"big": strings.Repeat("x", 1000)}, nil)
	var refused *APIError
	if !errors.As(err, &refused) || refused.Type != ProblemBadRequest {
		t.Errorf("tags too long: %v", err)
	}
	if err := c.ForceLeave(ctx, "n2", false); !errors.As(err, &refused) || refused.Type != ProblemNotFailed {
		t.Errorf("forcing a running member out: %v", err)
	}
	if err := c.ForceLeave(ctx, "n9", false); !errors.Is(err, ErrNoSuchMember) {
		t.Errorf("forcing an unknown member out: %v", err)
	}
	if err := c.RemoveKey(ctx, keyID(t, testKey)); !errors.As(err, &refused) || refused.Type != ProblemPrimaryKey {
		t.Errorf("removing the primary key: %v", err)
	}
	if status, _, text := h.do(t, "GET", "/metrics", ""); status != 200 || !strings.Contains(text, `heartbeat_members{state="alive"} 2`) {
		t.Errorf("%d %s", status, text)
	}
	if err := c.Leave(ctx); err != nil {
		t.Error(err)
	}
	<-left
	if _, err := c.Join(ctx, []string{"127.0.0.1:1"}); !errors.As(err, &refused) || refused.Type != ProblemLeft {
		t.Errorf("joining after leaving: %v", err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.UpdateTags(ctx, map[string]string{"a": "b"}, nil); !errors.As(err, &refused) || refused.Type != ProblemUnavailable {
		t.Errorf("a change of a closed node: %v", err)
	}
}
