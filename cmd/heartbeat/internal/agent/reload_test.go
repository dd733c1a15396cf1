package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/gossip/httpapi"
)

// reloadable is an agent whose file the test rewrites.
type reloadable struct {
	*running
	file string
}

func beginReloadable(t *testing.T, yaml string) *reloadable {
	t.Helper()
	r := &reloadable{file: filepath.Join(t.TempDir(), "agent.yaml")}
	r.rewrite(t, yaml)
	resolve := func() (*config.Settings, error) { return config.Resolve(config.Sources{File: r.file}) }
	s, err := resolve()
	if err != nil {
		t.Fatal(err)
	}
	r.running = beginWith(t, Options{Settings: s, Reload: resolve})
	return r
}

func (r *reloadable) rewrite(t *testing.T, yaml string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(childFile("n", "network: {port: 0}\n")+yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload sends SIGHUP and returns the fields of the line that answers it.
func (r *reloadable) reload(t *testing.T, message string) map[string]any {
	t.Helper()
	before := strings.Count(r.log.String(), message)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if strings.Count(r.log.String(), message) == before {
			return fmt.Sprintf("no line %q", message)
		}
		return ""
	})
	return r.log.find(message)
}

const readAnew = "the configuration was read anew"

func TestReloadTakesOverWhatItCanAndNamesTheRest(t *testing.T) {
	seed := begin(t, "seed")
	r := beginReloadable(t, "suspicion: {mult: 5}\n")
	if _, err := r.api.UpdateTags(t.Context(), map[string]string{"by": "api"}, nil); err != nil {
		t.Fatal(err)
	}
	r.file2(t, "node: {name: n, tags: {zone: b, rack: '7'}}\nlog: {format: json, level: debug}\nsuspicion: {mult: 6}\nprobe: {interval: 200ms, timeout: 100ms}\ncluster: {seeds: ['"+seed.gossip+"']}\n")
	line := r.reload(t, readAnew)
	if diff := cmp.Diff([]any{"node.tags", "cluster.seeds", "log.level"}, line["taken_over"]); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{"suspicion.mult"}, line["need_a_restart"]); diff != "" {
		t.Errorf("needs a restart (-want +got):\n%s", diff)
	}
	if line["level"] != "warn" {
		t.Errorf("level %v, want a warning, since something needs a restart", line["level"])
	}
	waitState(t, seed.api, "n", "alive")
	checkTags(t, r.api, map[string]string{"by": "api", "zone": "b", "rack": "7"})
	r.log.wait(t, "request") // written after the answer

	// What was taken over is what the next reload compares with.
	r.file2(t, "node: {name: n, tags: {zone: c}}\nlog: {format: json}\nsuspicion: {mult: 5}\nprobe: {interval: 200ms, timeout: 100ms}\n")
	line = r.reload(t, readAnew)
	if diff := cmp.Diff([]any{"node.tags", "cluster.seeds", "log.level"}, line["taken_over"]); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	if line["need_a_restart"] != nil {
		t.Errorf("needs a restart: %v, want nothing", line["need_a_restart"])
	}
	checkTags(t, r.api, map[string]string{"by": "api", "zone": "c"})
}

// file2 replaces the whole file but for the addresses.
func (r *reloadable) file2(t *testing.T, yaml string) {
	t.Helper()
	text := "profile: local\napi: {address: '127.0.0.1:0'}\nnetwork: {port: 0}\n" + yaml
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkTags(t *testing.T, c *httpapi.Client, want map[string]string) {
	t.Helper()
	got, err := c.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestABrokenConfigurationChangesNothing(t *testing.T) {
	r := beginReloadable(t, "")
	r.file2(t, "node: {name: n, tags: {zone: b}}\nlog: {format: json, level: debug}\nprobe: {intervall: 3}\n")
	line := r.reload(t, "the configuration is refused")
	problems, _ := line["problems"].([]any)
	if len(problems) != 1 || !strings.Contains(fmt.Sprint(problems[0]), "agent.yaml:6:9") {
		t.Errorf("problems = %v, want the place of the unknown key", problems)
	}
	checkTags(t, r.api, map[string]string{})
	if r.log.find("request") != nil {
		t.Error("the level has changed")
	}
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	r.reload(t, "the configuration is refused")
}

func TestReloadReadsTheCertificateAnew(t *testing.T) {
	dir := t.TempDir()
	first := writeCertificate(t, dir)
	tls := "api: {address: '127.0.0.1:0', tls: {cert: " + dir + "/cert.pem, key: " + dir + "/key.pem}}\n"
	r := &reloadable{file: filepath.Join(t.TempDir(), "agent.yaml")}
	text := "profile: local\nnetwork: {port: 0}\nnode: {name: n}\nlog: {format: json}\n" + tls
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	resolve := func() (*config.Settings, error) { return config.Resolve(config.Sources{File: r.file}) }
	s, err := resolve()
	if err != nil {
		t.Fatal(err)
	}
	r.running = beginWith(t, Options{Settings: s, Reload: resolve})
	address := strings.TrimPrefix(fmt.Sprint(r.log.find("the agent is up")["api"]), "https://")
	if !slices.Equal(served(t, address), first) {
		t.Error("another certificate is served than the file's")
	}
	second := writeCertificate(t, dir)
	r.reload(t, readAnew)
	if got := served(t, address); !slices.Equal(got, second) {
		t.Error("the new certificate is not served")
	}
	if err := os.WriteFile(dir+"/cert.pem", []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reload(t, "the API's files are refused")
	if got := served(t, address); !slices.Equal(got, second) {
		t.Error("a broken file has changed what is served")
	}
}
