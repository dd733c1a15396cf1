package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// Five real nodes, one of them crashes: each of the others tells who accused it and which witnesses confirmed it.
func TestWhyOfARealCrash(t *testing.T) {
	nodes := make([]*gossip.Node, 5)
	for i := range nodes {
		cfg := gossip.Local()
		cfg.Name, cfg.Port, cfg.Detector = fmt.Sprintf("n%d", i+1), 0, gossip.DetectorVerdicts
		cfg.SuspicionMult = 60         // the engine alone would take too long
		cfg.SyncInterval = time.Second // who has missed the gossip of a join
		node, err := gossip.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Close() })
		if i > 0 {
			if _, err := node.Join(t.Context(), []string{nodes[0].Info().Advertise}); err != nil {
				t.Fatal(err)
			}
		}
		nodes[i] = node
	}
	for _, node := range nodes {
		eventually(t, "all see each other", func() bool { return node.View().Count(membership.Alive) == 5 })
	}
	if err := nodes[4].Close(); err != nil {
		t.Fatal(err)
	}
	s, err := New(ServerConfig{Node: nodes[0], Ready: func() (bool, string) { return true, "" }})
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
	var why *Why
	accused := false
	eventually(t, "n5 is held failed", func() bool {
		m, err := c.Member(t.Context(), "n5")
		if err != nil {
			t.Fatal(err)
		}
		accused = accused || m.Member.State == "suspect" && len(m.Member.AccusedBy) > 0
		if why, err = c.Why(t.Context(), "n5"); err != nil {
			t.Fatal(err)
		}
		return why.Member.State == "failed"
	})
	if !accused {
		t.Error("the suspect was never shown with its accusers")
	}
	if why.Detector != gossip.DetectorVerdicts || why.Case == nil || why.Case.Outcome != "verdict" || why.Case.Ended == nil || why.Case.Incarnation != why.Member.Incarnation {
		t.Fatalf("%+v, case %+v", why, why.Case)
	}
	testified, _ := inTime(why.Case.Testimonies)
	if why.Rules.Quorum != 3 || len(testified) < 3 || len(why.Rules.Witnesses) != 4 || slices.Contains(why.Rules.Witnesses, "n5") {
		t.Errorf("rules %+v, testimonies %v", why.Rules, testified)
	}
	for _, by := range testified {
		if !slices.Contains(why.Rules.Witnesses, by) {
			t.Errorf("%s testified, the witnesses are %v", by, why.Rules.Witnesses)
		}
	}
	if story := strings.Join(why.Story, "\n"); !strings.Contains(story, "n5 has been failed since") || !strings.Contains(story, "by the witnesses "+listNames(testified)) {
		t.Error(story)
	}
	metrics, err := c.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if metrics["heartbeat_verdicts_total"] != 1 || metrics["heartbeat_detection_seconds_count"] != 1 || metrics["heartbeat_accusations_total"]+metrics[`heartbeat_testimonies_total{outcome="received"}`] < 2 {
		t.Errorf("%v", metrics)
	}
	if took := time.Duration(metrics["heartbeat_detection_seconds_sum"] * float64(time.Second)); took <= 0 {
		t.Errorf("it took %v", took)
	}
}
