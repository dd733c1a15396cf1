package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// healing quickly, and never by gossip to the dead.
func healingFast(c *Config) {
	c.HealInterval = 50 * time.Millisecond
	c.GossipToTheDead = 0
}

// A node that comes back and knows nobody is found, at first by its old address.
func TestWhoComesBackWithoutASeedIsFound(t *testing.T) {
	key, err := GenerateKey(256)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		edit func(*Config)
	}{
		{"plain text", healingFast},
		{"encrypted", func(c *Config) { healingFast(c); c.Cluster, c.Keyring = "blue", ring }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes := cluster(t, 2, tc.edit)
			again := quick("n2")
			tc.edit(&again)
			again.Port = int(nodes[1].Self().Addr.Port())
			again.HealInterval = 0
			nodes[1].Close()
			eventually(t, func() error { return wantCounts(nodes[0], 1, 1, 0) })
			n2 := start(t, again)
			for _, n := range []*Node{nodes[0], n2} {
				eventually(t, func() error { return wantCounts(n, 2, 0, 0) })
			}
			eventually(t, func() error {
				if s := nodes[0].Stats().Heal; s.Heals == 0 || s.Reached < s.Heals || s.Attempts < s.Reached {
					return fmt.Errorf("counted %+v", s)
				}
				entries := nodes[0].Journal("n2")
				i := slices.IndexFunc(entries, func(e membership.Entry) bool { return e.Kind == membership.EntryHealed })
				if i < 0 || !strings.Contains(entries[i].Note, "reached n2 after") || !strings.Contains(entries[i].Note, "1 of 1 are back") {
					return fmt.Errorf("the journal is %v", entries)
				}
				return nil
			})
		})
	}
}

// plainNode starts bare memberlist, as others run it.
func plainNode(t *testing.T, name string, port int) *memberlist.Memberlist {
	t.Helper()
	c := memberlist.DefaultLocalConfig()
	c.Name, c.BindAddr, c.BindPort, c.LogOutput = name, "127.0.0.1", port, io.Discard
	m, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	return m
}

func TestPlainMemberlistIsFoundAgain(t *testing.T) {
	c := quick("ours")
	healingFast(&c)
	n := start(t, c)
	plain := plainNode(t, "plain", 0)
	port := int(plain.LocalNode().Port)
	if _, err := plain.Join(seedOf(n)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return wantCounts(n, 2, 0, 0) })
	if err := plain.Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return wantCounts(n, 1, 1, 0) })
	again := plainNode(t, "plain", port)
	eventually(t, func() error {
		if got := again.NumMembers(); got != 2 {
			return fmt.Errorf("it lists %d members", got)
		}
		return wantCounts(n, 2, 0, 0)
	})
}

// names is a resolver of what a test says.
type names struct {
	hosts map[string][]netip.Addr
	srv   map[string][]*net.SRV
}

