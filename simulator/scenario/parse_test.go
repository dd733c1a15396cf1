package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// knownSettings stands for the check that the node's package provides.
func knownSettings(key, value string) error {
	switch key {
	case "probe.interval":
		if _, err := time.ParseDuration(value); err != nil {
			return fmt.Errorf("%q is not a duration", value)
		}
	case "gossip.nodes":
		if strings.Trim(value, "0123456789") != "" {
			return fmt.Errorf("%q is not a number", value)
		}
	default:
		return fmt.Errorf("there is no setting %q", key)
	}
	return nil
}

func TestWrongFilesAreRefusedWithLineAndReason(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(name+".yaml", data, Options{CheckSetting: knownSettings})
			if err == nil || s != nil {
				t.Fatalf("the file is taken: %+v", s)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func TestHugeFileIsRefused(t *testing.T) {
	data := bytes.Repeat([]byte("# x\n"), MaxFileSize/4+1)
	_, err := Parse("huge.yaml", data, Options{})
	if want := "huge.yaml: the file is too large: 65540 bytes, at most 65536"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestErrorsCanBeTakenApart(t *testing.T) {
	_, err := Parse("x.yaml", []byte(inCluster(5, "{at: 1s, kill: {node: n9}}")), Options{})
	var one *Error
	if !errors.As(err, &one) {
		t.Fatalf("%v holds no *Error", err)
	}
	want := &Error{Source: "x.yaml", Line: 6, Column: 27, Message: "timeline[0].kill.nodes: n9 does not exist: the cluster has 5 nodes, n1 to n5"}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestParseReadsEverything(t *testing.T) {
	data, err := os.ReadFile("testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("everything.yaml", data, Options{CheckSetting: knownSettings, Detectors: []string{"verdicts", "witnesses"}})
	if err != nil {
		t.Fatal(err)
	}
	most := 9
	named := func(spans ...Span) Targets { return Targets{Spans: spans} }
	want := &Scenario{
		Version: 1, Name: "everything", Description: "Every key of the format once.\n",
		Cluster: Cluster{
			Nodes: 12, Profile: WAN, Detector: "witnesses", Encryption: true,
			Settings: map[string]string{"probe.interval": "500ms", "gossip.nodes": "4"},
			Join:     Join{Within: 10 * time.Second, Seeds: 2, Timeout: 3 * time.Minute}, Warmup: 7 * time.Second,
		},
		Network:  Network{Latency: 2 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.005, Duplicate: 0.01, Reorder: 0.25, Rate: 100e6},
		Seeds:    Seeds{{1, 50}, {99, 99}},
		Duration: 20 * time.Minute,
		Timeline: []Step{
			{At: 30 * time.Second, For: time.Minute, Partition: &Partition{
				Shape: Bridge, Only: UDP, Groups: []Targets{named(Span{1, 1}, Span{2, 2}), named(Span{4, 12})}, Via: named(Span{3, 3}),
			}},
			{At: 2 * time.Minute, For: 10 * time.Second, Every: 20 * time.Second, Times: 3, Flap: &Flap{Down: time.Second, Up: 500 * time.Millisecond},
				Partition: &Partition{Shape: Isolate, Nodes: Targets{Pick: PickCount, Count: 2}}},
			{At: 4 * time.Minute, For: time.Minute, Link: &LinkFault{
				From: named(Span{1, 1}), To: Targets{Pick: PickAll}, Both: true, Only: UDP, Loss: 0.3, Delay: 40 * time.Millisecond,
				Jitter: 5 * time.Millisecond, Duplicate: 0.02, Reorder: 0.03, Rate: 64e3,
			}},
			{At: 5 * time.Minute, For: time.Minute, Link: &LinkFault{From: Targets{Pick: PickOne}, To: Targets{Pick: PickMinority}, Cut: true}},
			{At: 6 * time.Minute, For: time.Minute, Pause: &Pause{Nodes: Targets{Pick: PickMinorityThird}}},
			{At: 7 * time.Minute, For: time.Minute, Stall: &Stall{Nodes: Targets{Pick: PickShare, Share: 0.1},
				Late: DurationRange{500 * time.Millisecond, 2500 * time.Millisecond}}},
			{At: 8 * time.Minute, Kill: &NodeChange{Nodes: named(Span{2, 2}, Span{5, 7}), Stagger: time.Second}},
			{At: 9 * time.Minute, Start: &NodeChange{Nodes: named(Span{2, 2})}},
			{At: 10 * time.Minute, Leave: &NodeChange{Nodes: Targets{Pick: PickMajority}}},
			{At: 11 * time.Minute, Restart: &Restart{Nodes: Targets{Pick: PickOne}, Down: 2 * time.Second, Stagger: time.Second, Graceful: true}},
		},
		Expect: []Expectation{
			{FalseAlarms: &FalseAlarms{Max: 3, About: Healthy, Observers: Any}},
			{Justified: &Justified{Min: 1, Max: &most}},
			{Detected: &Detected{Nodes: named(Span{2, 2}), By: First, P50: time.Second, P99: 2 * time.Second, Max: 3 * time.Second}},
			{Joined: &Within{Within: 30 * time.Second}},
			{Converged: &Within{Within: 40 * time.Second}},
			{StateAtEnd: &StateAtEnd{Nodes: named(Span{5, 7}), Is: StateFailed}},
			{ViewChanges: &PerNode{MaxPerNode: 100}},
			{Suspicions: &Count{Max: 50}},
			{Refutations: &Count{Max: 60}},
			{Load: &LoadBounds{Only: UDP, PacketsPerNodeSecond: &Limit{Max: 2.5}, BytesPerNodeSecond: &Limit{Max: 300}}},
			{Growth: &Growth{Goroutines: new(5), Descriptors: new(0), Memory: new(Fraction(0.125))}},
			{NoVerdicts: true},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Scenario{})); diff != "" {
		t.Errorf("scenario (-want +got):\n%s", diff)
	}
	var words bytes.Buffer
	if err := Explain(&words, got); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/explain/everything.golden", words.String())
}

func TestDefaults(t *testing.T) {
	s := parse(t, inCluster(3, "{at: 10s, for: 20s, partition: {shape: halves}}", "{at: 0, every: 10s, times: 4, restart: {node: n1, down: 5s}}"))
	if s.Cluster.Profile != LAN || s.Cluster.Detector != "verdicts" || s.Cluster.Warmup != 5*time.Second || s.Cluster.Encryption {
		t.Errorf("cluster: %+v", s.Cluster)
	}
	if diff := cmp.Diff([]uint64{1}, slices.Collect(s.Seeds.All())); diff != "" {
		t.Errorf("seeds (-want +got):\n%s", diff)
	}
	if want := 35*time.Second + time.Minute; s.End() != want {
		t.Errorf("the run ends at %s, want 60s after the last step: %s", s.End(), want)
	}
}

func TestAliasesOfBuiltins(t *testing.T) {
	for alias, name := range aliases {
		sc, err := Load(alias, Options{})
		if err != nil || sc.Name != name {
			t.Errorf("%s is %+v, want the scenario %s (%v)", alias, sc, name, err)
		}
		if slices.Contains(builtinNames(), alias) {
			t.Errorf("%s is listed beside %s", alias, name)
		}
	}
}

func TestBuiltins(t *testing.T) {
	want := []string{
		"bridge", "churn", "crash", "flapping-link", "flapping-node", "frozen-minority", "halves", "hard-of-hearing", "idle", "late-readers", "lossy-lan",
		"majorities-ring", "mass-crash", "minority-isolated", "one-way-deaf", "one-way-mute", "rolling-restart", "simultaneous-start",
		"udp-blocked", "wan-latency",
	}
	if diff := cmp.Diff(want, builtinNames()); diff != "" {
		t.Errorf("built-in scenarios (-want +got):\n%s", diff)
	}
	for _, b := range Builtins() {
		t.Run(b.Name, func(t *testing.T) {
			s, err := Load(b.Name, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != b.Name || s.Description == "" || len(b.Teaches) < 40 || len(s.Expect) == 0 {
				t.Errorf("called %q, described as %q, teaches %q, %d expectations", s.Name, s.Description, b.Teaches, len(s.Expect))
			}
			if s.Cluster.Nodes > 32 || s.End() > 10*time.Minute {
				t.Errorf("takes long: %d nodes for %s", s.Cluster.Nodes, s.End())
			}
			var words bytes.Buffer
			if err := Explain(&words, s); err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/explain/"+b.Name+".golden", words.String())
		})
	}
}

func TestLoad(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("crash", []byte(inCluster(7)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"crash": "crash", "./crash": "test"} {
		if s, err := Load(path, Options{}); err != nil || s.Name != want {
			t.Errorf("%s: %v, %v, want the scenario %s", path, s, err, want)
		}
	}
	for path, want := range map[string]string{
		"crush":      `there is neither a built-in scenario nor a file called "crush"; built in are bridge, churn, crash`,
		"crush.yaml": "read the scenario: open crush.yaml",
		".":          "read the scenario .: read",
	} {
		if _, err := Load(path, Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s...", path, err, want)
		}
	}
}

func TestSet(t *testing.T) {
	opts := Options{CheckSetting: knownSettings, Detectors: []string{"verdicts", "witnesses"}}
	s, err := Parse("x.yaml", []byte(inCluster(9, "{at: 10s, kill: {node: n9}}")), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range [][2]string{
		{"nodes", "20"}, {"loss", "3%"}, {"network.latency", "5ms"}, {"network.rate", "10mbit"}, {"profile", "wan"},
		{"detector", "witnesses"}, {"encryption", "true"}, {"duration", "5m"}, {"seeds", "[3, 7-9]"}, {"cluster.join.within", "2s"},
		{"cluster.warmup", "0"}, {"probe.interval", "250ms"}, {"cluster.settings.gossip.nodes", "5"},
	} {
		if err := s.Set(kv[0], kv[1]); err != nil {
			t.Errorf("set %s=%s: %v", kv[0], kv[1], err)
		}
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	want := Cluster{
		Nodes: 20, Profile: WAN, Detector: "witnesses", Encryption: true,
		Settings: map[string]string{"probe.interval": "250ms", "gossip.nodes": "5"},
		Join:     Join{Within: 2 * time.Second, Seeds: 1, Timeout: 10 * time.Minute},
	}
	if diff := cmp.Diff(want, s.Cluster); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
	if s.Network != (Network{Latency: 5 * time.Millisecond, Loss: 0.03, Rate: 10e6}) || s.Duration != 5*time.Minute || s.Seeds.String() != "3, 7-9" {
		t.Errorf("network %+v, duration %s, seeds %s", s.Network, s.Duration, s.Seeds)
	}
}

func TestSetRefuses(t *testing.T) {
	s, err := Parse("x.yaml", []byte(inCluster(9, "{at: 10s, kill: {node: n9}}")), Options{CheckSetting: knownSettings})
	if err != nil {
		t.Fatal(err)
	}
	before := *s
	before.Cluster.Settings = maps.Clone(s.Cluster.Settings)
	for _, c := range [][3]string{
		{"nodes", "many", `--set nodes=many: "many" is not a whole number, or too large`},
		{"nodes", "", "--set nodes=: the file is empty"},
		{"nodes", "&a [*a]", "--set nodes=&a [*a]: YAML anchors are not allowed"},
		{"loss", "7", "--set loss=7: 7 is more than everything, which is 1 (or did you mean 7%?)"},
		{"profile", "moon", `--set profile=moon: "moon" is not one of lan, wan or local`},
		{"version", "2", `--set version=2: there is no setting "version"`},
		{"timeline", "[]", `--set timeline=[]: there is no setting "timeline"`},
		{"cluster", "{nodes: 5}", `--set cluster={nodes: 5}: there is no setting "cluster"`},
		{"probe.interval", "often", `--set probe.interval=often: "often" is not a duration`},
		{"seeds", "9-1", "--set seeds=9-1: 9-1 runs backwards"},
	} {
		if err := s.Set(c[0], c[1]); err == nil || !strings.HasPrefix(err.Error(), c[2]) {
			t.Errorf("set %s=%s:\n got %v\nwant %s...", c[0], c[1], err, c[2])
		}
	}
	if diff := cmp.Diff(&before, s, cmpopts.IgnoreUnexported(Scenario{})); diff != "" {
		t.Errorf("a refused override changed the scenario (-before +after):\n%s", diff)
	}
	if err := s.Set("nodes", "5"); err != nil {
		t.Fatal(err)
	}
	const want = "x.yaml:6:28: timeline[0].kill.nodes: n9 does not exist: the cluster has 5 nodes, n1 to n5"
	if err := s.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := s.Resolve(1); err == nil {
		t.Error("a scenario that does not hold together is resolved")
	}
	if err := s.Set("nodes", "5000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err == nil || err.Error() != "--set nodes=5000: cluster.nodes: is 5000: a cluster has 2 to 2000 nodes" {
		t.Errorf("got %v", err)
	}
}

func TestSetWithoutKnowingSettings(t *testing.T) {
	s := parse(t, inCluster(3))
	err := s.Set("probe.interval", "1s")
	if want := "--set probe.interval=1s: there is no such key: give one of detector, encryption, loss, nodes, profile, or a place"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s...", err, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range Builtins() {
		f.Add(b.Data)
	}
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("fuzz.yaml", data, Options{})
		if err != nil {
			var list Errors
			if s != nil || !errors.As(err, &list) || len(list) == 0 || len(list) > maxErrors {
				t.Fatalf("%v, %v", s, err)
			}
			return
		}
		plan, err := s.Resolve(1)
		if err != nil {
			t.Fatalf("what Parse takes cannot be resolved: %v", err)
		}
		truth := NewTruth(plan)
		for _, a := range plan.Actions {
			truth.Apply(a)
		}
		if err := Explain(&bytes.Buffer{}, s); err != nil {
			t.Fatal(err)
		}
	})
}
