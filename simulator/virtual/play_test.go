package virtual

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/virtual/bubble"
)

// notes records a run as text.
type notes struct {
	start    engine.Start
	lines    []string
	changes  map[string]int // "kind subject" -> observers
	accused  map[string]int
	noted    map[string]int // "observer kind subject by" -> how often; nil: not wanted
	load     []engine.Load
	duration time.Duration
	last     time.Duration
	t        *testing.T

	cpuAtBegin time.Duration
}

func (n *notes) clock(at time.Duration) {
	if at < n.last {
		n.t.Errorf("time went back from %v to %v", n.last, at)
	}
	n.last = at
}

func (n *notes) Begin(s engine.Start)    { n.start, n.cpuAtBegin = s, n.cpu() }
func (n *notes) Acted(a scenario.Action) { n.lines = append(n.lines, a.String()) }
func (n *notes) Notes() bool             { return n.noted != nil }
func (n *notes) Noted(at time.Duration, observer int, e membership.Entry) {
	if at < n.last-time.Second || at > n.last+time.Second {
		n.t.Errorf("a note of %v after %v", at, n.last)
	}
	n.noted[fmt.Sprintf("n%d %s %s by %s", observer+1, e.Kind, e.Subject, e.By)]++
}
func (n *notes) Used(time.Duration, int, engine.Usage) {
	n.t.Error("nodes in virtual time are no processes")
}
func (n *notes) Passed(at time.Duration) { n.clock(at) }
func (n *notes) Accused(at time.Duration, _ int, subject string, _ uint32) {
	n.clock(at)
	n.accused[subject]++
}
func (n *notes) Observed(at time.Duration, _ int, c membership.Change) {
	n.clock(at)
	n.changes[c.Kind.String()+" "+c.Member.Name]++
}
func (n *notes) End(at time.Duration) { n.duration = at }
func (n *notes) Sent(node int, from, to time.Duration, load engine.Load) {
	if from >= to || to > n.last+time.Second {
		n.t.Errorf("a sample of n%d from %v to %v after %v", node+1, from, to, n.last)
	}
	n.load[node] = n.load[node].Plus(load)
}

