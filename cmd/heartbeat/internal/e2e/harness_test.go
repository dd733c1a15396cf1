// Package e2e tests the built binary with real processes, sockets and
// containers. It needs HEARTBEAT_BIN (make e2e sets it).
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"heartbeat/gossip/httpapi"
)

// program is the binary under test.
var program = os.Getenv("HEARTBEAT_BIN")

func TestMain(m *testing.M) {
	if program == "" {
		fmt.Println("SKIPPED: end-to-end tests need HEARTBEAT_BIN, the built binary; run make e2e")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// inCI tells that what a machine should have must be there.
func inCI() bool { return os.Getenv("CI") == "true" }

// need skips a test on a machine that lacks something, loudly; in CI that is a
// failure.
func need(t *testing.T, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case inCI():
		t.Fatalf("CI has no %s", what)
	default:
		t.Skipf("SKIPPED: this needs %s", what)
	}
}

// agent is one running `heartbeat agent`.
type agent struct {
	t      *testing.T
	name   string
	home   string
	api    string
	env    []string
	client *httpapi.Client

	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu; stderr
}

func (a *agent) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.Write(p)
}

func (a *agent) output() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

// newAgent prepares an agent with a home of its own. env has further settings,
// as KEY=value without the HEARTBEAT_ prefix.
func newAgent(t *testing.T, name string, env ...string) *agent {
	t.Helper()
	home := t.TempDir()
	a := &agent{t: t, name: name, home: home, api: "unix:" + filepath.Join(home, "api.sock")}
	a.env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HEARTBEAT_NODE_NAME=" + name,
		"HEARTBEAT_NETWORK_BIND=127.0.0.1",
		"HEARTBEAT_NETWORK_PORT=0",
		"HEARTBEAT_API_ADDRESS=" + a.api,
		"HEARTBEAT_DATA_DIR=" + home,
	}
	for _, e := range env {
		a.env = append(a.env, "HEARTBEAT_"+e)
	}
	client, err := httpapi.NewClient(httpapi.ClientConfig{Address: a.api})
	if err != nil {
		t.Fatal(err)
	}
	a.client = client
	t.Cleanup(client.Close)
	return a
}

// run starts the process without waiting for anything.
func (a *agent) run(args ...string) {
	a.t.Helper()
	a.cmd = exec.Command(program, append([]string{"agent"}, args...)...)
	a.cmd.Env = a.env
	a.cmd.Stdout, a.cmd.Stderr = a, a
	if err := a.cmd.Start(); err != nil {
		a.t.Fatalf("start %s: %v", a.name, err)
	}
	done := make(chan struct{})
	a.done = done
	cmd := a.cmd
	go func() {
		a.err = cmd.Wait()
		close(done)
	}()
	a.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if a.t.Failed() {
			a.t.Logf("--- end of the output of %s ---\n%s", a.name, a.tail())
		}
	})
}

// start runs the process and waits until its API answers.
func (a *agent) start() *httpapi.Info {
	a.t.Helper()
	a.run()
	var info *httpapi.Info
	eventually(a.t, func() (err error) {
		select {
		case <-a.done:
			a.t.Fatalf("%s ended: %v\n%s", a.name, a.err, a.output())
		default:
		}
		info, err = a.client.Info(a.t.Context())
		return err
	})
	return info
}

// fails runs the process to its end, which must be a failure, and returns what
// it printed.
func (a *agent) fails(args ...string) string {
	a.t.Helper()
	a.run(args...)
	select {
	case <-a.done:
	case <-time.After(60 * time.Second):
		a.t.Fatalf("%s still runs:\n%s", a.name, a.output())
	}
	if a.err == nil {
		a.t.Errorf("%s ended with status 0", a.name)
	}
	return a.output()
}

func (a *agent) signal(sig os.Signal) {
	a.t.Helper()
	if err := a.cmd.Process.Signal(sig); err != nil {
		a.t.Fatalf("signal %v to %s: %v", sig, a.name, err)
	}
}

// running tells whether the process has not ended.
func (a *agent) running() bool {
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// resident is the process's resident memory in bytes; 0 once it has ended.
func (a *agent) resident() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// metrics reads /metrics: by name with labels, as it is printed there.
func (a *agent) metrics() map[string]float64 {
	a.t.Helper()
	socket := strings.TrimPrefix(a.api, "unix:")
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := client.Get("http://localhost/metrics")
	if err != nil {
		a.t.Fatalf("metrics of %s: %v\n%s", a.name, err, a.tail())
	}
	defer resp.Body.Close()
	all := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && name != "#" {
			all[name] = v
		}
	}
	return all
}

// eventsSince reads the events after the given one of this epoch up to the
// newest.
func (a *agent) eventsSince(epoch string, since uint64) []httpapi.Event {
	a.t.Helper()
	newest := uint64(a.metrics()["heartbeat_events_total"])
	if newest == since {
		return nil
	}
	var all []httpapi.Event
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	enough := errors.New("that was the newest")
	err := a.client.Events(ctx, httpapi.EventOptions{Since: fmt.Sprintf("%s-%d", epoch, since)}, func(ev httpapi.Event) error {
		all = append(all, ev)
		if ev.ID == fmt.Sprintf("%s-%d", epoch, newest) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		a.t.Errorf("events of %s: %v", a.name, err)
	}
	return all
}

// tail is the end of what the process printed.
func (a *agent) tail() string {
	out := a.output()
	return out[max(0, len(out)-8<<10):]
}

// stop ends the process gracefully and waits for it.
func (a *agent) stop() error {
	a.signal(syscall.SIGTERM)
	<-a.done
	return a.err
}

// startCluster starts agents n1..nN that join through n1.
func startCluster(t *testing.T, size int, env ...string) []*agent {
	t.Helper()
	agents := make([]*agent, size)
	seed := ""
	for i := range agents {
		extra := env
		if seed != "" {
			extra = append([]string{"CLUSTER_SEEDS=" + seed}, env...)
		}
		agents[i] = newAgent(t, fmt.Sprintf("n%d", i+1), extra...)
		info := agents[i].start()
		if seed == "" {
			seed = info.Advertise
		}
	}
	for _, a := range agents {
		eventually(t, a.sees(size, 0, 0))
	}
	return agents
}

// sees checks how many members the agent holds in each state.
func (a *agent) sees(alive, failed, left int) func() error {
	return func() error {
		info, err := a.client.Info(a.t.Context())
		if err != nil {
			return err
		}
		if m := info.Members; m.Alive != alive || m.Failed != failed || m.Left != left {
			return fmt.Errorf("%s sees %+v, want alive %d, failed %d, left %d", a.name, m, alive, failed, left)
		}
		return nil
	}
}

// eventually polls until check succeeds. The deadline is far beyond what a
// busy machine needs; nothing here asserts a speed.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still not so: %v", err)
		}
	}
}

// heartbeat runs the CLI and returns its output and exit status.
func heartbeat(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// wantIn reports every part that is missing from the text.
func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing from:\n%s", p, text)
		}
	}
}

// syncBuffer collects a process's output for others to read.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) contains(part string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !strings.Contains(b.buf.String(), part) {
		return fmt.Errorf("%q is missing from:\n%s", part, b.buf.String())
	}
	return nil
}

// hasSnapshotOf tells whether the agent's snapshot names that many other
// members.
func (a *agent) hasSnapshotOf(others int) bool {
	data, err := os.ReadFile(filepath.Join(a.home, "members.snapshot"))
	return err == nil && strings.Count(string(data), `"name":`) == others
}