func (r names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if ips := r.hosts[host]; len(ips) > 0 {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (r names) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if records, ok := r.srv[name]; ok && service == "" && proto == "" {
		return name, records, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func TestResolve(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	c := quick("n1")
	c.Resolver = names{
		hosts: map[string][]netip.Addr{"a": {v4, v6}, "b": {netip.MustParseAddr("10.0.0.2")}, "six": {v6}},
		srv: map[string][]*net.SRV{
			"_heartbeat._udp.example.com": {{Target: "a", Port: 1}, {Target: "gone", Port: 3}, {Target: "b", Port: 2}},
			"away":                        {{Target: ".", Port: 0}},
			"broken":                      {{Target: "gone", Port: 3}},
		},
	}
	n := start(t, c)
	for _, tc := range []struct {
		seed string
		want []string
		err  string
	}{
		{seed: "a:5", want: []string{"10.0.0.1:5"}}, // a node bound to IPv4 reaches no other
		{seed: "a", want: []string{"10.0.0.1:7946"}},
		{seed: "[fd00::2]:5", want: []string{"[fd00::2]:5"}},
		{seed: "_heartbeat._udp.example.com", want: []string{"10.0.0.1:1", "10.0.0.2:2"}},
		{seed: "srv:_heartbeat._udp.example.com", want: []string{"10.0.0.1:1", "10.0.0.2:2"}},
		{seed: "six", err: "no address of the family"},
		{seed: "nobody", err: `the name "nobody" cannot be resolved`},
		{seed: "_no._udp.example.com", err: "cannot be looked up"},
		{seed: "srv:away", err: "no SRV record gives an address"},
		{seed: "srv:broken", err: `the name "gone" cannot be resolved`},
		{seed: "srv:a:80", err: "is no name with SRV records"},
	} {
		addrs, err := n.resolve(t.Context(), tc.seed)
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v, %v, want %v, %q", tc.seed, got, err, tc.want, tc.err)
		}
	}
}

// slowNames never answers in time.
type slowNames struct{ names }

func (slowNames) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestLookupsEnd(t *testing.T) {
	c := quick("n1")
	c.Resolver, c.StreamTimeout = slowNames{}, 100*time.Millisecond
	if _, err := start(t, c).Join(t.Context(), []string{"slow"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the lookup to be given up", err)
	}
}

// A seed that closes the stream because too many join through it is asked again,
// and nobody is told.
func TestBusySeedIsAskedAgainQuietly(t *testing.T) {
	seed := start(t, quick("seed"))
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Close() })
	var asked atomic.Int32
	busy := int32(crowdedTries - 1)
	go func() {
		for {
			conn, err := front.Accept()
			if err != nil {
				return
			}
			if asked.Add(1) <= busy {
				conn.Close()
				continue
			}
			back, err := net.Dial("tcp", seed.Self().Addr.String())
			if err != nil {
				conn.Close()
				continue
			}
			go func() { defer back.Close(); _, _ = io.Copy(back, conn) }()
			go func() { defer conn.Close(); _, _ = io.Copy(conn, back) }()
		}
	}()
	n := start(t, quick("n1"))
	res, err := n.Join(t.Context(), []string{front.Addr().String()})
	if err != nil || len(res.Joined) != 1 || len(res.Failed) != 0 || asked.Load() != busy+1 {
		t.Errorf("got %+v, %v after %d tries, want success at try %d", res, err, asked.Load(), busy+1)
	}
	asked.Store(-1000)
	if _, err := n.Join(t.Context(), []string{front.Addr().String()}); err == nil || !strings.Contains(err.Error(), "overloaded") {
		t.Errorf("a seed that stays busy: %v", err)
	}
	if tries := asked.Load() + 1000; tries != crowdedTries {
		t.Errorf("it was asked %d times, want %d", tries, crowdedTries)
	}
}

func TestSeedsAreRemembered(t *testing.T) {
	n := start(t, quick("n1"))
	seeds := func() []string {
		n.healing.mu.Lock()
		defer n.healing.mu.Unlock()
		return slices.Clone(n.healing.seeds)
	}
	other := start(t, quick("n2"))
	if _, err := n.Join(t.Context(), []string{"127.0.0.1:1"}); err == nil || len(seeds()) != 0 {
		t.Errorf("%v: %v is remembered of a join that failed", err, seeds())
	}
	given := append(seedOf(other), "127.0.0.1:1")
	for range 2 {
		if _, err := n.Join(t.Context(), append(slices.Clone(given), "no seed at all")); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(given, seeds()); diff != "" {
		t.Error(diff)
	}
	n.SetSeeds(slices.Repeat([]string{"x"}, 3*maxSeeds))
	if len(seeds()) != maxSeeds {
		t.Errorf("%d seeds are remembered", len(seeds()))
	}
	n.SetSeeds(nil)
	if len(seeds()) != 0 {
		t.Errorf("%v is left", seeds())
	}
}

// Another node's memory of failed members may name any address. None is tried that no member could have.
func TestOnlyAddressesThatMembersMayHaveAreTried(t *testing.T) {
	c := quick("n1")
	c.HealInterval = time.Hour
	c.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3")}
	n := start(t, c)
	own := n.Self().Addr.Port()
	state := &wire.StateSync{}
	for i, addr := range []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.9:7946"), // as it should be
		netip.MustParseAddrPort("10.0.0.1:7946"),  // not allowed
		netip.MustParseAddrPort("127.0.0.9:0"),
		netip.AddrPortFrom(netip.IPv4Unspecified(), own),
		netip.MustParseAddrPort("224.0.0.1:7946"),
		netip.MustParseAddrPort("255.255.255.255:7946"),
	} {
		state.Records = append(state.Records, wire.Record{Name: fmt.Sprint("x", i), Addr: addr, Incarnation: 1, State: wire.StateFailed})
	}
	buf, err := wire.Encode(state)
	if err != nil {
		t.Fatal(err)
	}
	delegate{n}.MergeRemoteState(buf, false)
	if err := wantCounts(n, 1, len(state.Records), 0); err != nil {
		t.Fatal(err)
	}
	if failed := n.situation().failed; len(failed) != 1 || failed[0].name != "x0" {
		t.Errorf("tried are %+v, want x0 alone", failed)
	}
}
