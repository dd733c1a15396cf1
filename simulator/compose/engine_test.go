package compose

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"heartbeat/gossip"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/sidecar"
)

func TestCheck(t *testing.T) {
	const cut = "timeline: [{at: 1s, for: 1s, partition: {shape: halves}}]\n"
	for _, c := range []struct {
		name, cluster, rest, want string
		change                    func(*fakeNode)
	}{
		{"as it should be", "nodes: 3", cut, "", nil},
		{"fewer nodes than there are", "nodes: 2", cut, "", nil},
		{"a setting of the nodes", "nodes: 3, settings: {probe.interval: 2s}", "", "", nil},
		{"more nodes than there are", "nodes: 4", "", "has 4 nodes, this cluster has 3: give --set nodes=3", nil},
		{"encryption", "nodes: 3, encryption: true", "", "asks for encryption", nil},
		{"a setting of the machine", "nodes: 3, settings: {network.max_streams: 9}", "", "sets network.max_streams, which is fixed", nil},
		{"a kernel that cannot", "nodes: 3", cut, "n2 cannot do what the scenario needs: no nftables", func(f *fakeNode) {
			f.refuse = func(what string) string { return map[string]string{"change": "no nftables"}[what] }
		}},
		{"a container that comes late", "nodes: 3", cut, "", func(f *fakeNode) { f.stops = 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, fakes := newFakes(t, 3)
			if c.change != nil {
				fakes[1].look(func() { c.change(fakes[1]) })
			}
			err := e.Check(parse(t, c.cluster, c.rest))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			for _, f := range fakes {
				f.look(func() {
					if len(f.faults) != 1 { // that of before
						t.Errorf("faults are left: %v", f.faults)
					}
				})
			}
		})
	}
}

func TestCheckWithoutAScenario(t *testing.T) {
	e, _ := newFakes(t, 2)
	if err := e.Check(nil); err != nil {
		t.Error(err)
	}
}

// One engine at a time has the cluster, and a refused one touches nothing.
func TestAnotherRun(t *testing.T) {
	first, fakes := newFakes(t, 3)
	cfg := Config{Token: testToken}
	for _, f := range fakes {
		cfg.Nodes = append(cfg.Nodes, f.config)
	}
	second := newEngine(t, cfg)
	if err := first.Check(nil); err != nil {
		t.Fatal(err)
	}
	var done []string
	fakes[1].look(func() { done = append(done, fakes[1].done...) })
	sc := parse(t, "nodes: 3", "")
	_, played := second.Play(t.Context(), sc, 1, nil)
	for _, err := range []error{second.Check(sc), played} {
		if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "another run is under way on this cluster: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is %v", err)
		}
	}
	fakes[1].look(func() {
		if !slices.Equal(done, fakes[1].done) || fakes[1].holder == "" {
			t.Errorf("the refused run did %v, the lease is %q's", fakes[1].done, fakes[1].holder)
		}
	})
	if err := errors.Join(first.Close(), second.Check(sc)); err != nil {
		t.Errorf("after the first one's end: %v", err)
	}
}

func TestWrongTokenIsNoReasonToWait(t *testing.T) {
	f := newFakeNode(t, 0)
	e, err := New(Config{Nodes: []Node{f.config, f.config}, Token: "another-token-than-theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(nil); err == nil || !strings.Contains(err.Error(), "the fault agent of n1: no token") {
		t.Errorf("the error is %v", err)
	}
}

// Every setting of a node that is not about its machine can be part of a
// scenario.
func TestSettingsCanBeGiven(t *testing.T) {
	for _, s := range gossip.Settings() {
		section, _, _ := strings.Cut(s.Key, ".")
		fixed := section == "node" || section == "network" || section == "encryption"
		if sidecar.Settable(variable(s.Key)) == fixed {
			t.Errorf("%s: settable is %v", s.Key, !fixed)
		}
	}
}

func TestPlayTidiesUp(t *testing.T) {
	const cluster = "nodes: 3, profile: wan, settings: {probe.interval: 7s}, join: {within: 0s, timeout: 1s}"
	t.Run("after no agreement", func(t *testing.T) {
		e, fakes := newFakes(t, 4)
		sc := parse(t, cluster, "network: {loss: 1%}\n")
		h, err := e.Play(t.Context(), sc, 1, nil)
		if h != nil || !errors.Is(err, engine.ErrNoAgreement) {
			t.Errorf("the error is %v", err)
		}
		for _, f := range fakes {
			f.wantTidy(t)
		}
		fakes[3].look(func() {
			if got := strings.Join(fakes[3].done, " "); got != "clear kill clear kill start" {
				t.Errorf("a node of no use: %s", got)
			}
		})
	})
	t.Run("when told to stop", func(t *testing.T) {
		e, fakes := newFakes(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		var given map[string]string
		fakes[1].look(func() {
			fakes[1].refuse = func(what string) string {
				if what == "hold" { // it has just been started
					if given == nil {
						given = fakes[1].env
					}
					cancel()
				}
				return ""
			}
		})
		if h, err := e.Play(ctx, parse(t, cluster, ""), 1, nil); h != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		for _, f := range fakes {
			f.wantTidy(t)
		}
		for key, want := range map[string]string{
			"HEARTBEAT_PROFILE": "wan", "HEARTBEAT_PROBE_INTERVAL": "7s", "HEARTBEAT_CLUSTER_SEEDS": "10.0.0.1", "HEARTBEAT_JOURNAL_SIZE": "16384",
		} {
			if given[key] != want {
				t.Errorf("n2 was given %s=%q, want %q", key, given[key], want)
			}
		}
	})
	t.Run("what cannot be tidied is said", func(t *testing.T) {
		e, fakes := newFakes(t, 3)
		fakes[2].look(func() {
			cleared := false
			fakes[2].refuse = func(what string) string {
				if what != "clear" || !cleared {
					cleared = cleared || what == "clear"
					return ""
				}
				return "the kernel is stubborn"
			}
		})
		_, err := e.Play(t.Context(), parse(t, cluster, ""), 1, nil)
		if err == nil || !strings.Contains(err.Error(), "faults of n3 may stay in effect until they end by themselves: the kernel is stubborn") {
			t.Errorf("the error is %v", err)
		}
	})
}

func newCluster(t *testing.T) (*cluster, []*fakeNode) {
	e, fakes := newFakes(t, 2)
	c := &cluster{settings: map[string]string{"HEARTBEAT_PROFILE": "lan"}}
	for _, n := range e.nodes {
		c.members = append(c.members, &member{node: n})
	}
	return c, fakes
}

func TestStartOfAnAgentThatDies(t *testing.T) {
	c, fakes := newCluster(t)
	fakes[1].look(func() { fakes[1].dies = true })
	_, err := c.Start(t.Context(), 1, []int{0})
	if err == nil || !strings.Contains(err.Error(), "docker-compose logs sim2") {
		t.Errorf("the error is %v", err)
	}
}

// An agent that ends by itself is not let go again, and its end is noticed.
func TestEnded(t *testing.T) {
	c, fakes := newCluster(t)
	if _, err := c.Start(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if at, err := c.Ended(soon, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it has ended at %v (%v), but it runs", at, err)
	}
	fakes[0].look(func() {
		if !fakes[0].agent.Hold {
			t.Error("the next process would not wait")
		}
		fakes[0].end()
	})
	at, err := c.Ended(t.Context(), 0)
	if err != nil || time.Since(at) > time.Minute {
		t.Errorf("it has ended at %v (%v)", at, err)
	}
}
