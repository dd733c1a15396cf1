package httpapi

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"heartbeat/gossip"
	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("elsewhere", 3600))

const testEpoch = "0badcafe"

// fakeNode is a node in memory: a real membership core, an event log of its
// own, and a record of every change that it was asked for.
type fakeNode struct {
	mu    sync.Mutex
	core  *membership.Core
	calls []string
	left  bool
	ring  *gossip.Keyring

	digestsOff bool
	rtt        map[string]time.Duration
	tags       map[string]string
	join       func(context.Context) (gossip.JoinResult, error)
	leaveErr   error
	forceErr   error
	tagsErr    error
	events     fakeLog
}

func newFakeNode(tb testing.TB) *fakeNode {
	tb.Helper()
	core, err := membership.New(membership.Config{Self: "n1"}, t0)
	if err != nil {
		tb.Fatal(err)
	}
	n := &fakeNode{
		core: core, tags: map[string]string{"role": "web"}, rtt: map[string]time.Duration{"n2": 1234567 * time.Nanosecond},
		join: func(context.Context) (gossip.JoinResult, error) {
			return gossip.JoinResult{
				Joined: []string{"10.0.0.2:7946"},
				Failed: []*gossip.SeedError{{Seed: "nowhere", Err: fmt.Errorf("no such host")}},
			}, nil
		},
	}
	n.step(0, membership.Joined{Name: "n1", Addr: netip.MustParseAddrPort("10.0.0.1:7946"), Tags: n.tags, Incarnation: 1})
	n.step(1, membership.Joined{Name: "n2", Addr: netip.MustParseAddrPort("10.0.0.2:7946"), Tags: map[string]string{"role": "db", "path": "a/b"}, Incarnation: 2})
	n.step(2, membership.Joined{Name: "n3", Addr: netip.MustParseAddrPort("[fd00::3]:7946"), Incarnation: 3})
	n.step(3, membership.Joined{Name: "n4", Addr: netip.MustParseAddrPort("10.0.0.4:7946"), Incarnation: 4})
	n.step(4, membership.Accused{Subject: "n3", Incarnation: 3, Accuser: "n2", Source: membership.SourceInbound})
	n.step(5, membership.EngineFailed{Name: "n4", Incarnation: 4})
	return n
}

func (n *fakeNode) step(second int, in membership.Input) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.core.Step(t0.Add(time.Duration(second)*time.Second), in) {
		if c, ok := e.(membership.Changed); ok {
			n.events.append(c.Change)
		}
	}
}

func (n *fakeNode) called(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, fmt.Sprintf(format, args...))
}

// changes returns what the node was asked to change.
func (n *fakeNode) changes() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.calls...)
}

func (n *fakeNode) Join(ctx context.Context, seeds []string) (gossip.JoinResult, error) {
	n.called("join %v", seeds)
	return n.join(ctx)
}

func (n *fakeNode) Leave(context.Context) error {
	n.called("leave")
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = true
	return n.leaveErr
}

func (n *fakeNode) ForceLeave(_ context.Context, name string, prune bool) error {
	n.called("force-leave %s %v", name, prune)
	return n.forceErr
}

func (n *fakeNode) UpdateTags(_ context.Context, set map[string]string, remove []string) (map[string]string, error) {
	n.called("tags %v %v", set, remove)
	if n.tagsErr != nil {
		return nil, n.tagsErr
	}
	return map[string]string{"role": "web", "zone": "b"}, nil
}

func (n *fakeNode) View() *membership.View {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.View(t0.Add(10 * time.Second))
}

func (n *fakeNode) Info() gossip.Info {
	view := n.View()
	n.mu.Lock()
	defer n.mu.Unlock()
	return gossip.Info{
		Name: "n1", Cluster: "prod", Profile: "lan", Detector: gossip.DetectorMemberlist, Bind: "0.0.0.0:7946", Advertise: "10.0.0.1:7946", Epoch: testEpoch,
		Started: t0, Condition: view.Condition(), HealthScore: 1, Encrypted: n.ring != nil, Left: n.left, PendingBroadcasts: 2, ViewVersion: view.Version(),
		Members: map[membership.State]int{
			membership.Alive: view.Count(membership.Alive), membership.Suspect: view.Count(membership.Suspect),
			membership.Failed: view.Count(membership.Failed), membership.Left: view.Count(membership.Left),
		},
	}
}

func (n *fakeNode) Stats() gossip.Stats {
	s := gossip.Stats{Events: n.events.last(), Tap: wire.Stats{Packets: 10, Unreadable: 1, Messages: map[wire.Kind]uint64{}}, DroppedInputs: 3,
		Verdicts: membership.Tally{Testimonies: 4, Abstentions: 5, Verdicts: 6, Overturned: 1, HeldBack: 3, Spared: 2},
		Heard:    membership.Counts{Accusations: 20, Refutations: 9, TestimoniesHeard: 11, TestimoniesRefused: 12, DetectionSum: 5 * time.Second}}
	s.Heard.Detection[3], s.Heard.Detection[len(s.Heard.Detection)-1] = 2, 1
	for kind := range 32 {
		s.Tap.Messages[wire.Kind(kind)] = 1
	}
	s.Transport.PacketsIn, s.Transport.StreamBytesOut = 5, 7
	return s
}

