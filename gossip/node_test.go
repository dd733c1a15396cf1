package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"heartbeat/gossip/transport"
	"heartbeat/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is the local profile with everything sped up, for tests that wait for
// a detection.
func quick(name string) Config {
	c := Local()
	c.Name = name
	c.Port = 0
	c.ProbeInterval = 200 * time.Millisecond
	c.ProbeTimeout = 100 * time.Millisecond
	c.GossipInterval = 20 * time.Millisecond
	c.SuspicionMult = 2
	return c
}

func start(t *testing.T, c Config) *Node {
	t.Helper()
	if testing.Verbose() {
		c.Logger = zerolog.New(zerolog.NewTestWriter(t)).With().Str("node", c.Name).Logger()
	}
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatalf("start %s: %v", c.Name, err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close %s: %v", c.Name, err)
		}
	})
	return n
}

func seedOf(n *Node) []string { return []string{n.Self().Addr.String()} }

// cluster starts nodes n1..nN, joined through n1.
func cluster(t *testing.T, size int, edit func(*Config)) []*Node {
	t.Helper()
	nodes := make([]*Node, size)
	for i := range nodes {
		c := quick(fmt.Sprintf("n%d", i+1))
		if edit != nil {
			edit(&c)
		}
		nodes[i] = start(t, c)
		if i > 0 {
			if _, err := nodes[i].Join(t.Context(), seedOf(nodes[0])); err != nil {
				t.Fatalf("join: %v", err)
			}
		}
	}
	for _, n := range nodes {
		eventually(t, func() error { return wantCounts(n, size, 0, 0) })
	}
	return nodes
}

func wantCounts(n *Node, alive, failed, left int) error {
	v := n.View()
	got := [3]int{v.Count(membership.Alive), v.Count(membership.Failed), v.Count(membership.Left)}
	if want := [3]int{alive, failed, left}; got != want {
		return fmt.Errorf("%s sees alive/failed/left %v, want %v", n.cfg.Name, got, want)
	}
	return nil
}

// eventually polls until check succeeds; the deadline is far beyond what a
// loaded machine needs.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not so after 30 s: %v", err)
		}
		<-tick.C
	}
}

func TestClusterJoinsDetectsAndLeaves(t *testing.T) {
	nodes := cluster(t, 4, nil)
	if err := nodes[3].Close(); err != nil { // a crash, as the others see it
		t.Fatal(err)
	}
	for _, n := range nodes[:3] {
		eventually(t, func() error { return wantCounts(n, 3, 1, 0) })
	}
	if err := nodes[2].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:2] {
		eventually(t, func() error { return wantCounts(n, 2, 1, 1) })
	}
	if m, _ := nodes[0].View().Member("n3"); m.State != membership.Left || m.ForcedOut {
		t.Errorf("n3 after its leave: %+v", m)
	}
	if _, err := nodes[2].Join(t.Context(), seedOf(nodes[0])); !errors.Is(err, ErrLeft) {
		t.Errorf("join after leave: %v, want ErrLeft", err)
	}
}

// mute is a transport whose packets are lost from some moment on. Its streams
// work.
type mute struct {
	*transport.Transport
	silent atomic.Bool
}

func (m *mute) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if m.silent.Load() {
		return time.Now(), nil
	}
	return m.Transport.WriteToAddress(b, addr)
}

