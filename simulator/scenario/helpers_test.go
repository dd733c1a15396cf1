package scenario

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// parse reads a scenario that must be right.
func parse(t testing.TB, text string) *Scenario {
	t.Helper()
	s, err := Parse("test.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// inCluster returns a scenario of n nodes with the given steps, one a line.
func inCluster(n int, steps ...string) string {
	text := fmt.Sprintf("version: 1\nname: test\ncluster: {nodes: %d}\nnetwork: {latency: 2ms}\n", n)
	if len(steps) > 0 {
		text += "timeline:\n  - " + strings.Join(steps, "\n  - ") + "\n"
	}
	return text
}

// drawScenario draws the text of a scenario. Each step is right by itself; steps may be in each other's way.
func drawScenario(t *rapid.T) string {
	n := rapid.IntRange(4, 24).Draw(t, "nodes")
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawStep(t, n) }), 0, 8).Draw(t, "steps")
	return inCluster(n, steps...)
}

func drawTargets(t *rapid.T, n int) string {
	name := func(label string) string { return fmt.Sprintf("n%d", rapid.IntRange(1, n).Draw(t, label)) }
	switch rapid.IntRange(0, 4).Draw(t, "kind of targets") {
	case 0:
		return name("node")
	case 1:
		first := rapid.IntRange(1, n).Draw(t, "first")
		return fmt.Sprintf("[n%d..n%d]", first, rapid.IntRange(first, n).Draw(t, "last"))
	case 2:
		return fmt.Sprintf("{count: %d}", rapid.IntRange(1, n).Draw(t, "count"))
	case 3:
		return fmt.Sprintf("%d%%", rapid.IntRange(1, 100).Draw(t, "share"))
	}
	return rapid.SampledFrom(pickWords).Draw(t, "word")
}

func drawStep(t *rapid.T, n int) string {
	nodes := func() string { return drawTargets(t, n) }
	at := fmt.Sprintf("at: %dms", rapid.IntRange(0, 100_000).Draw(t, "at"))
	length := rapid.IntRange(1, 20_000).Draw(t, "for")
	lasting := fmt.Sprintf("%s, for: %dms", at, length)
	if rapid.Bool().Draw(t, "flap") {
		lasting += fmt.Sprintf(", flap: {down: %dms, up: %dms}", rapid.IntRange(100, 9000).Draw(t, "down"), rapid.IntRange(100, 9000).Draw(t, "up"))
	}
	if rapid.Bool().Draw(t, "every") {
		again := fmt.Sprintf(", every: %dms, times: %d", length+rapid.IntRange(0, 5000).Draw(t, "gap"), rapid.IntRange(2, 5).Draw(t, "times"))
		at, lasting = at+again, lasting+again
	}
	only := rapid.SampledFrom([]string{"", ", only: udp", ", only: tcp"}).Draw(t, "only")
	switch rapid.IntRange(0, 7).Draw(t, "fault") {
	case 0:
		shape := rapid.SampledFrom([]string{
			"halves", "majority", "minority", "minority-third", "isolate", "bridge", "majorities-ring",
			"isolate, nodes: " + nodes(), "groups, groups: [[n1, n2], [n4]]", "groups, groups: [[n2]]",
		}).Draw(t, "shape")
		return fmt.Sprintf("{%s, partition: {shape: %s%s}}", lasting, shape, only)
	case 1:
		effect := rapid.SampledFrom([]string{
			"cut: true", "loss: 30%", "loss: 0.25, delay: 40ms, jitter: 10ms", "rate: 10mbit", "delay: 1s, rate: 64kbit",
		}).Draw(t, "effect")
		if only != ", only: tcp" && rapid.Bool().Draw(t, "datagrams") {
			effect = "duplicate: 10%, reorder: 20%, loss: 5%"
		}
		both := rapid.SampledFrom([]string{"", ", both: true"}).Draw(t, "both")
		return fmt.Sprintf("{%s, link: {from: %s, to: %s, %s%s%s}}", lasting, nodes(), nodes(), effect, both, only)
	case 2:
		return fmt.Sprintf("{%s, pause: {nodes: %s}}", lasting, nodes())
	case 3:
		return fmt.Sprintf("{%s, stall: {nodes: %s, late: 500ms..2.5s}}", lasting, nodes())
	case 4:
		return fmt.Sprintf("{%s, kill: {nodes: %s}}", at, nodes())
	case 5:
		return fmt.Sprintf("{%s, start: {nodes: %s}}", at, nodes())
	case 6:
		return fmt.Sprintf("{%s, leave: {nodes: %s}}", at, nodes())
	}
	return fmt.Sprintf("{%s, restart: {nodes: %s, down: 1ms}}", at, nodes())
}

// drawValid draws a scenario until the parser takes it.
func drawValid(t *rapid.T) *Scenario {
	text := drawScenario(t)
	s, err := Parse("test.yaml", []byte(text), Options{})
	if err != nil {
		t.Skip("steps in each other's way")
	}
	return s
}