func (n *fakeNode) AskDigests(context.Context) (membership.Digest, []gossip.PeerDigest, error) {
	if n.digestsOff {
		return membership.Digest{}, nil, gossip.ErrNoDigest
	}
	own, other := membership.Digest{Sum: 0x1f, Held: 5}, membership.Digest{Sum: 0xff00000000000000, Held: 3}
	said := func(name string, d membership.Digest) gossip.PeerDigest {
		return gossip.PeerDigest{Name: name, At: t0, Asked: true, Told: true, Digest: d}
	}
	long := said("n9", own)
	long.Asked, long.At = false, t0.Add(-time.Hour)
	return own, []gossip.PeerDigest{said("n2", other), said("n3", own), said("n4", other), said("n5", membership.Digest{Sum: 1, Held: 1}),
		{Name: "n6", Asked: true, Silent: true}, {Name: "n7", At: t0, Asked: true}, {Name: "n8"}, long}, nil
}

func (n *fakeNode) RTT(name string) (time.Duration, bool) { d, ok := n.rtt[name]; return d, ok }
func (n *fakeNode) Keyring() *gossip.Keyring              { return n.ring }
func (n *fakeNode) Watch(uint64) *gossip.Watcher          { panic("the server's watch is replaced in tests") }

func (n *fakeNode) Journal(name string) []membership.Entry {
	all := []membership.Entry{
		{At: t0, Subject: "n3", Kind: membership.EntryJoined, Incarnation: 3, Via: membership.SourceEngine, Note: "it is new"},
		{At: t0.Add(time.Second), Subject: "n3", Kind: membership.EntryAccused, Incarnation: 3, By: "n2", Via: membership.SourceInbound, Note: "no answer"},
		{At: t0.Add(2 * time.Second), Subject: "gone", Kind: membership.EntryForcedOut, By: "n1", Via: membership.SourceOperator},
	}
	return slices.DeleteFunc(all, func(e membership.Entry) bool { return name != "" && e.Subject != name })
}

func (n *fakeNode) Case(name string) (membership.Case, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.Case(name)
}

// fakeLog is a log of events that keeps the newest of them.
type fakeLog struct {
	mu     sync.Mutex
	all    []gossip.Event
	oldest uint64
	wake   chan struct{}
}

func (l *fakeLog) append(c membership.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, gossip.Event{ID: uint64(len(l.all)) + 1, Change: c})
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

func (l *fakeLog) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.all))
}

type fakeWatcher struct {
	log  *fakeLog
	next uint64
}

func (w *fakeWatcher) Next(ctx context.Context) (gossip.Event, error) {
	for {
		l := w.log
		l.mu.Lock()
		if w.next < l.oldest {
			lost := l.oldest - w.next
			w.next = l.oldest
			l.mu.Unlock()
			return gossip.Event{ID: w.next, Lost: lost}, nil
		}
		if int(w.next) <= len(l.all) {
			w.next++
			ev := l.all[w.next-2]
			l.mu.Unlock()
			return ev, nil
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return gossip.Event{}, ctx.Err()
		}
	}
}

// harness is a server on a real listener with its client.
type harness struct {
	node   *fakeNode
	server *Server
	client *Client
	base   string // http://127.0.0.1:port
	addr   string
	stop   func() // ends the server and waits
	left   chan struct{}
}

func start127(tb testing.TB, change func(*ServerConfig, *Server)) *harness {
	tb.Helper()
	h := &harness{node: newFakeNode(tb), left: make(chan struct{}, 8)}
	cfg := ServerConfig{
		Node: h.node, Version: "1.2.3", Ready: func() (bool, string) { return true, "" }, OnLeave: func() { h.left <- struct{}{} },
		Logs: NewLogRing(16),
	}
	if change != nil {
		change(&cfg, nil)
	}
	server, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	server.watch = func(from uint64) eventSource { return &fakeWatcher{log: &h.node.events, next: from} }
	server.now = func() time.Time { return t0.Add(90 * time.Second) }
	if change != nil {
		change(&cfg, server)
	}
	h.server = server
	ln, err := Listen(tb.Context(), "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	h.serve(tb, ln)
	h.client, err = NewClient(ClientConfig{Address: h.addr, Token: cfg.Token})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.client.Close)
	return h
}

func (h *harness) serve(tb testing.TB, ln net.Listener) {
	h.addr = ln.Addr().String()
	h.base = "http://" + h.addr
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(ctx, ln) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	tb.Cleanup(h.stop)
}

// do makes a raw request; headers are "Name: value".
func (h *harness) do(tb testing.TB, method, path, body string, headers ...string) (int, http.Header, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, h.base+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (rewrite with -update if this is meant) (-want +got):\n%s", path, diff)
	}
}

// eventually polls until the condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); !holds(); <-tick {
		if time.Now().After(deadline) {
			tb.Fatalf("never happened: %s", what)
		}
	}
}