func TestLeaveIsHeardAlthoughItsPacketsAreLost(t *testing.T) {
	nodes := cluster(t, 3, nil)
	tr, err := transport.New(transport.Config{Bind: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	c := quick("n4")
	m := &mute{Transport: tr}
	c.Transport = m
	leaver := start(t, c)
	if _, err := leaver.Join(t.Context(), seedOf(nodes[0])); err != nil {
		t.Fatal(err)
	}
	for _, n := range append(nodes, leaver) {
		eventually(t, func() error { return wantCounts(n, 4, 0, 0) })
	}
	m.silent.Store(true)
	if err := leaver.Leave(t.Context()); err != nil {
		t.Errorf("leave: %v", err)
	}
	leaver.Close()
	for _, n := range nodes {
		eventually(t, func() error { return wantCounts(n, 3, 0, 1) })
	}
}

// When all leave at once, as when a whole cluster is stopped, nobody is left to
// hear of it, and that is no failure.
func TestAllLeaveAtOnce(t *testing.T) {
	nodes := cluster(t, 3, nil)
	errs := make(chan error)
	for _, n := range nodes {
		go func() {
			err := n.Leave(t.Context())
			n.Close()
			errs <- err
		}()
	}
	for range nodes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestCrashedNodeComesBack(t *testing.T) {
	for _, tc := range []struct {
		name               string
		samePort, detected bool
	}{
		{"same address, held failed", true, true},
		{"same address, not noticed yet", true, false},
		{"another address, held failed", false, true},
		{"another address, not noticed yet", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes := cluster(t, 3, nil)
			c := quick("n3")
			if tc.samePort {
				c.Port = int(nodes[2].Self().Addr.Port())
			}
			nodes[2].Close()
			if tc.detected {
				for _, n := range nodes[:2] {
					eventually(t, func() error { return wantCounts(n, 2, 1, 0) })
				}
			}
			again := start(t, c)
			if _, err := again.JoinUntil(t.Context(), seedOf(nodes[1]), nil); err != nil {
				t.Fatal(err)
			}
			for _, n := range []*Node{nodes[0], nodes[1], again} {
				eventually(t, func() error { return wantCounts(n, 3, 0, 0) })
				if m, _ := n.View().Member("n3"); m.Addr != again.Self().Addr {
					t.Errorf("%s knows n3 at %v, it is at %v", n.cfg.Name, m.Addr, again.Self().Addr)
				}
			}
		})
	}
}

// A newcomer must know of members that failed before it came: the engine does
// not tell it, our exchange of state does.
func TestNewcomerLearnsOfFailedMembers(t *testing.T) {
	nodes := cluster(t, 3, nil)
	nodes[2].Close()
	eventually(t, func() error { return wantCounts(nodes[0], 2, 1, 0) })
	n4 := start(t, quick("n4"))
	if _, err := n4.Join(t.Context(), seedOf(nodes[0])); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return wantCounts(n4, 3, 1, 0) })
}

func TestForceLeave(t *testing.T) {
	nodes := cluster(t, 4, nil)
	if err := nodes[0].ForceLeave(t.Context(), "n9", false); !errors.Is(err, ErrNoSuchMember) {
		t.Errorf("unknown member: %v", err)
	}
	if err := nodes[0].ForceLeave(t.Context(), "n2", false); !errors.Is(err, ErrNotFailed) {
		t.Errorf("member that is alive: %v", err)
	}
	nodes[3].Close()
	for _, n := range nodes[:3] {
		eventually(t, func() error { return wantCounts(n, 3, 1, 0) })
	}
	if err := nodes[1].ForceLeave(t.Context(), "n4", false); err != nil {
		t.Fatal(err)
	}
	if err := wantCounts(nodes[1], 3, 0, 1); err != nil {
		t.Errorf("right after the call: %v", err)
	}
	for _, n := range nodes[:3] {
		eventually(t, func() error { return wantCounts(n, 3, 0, 1) })
	}
	if m, _ := nodes[0].View().Member("n4"); !m.ForcedOut {
		t.Errorf("n4 is not marked as forced out: %+v", m)
	}
	if err := nodes[2].ForceLeave(t.Context(), "n4", true); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:3] {
		eventually(t, func() error { return wantCounts(n, 3, 0, 0) })
	}
}