func playYAML(t *testing.T, seed uint64, text string) (*notes, error) {
	t.Helper()
	sc, err := scenario.Parse("test.yaml", []byte(text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := &notes{t: t, changes: make(map[string]int), accused: make(map[string]int), load: make([]engine.Load, sc.Cluster.Nodes)}
	return n, bubble.Run(t, func(ctx context.Context) error { return Play(ctx, sc, seed, n) })
}

// What witnesses found is told once by each, and their testimonies by those who heard them.
func TestNotesOfWitnesses(t *testing.T) {
	sc, err := scenario.Parse("test.yaml", []byte("version: 1\nname: test\ncluster: {nodes: 12, detector: verdicts}\n"+
		"timeline:\n  - {at: 5s, kill: {node: n4}}\n  - {at: 20s, kill: {node: n7}}\nduration: 35s\n"), scenario.Options{Detectors: []string{"memberlist", "verdicts"}})
	if err != nil {
		t.Fatal(err)
	}
	n := &notes{t: t, changes: map[string]int{}, accused: map[string]int{}, load: make([]engine.Load, 12), noted: map[string]int{}}
	if err := bubble.Run(t, func(ctx context.Context) error { return Play(ctx, sc, 1, n) }); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"n4", "n7"} {
		own, heard := 0, 0
		for i := 1; i <= 12; i++ {
			for by := 1; by <= 12; by++ {
				count := n.noted[fmt.Sprintf("n%d testified %s by n%d", i, subject, by)]
				if count > 1 {
					t.Errorf("n%d noted %d testimonies of n%d against %s", i, count, by, subject)
				}
				if i == by {
					own += count
				} else {
					heard += count
				}
			}
		}
		if own < 5 || heard < 9*own/2 {
			t.Errorf("%s: %d witnesses testified, which was heard %d times: %v", subject, own, heard, n.noted)
		}
	}
}

// A node that has nobody to say goodbye to takes its time, but is gone when it is to start again.
func TestRestartDuringAGoodbye(t *testing.T) {
	n, err := playYAML(t, 1, "version: 1\nname: test\ncluster: {nodes: 4}\ntimeline:\n"+
		"  - {at: 5s, for: 30s, partition: {shape: isolate, node: n2}}\n  - {at: 10s, restart: {node: n2, down: 1s, graceful: true}}\nduration: 60s\n")
	if err != nil {
		t.Fatal(err)
	}
	if n.changes["joined n2"] == 0 {
		t.Errorf("nobody saw n2 come back: %v", n.changes)
	}
}

func TestCrashIsSeenByAll(t *testing.T) {
	n, err := playYAML(t, 1, `
version: 1
name: crash
cluster: {nodes: 8}
network: {latency: 2ms, jitter: 1ms}
timeline:
  - {at: 10s, kill: {nodes: [n3]}}
  - {at: 40s, start: {nodes: [n3]}}
  - {at: 60s, leave: {nodes: [n4]}}
duration: 90s
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10s kill n3", "40s start n3", "1m leave n4"}, n.lines); diff != "" {
		t.Error(diff)
	}
	// A probe under way while n4 leaves may fail, so now and then somebody
	// holds n4 failed before it hears of the leave.
	for what, want := range map[string][2]int{"failed n3": {7, 7}, "left n4": {7, 8}, "failed n4": {0, 1}, "failed n5": {0, 0}} {
		if got := n.changes[what]; got < want[0] || got > want[1] {
			t.Errorf("%s at %d nodes, want %d to %d", what, got, want[0], want[1])
		}
	}
	if n.accused["n3"] == 0 || n.duration != 90*time.Second {
		t.Errorf("accused %v, ended after %v", n.accused, n.duration)
	}
	for i, l := range n.load {
		if l.PacketsOut == 0 || l.UDPBytesIn == 0 {
			t.Errorf("n%d has no traffic: %+v", i+1, l)
		}
	}
}

func TestPartitionMakesBothSidesFailEachOther(t *testing.T) {
	n, err := playYAML(t, 2, `
version: 1
name: halves
cluster: {nodes: 6}
network: {latency: 2ms}
timeline:
  - {at: 5s, for: 70s, partition: {shape: groups, groups: [[n1, n2, n3], [n4, n5, n6]]}}
duration: 76s
`)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 6; i++ {
		if got := n.changes[fmt.Sprintf("failed n%d", i)]; got != 3 {
			t.Errorf("n%d is held failed by %d, want the 3 of the other side", i, got)
		}
	}
}

func TestFrozenNodeComesBack(t *testing.T) {
	n, err := playYAML(t, 3, `
version: 1
name: frozen
cluster: {nodes: 6, encryption: true}
network: {latency: 2ms}
timeline:
  - {at: 5s, for: 10s, pause: {nodes: [n2]}}
duration: 30s
`)
	if err != nil {
		t.Fatal(err)
	}
	// Whether the others suspected it or held it failed, they have it back; gossip
	// may miss one of them until the next sync.
	if n.changes["suspected n2"] < 4 || n.changes["refuted n2"]+n.changes["joined n2"] < 3 {
		t.Errorf("n2 was frozen for 10 s: %v", n.changes)
	}
}

func TestClusterThatCannotAgree(t *testing.T) {
	_, err := playYAML(t, 1, `
version: 1
name: cut
cluster: {nodes: 4, join: {timeout: 3s}}
network: {loss: 99%}
duration: 10s
`)
	if err == nil || !strings.Contains(err.Error(), "did not agree within 3s") {
		t.Errorf("got %v", err)
	}
}

func TestRunsCanBeCanceled(t *testing.T) {
	sc, err := scenario.Load("idle", scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = bubble.Run(t, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return Play(ctx, sc, 1, &notes{t: t, changes: map[string]int{}, accused: map[string]int{}, load: make([]engine.Load, sc.Cluster.Nodes)})
	})
	if err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}

var (
	costNodes = flag.Int("cost.nodes", 20, "nodes of TestCostOfIdleCluster")
	costTime  = flag.Duration("cost.time", time.Minute, "virtual time of TestCostOfIdleCluster")
)

// TestCostOfIdleCluster says what a node second costs. For a measurement:
//
//	GOMAXPROCS=1 GOGC=400 go test -run CostOfIdle -v -cost.nodes 100 -cost.time 10m -cpuprofile /tmp/cpu
func TestCostOfIdleCluster(t *testing.T) {
	n, err := playYAML(t, 1, fmt.Sprintf(`
version: 1
name: idle
cluster: {nodes: %d}
network: {latency: 2ms, jitter: 1ms}
duration: %v
`, *costNodes, *costTime))
	if err != nil {
		t.Fatal(err)
	}
	var sum engine.Load
	for _, l := range n.load {
		sum.PacketsOut += l.PacketsOut
		sum.UDPBytesOut += l.UDPBytesOut
		sum.TCPBytesOut += l.TCPBytesOut
	}
	seconds := float64(*costNodes) * costTime.Seconds()
	t.Logf("%d nodes agreed after %v; %.0f node seconds per CPU second; per node and second %.3f packets, %.0f B UDP, %.0f B TCP",
		*costNodes, n.start.Agreed, seconds/n.cpu().Seconds(), float64(sum.PacketsOut)/seconds, float64(sum.UDPBytesOut)/seconds, float64(sum.TCPBytesOut)/seconds)
	if len(n.changes) > 0 || len(n.accused) > 0 {
		t.Errorf("an idle cluster without loss is not quiet: %v %v", n.changes, n.accused)
	}
}

func (n *notes) cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		n.t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano()+r.Stime.Nano()) - n.cpuAtBegin
}
