package cli

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/sidecar"
)

// TestFaultsForReal plays testdata/script-kernel, each script in a network
// namespace of its own, which ends with it.
func TestFaultsForReal(t *testing.T) {
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatalf("this needs %s", what)
		}
		t.Skipf("SKIPPED: this needs %s", what)
	}
	if os.Getuid() != 0 {
		missing("root")
	}
	for _, tool := range []string{"unshare", "ip", "nft", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(tool)
		}
	}
	if out, err := exec.Command("unshare", "-n", "nft", "add", "table", "ip", "probe").CombinedOutput(); err != nil {
		missing("nftables in a network namespace: " + strings.TrimSpace(string(out)))
	}
	runScripts(t, "script-kernel")
}

func TestCapabilities(t *testing.T) {
	list := []kernelfault.Capability{
		{Name: "nftables", For: "every fault", OK: true, Detail: "a table with a set"},
		{Name: "numgen", For: "loss, duplicate", OK: true, Detail: "random numbers in rules"},
		{Name: "queue", For: "delay, jitter, reorder, rate", Detail: "no \x1b[2Jqueue"},
	}
	show := func(format string, list []kernelfault.Capability) (string, error) {
		var b strings.Builder
		a := newApp(nil, &b, &b)
		err := a.showCapabilities(format, list)
		return b.String(), err
	}
	for _, format := range []string{formatTable, formatJSON} {
		got, err := show(format, list)
		if err != nil {
			t.Error(err)
		}
		golden(t, "render/doctor-"+format+".txt", got)
	}
	for _, lacking := range [][]kernelfault.Capability{list[1:], list[:1], nil} {
		if _, err := show(formatTable, lacking); exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), "simulate run") {
			t.Errorf("%v: %v", lacking, err)
		}
	}
}

// exitCodeOf is what the process would end with.
func exitCodeOf(err error) int { return finish(context.Background(), new(strings.Builder), err) }

// Every setting is either one that a scenario may give an agent, or one that
// whoever holds the fault agent's token must not touch. A new one has to be
// decided.
func TestSettingsOfAStart(t *testing.T) {
	var kept []string
	for _, s := range config.Table() {
		if !sidecar.Settable(s.Env()) {
			kept = append(kept, s.Key)
		}
		if sidecar.Settable(s.Env()) && s.Kind == "path" {
			t.Errorf("%s names a file, and can be set through the fault agent", s.Key)
		}
	}
	slices.Sort(kept)
	golden(t, "fault-kept-settings.txt", strings.Join(kept, "\n")+"\n")
}

func TestEnvironmentBehindTheGate(t *testing.T) {
	env := []string{"PATH=/bin", "HEARTBEAT_FAULT_ADDRESS=10.0.0.1:7981", "HEARTBEAT_FAULT_TOKEN_FILE=/x", "HEARTBEAT_PROFILE=lan", "HEARTBEAT_NODE_NAME=n1"}
	got := behindGate(env, map[string]string{"HEARTBEAT_PROFILE": "wan", "HEARTBEAT_CLUSTER_SEEDS": "n1,n2"})
	want := []string{"HEARTBEAT_CLUSTER_SEEDS=n1,n2", "HEARTBEAT_NODE_NAME=n1", "HEARTBEAT_PROFILE=wan", "PATH=/bin"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEffectTexts(t *testing.T) {
	f := kernelfault.Fault{Only: kernelfault.UDP, Effect: kernelfault.Effect{
		Loss: 0.2, Duplicate: 0.05, Delay: 40 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: 0.1, Rate: 1e6}}
	if got, want := effectText(f), "loss 20%, duplicate 5%, delay 40ms ± 5ms, reorder 10%, rate 1mbit (udp)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var peers []netip.Addr
	for i := range 7 {
		peers = append(peers, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	if got, want := peerList(peers), "10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3 and 3 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := peerList(peers[:5]); strings.Contains(got, "more") {
		t.Errorf("%q hides a single address", got)
	}
}