func TestTagsReachEverybody(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) { c.Tags = map[string]string{"role": "web"} })
	got, err := nodes[1].UpdateTags(t.Context(), map[string]string{"zone": "a"}, []string{"role"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"zone": "a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, n := range nodes {
		eventually(t, func() error {
			m, _ := n.View().Member("n2")
			if diff := cmp.Diff(want, m.Tags); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
	}
	_, err = nodes[1].UpdateTags(t.Context(), map[string]string{"big": strings.Repeat("x", 600)}, nil)
	if err == nil || !strings.Contains(err.Error(), "stay as they were") {
		t.Errorf("tags that do not fit: %v", err)
	}
	if m := nodes[1].Self(); m.Tags["zone"] != "a" || len(m.Tags) != 1 {
		t.Errorf("tags after the refused change: %v", m.Tags)
	}
}

// What the caller does with a returned value changes nothing in the node.
func TestReturnedValuesAreCopies(t *testing.T) {
	n := cluster(t, 1, func(c *Config) { c.Tags = map[string]string{"role": "web"} })[0]
	n.Self().Tags["role"] = "spoilt"
	n.View().Members()[0].Tags["role"] = "spoilt"
	for m := range n.View().All() {
		m.Tags["role"] = "spoilt"
	}
	if got := n.Self().Tags["role"]; got != "web" {
		t.Errorf("the tag became %q", got)
	}
}

func TestSuspicionsAndIncarnationsShow(t *testing.T) {
	nodes := cluster(t, 3, nil)
	w := nodes[0].Watch(0)
	nodes[2].Close()
	var kinds []string
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		ev, err := w.Next(ctx)
		cancel()
		if err != nil {
			t.Fatalf("after %v: %v", kinds, err)
		}
		if ev.Change.Member.Name != "n3" {
			continue
		}
		kinds = append(kinds, ev.Change.Kind.String())
		if ev.Change.Kind == membership.ChangeFailed {
			if len(ev.Change.By) == 0 {
				t.Error("the failure names no accuser")
			}
			break
		}
	}
	if diff := cmp.Diff([]string{"suspected", "failed"}, kinds); diff != "" {
		t.Error(diff)
	}
	if m, _ := nodes[0].View().Member("n2"); m.Incarnation == 0 {
		t.Error("the incarnation of n2 is not known")
	}
}

func TestJoinRefusals(t *testing.T) {
	key := func() *Keyring {
		text, err := GenerateKey(256)
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewKeyring(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keyA, keyB := key(), key()
	free := quick("free")
	closedPort := start(t, free)
	nobody := closedPort.Self().Addr.String()
	closedPort.Close()
	for _, tc := range []struct {
		name         string
		seed, joiner func(*Config)
		seeds        []string
		want         string
	}{
		{name: "cluster", seed: func(c *Config) { c.Cluster = "blue" }, joiner: func(c *Config) { c.Cluster = "green" }, want: "another cluster: compare cluster.name"},
		{name: "no cluster", seed: func(c *Config) { c.Cluster = "blue" }, want: "another cluster: compare cluster.name"},
		{name: "wrong key", seed: func(c *Config) { c.Keyring = keyA }, joiner: func(c *Config) { c.Keyring = keyB }, want: "another encryption key"},
		{name: "key missing here", seed: func(c *Config) { c.Keyring = keyA }, want: "give this node the cluster's keyring"},
		{name: "key missing there", joiner: func(c *Config) { c.Keyring = keyA }, want: "it answered in plain text"},
		{name: "nobody", seeds: []string{nobody}, want: "nothing listens there"},
		{name: "unresolvable", seeds: []string{"no-such-host.invalid"}, want: "cannot be resolved"},
		{name: "nonsense", seeds: []string{"a:b:c"}, want: "is not host, host:port or [IPv6]:port"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := quick("a"), quick("b")
			if tc.seed != nil {
				tc.seed(&a)
			}
			if tc.joiner != nil {
				tc.joiner(&b)
			}
			seed, joiner := start(t, a), start(t, b)
			seeds := tc.seeds
			if seeds == nil {
				seeds = seedOf(seed)
			}
			res, err := joiner.Join(t.Context(), seeds)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("join: %v, want %q", err, tc.want)
			}
			var se *SeedError
			if !errors.As(err, &se) || len(res.Failed) != 1 || se.Seed != seeds[0] {
				t.Errorf("failed seeds: %+v", res.Failed)
			}
			if got := seed.View().Len() + joiner.View().Len(); got != 2 {
				t.Errorf("they merged all the same: %d members in both views", got)
			}
		})
	}
}

func TestNameConflictIsToldOnBothSides(t *testing.T) {
	nodes := cluster(t, 2, nil)
	double := start(t, quick("n2"))
	w := nodes[0].Watch(0)
	_, err := double.Join(t.Context(), seedOf(nodes[0]))
	if !errors.Is(err, ErrNameConflict) || !strings.Contains(err.Error(), "give this node") {
		t.Errorf("join under a name in use: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		ev, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("the seed reported no conflict: %v", err)
		}
		if ev.Change.Kind == membership.ChangeConflict {
			break
		}
	}
	if m, _ := nodes[0].View().Member("n2"); m.Addr != nodes[1].Self().Addr {
		t.Errorf("the name went over to %v", m.Addr)
	}
}

func TestJoinThroughItselfOnly(t *testing.T) {
	n := start(t, quick("n1"))
	res, err := n.Join(t.Context(), seedOf(n))
	if err != nil || len(res.Joined) != 0 {
		t.Errorf("got %+v, %v; the first node of a cluster is no failure", res, err)
	}
}

func TestJoinUntilRetriesUntilTheSeedIsThere(t *testing.T) {
	probe := start(t, quick("probe"))
	port := int(probe.Self().Addr.Port())
	probe.Close()
	n := start(t, quick("n2"))
	c := quick("n1")
	c.Port = port
	var seed *Node
	res, err := n.JoinUntil(t.Context(), []string{fmt.Sprintf("127.0.0.1:%d", port)}, func(attempt int, wait time.Duration, err error) {
		if attempt == 1 {
			seed = start(t, c)
		}
		if wait < minJoinWait/2 || wait > maxJoinWait {
			t.Errorf("attempt %d waits %v", attempt, wait)
		}
	})
	if err != nil || len(res.Joined) != 1 || seed == nil {
		t.Fatalf("got %+v, %v", res, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.JoinUntil(ctx, []string{"127.0.0.1:1"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCloseEndsOperationsAndWatchers(t *testing.T) {
	n := start(t, quick("n1"))
	w := n.Watch(1)
	n.Close()
	if err := n.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if ev, err := w.Next(t.Context()); err != nil || ev.Change.Kind != membership.ChangeJoined {
		t.Errorf("the event from before the close: %+v, %v", ev, err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after the last event: %v, want ErrClosed", err)
	}
	if _, err := n.Join(t.Context(), []string{"127.0.0.1:1"}); !errors.Is(err, ErrClosed) {
		t.Errorf("join: %v", err)
	}
	if err := n.Leave(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("leave: %v", err)
	}
	if n.View().Len() != 1 {
		t.Error("the last view is gone")
	}
}

// The engine alone would keep the probe of an unresponsive member alive after
// its shutdown for as long as ProbeInterval allows.
func TestCloseEndsAProbeUnderWay(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted=%v", encrypted), func(t *testing.T) {
			var ring *Keyring
			if encrypted {
				text, _ := GenerateKey(128)
				ring, _ = NewKeyring(text)
			}
			nodes := cluster(t, 2, func(c *Config) {
				c.Keyring = ring
				c.ProbeInterval, c.ProbeTimeout = 4*time.Second, 3900*time.Millisecond
			})
			nodes[1].Close()
			n := nodes[0]
			eventually(t, func() error { return waiting(n) })
			n.Close()
			goleak.VerifyNone(t)
		})
	}
}

// waiting is nil while a ping of the node waits for its ack.
func waiting(n *Node) error {
	n.tap.mu.Lock()
	defer n.tap.mu.Unlock()
	if len(n.tap.probes) == 0 {
		return errors.New("no ping is waiting")
	}
	return nil
}

// One that waits is not forgotten over many that are answered meanwhile.
func TestCloseEndsAPingThatManyFollowed(t *testing.T) {
	other, silent := start(t, quick("n2")), silentAddr(t)
	c := quick("n1")
	c.ProbeInterval, c.ProbeTimeout = time.Minute, 50*time.Second
	n := start(t, c)
	n.tryLook(func() { _, _ = n.engine.Ping("silent", silent) })
	eventually(t, func() error { return waiting(n) })
	for range 2 * maxProbesInFlight {
		if _, err := n.engine.Ping("n2", net.UDPAddrFromAddrPort(other.Self().Addr)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	_ = n.Close()
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("closing took %v", took)
	}
}

// silentAddr is where nobody answers.
func silentAddr(t *testing.T) net.Addr {
	t.Helper()
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	return silent.LocalAddr()
}

func TestAllowedNetworks(t *testing.T) {
	c := quick("n1")
	c.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "own address 127.0.0.1 is in none of the allowed networks") {
		t.Errorf("own address outside: %v", err)
	}
	c.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	seed := start(t, c)
	other := quick("n2")
	other.Bind = "127.0.0.2"
	stranger := start(t, other)
	_, _ = stranger.Join(t.Context(), seedOf(seed))
	if got := seed.View().Len(); got != 1 {
		t.Errorf("a member from outside was let in: %d members", got)
	}
	if err := seed.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBusyPort(t *testing.T) {
	n := start(t, quick("n1"))
	c := quick("n2")
	c.Port = int(n.Self().Addr.Port())
	_, err := Start(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("busy port: %v", err)
	}
}

func TestAddressFamilies(t *testing.T) {
	for _, tc := range []struct{ bind, advertise string }{
		{"::1", ""}, {"::", "::1"}, {"::", "127.0.0.1"}, {"0.0.0.0", "127.0.0.1"}, {"lo", ""},
	} {
		t.Run(tc.bind+" "+tc.advertise, func(t *testing.T) {
			if strings.Contains(tc.bind+tc.advertise, "::") && !hasIPv6(t) {
				t.Skip("SKIPPED: this machine has no IPv6 loopback address")
			}
			nodes := cluster(t, 3, func(c *Config) { c.Bind, c.Advertise = tc.bind, tc.advertise })
			if a := nodes[0].Self().Addr.Addr(); a.IsUnspecified() || !a.IsLoopback() {
				t.Errorf("advertises %v", a)
			}
		})
	}
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	c := quick("v6")
	c.Bind = "::1"
	n, err := Start(t.Context(), c)
	if err != nil {
		return false
	}
	n.Close()
	return true
}
