package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/scenario"
)

// helperDir makes the test binary play a scenario in that directory, for a
// parent that kills it.
const (
	helperDir  = "NETNS_TEST_DIR"
	helperMode = "NETNS_TEST_MODE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(help(dir, os.Getenv(helperMode)))
	}
	status := m.Run()
	_ = os.RemoveAll(built)
	os.Exit(status)
}

// need skips a test on a machine that lacks something, loudly; in CI that is a
// failure.
func need(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI must have %s: %v", what, err)
	default:
		t.Skipf("SKIPPED: this needs %s: %v", what, err)
	}
}

// built is the directory of the program that build has made.
var built string

// build makes the agents' program once for all tests.
var build = sync.OnceValues(func() (string, error) {
	if program := os.Getenv("HEARTBEAT_BIN"); program != "" {
		return program, nil
	}
	dir, err := os.MkdirTemp("", "heartbeat-test-program-")
	if err != nil {
		return "", err
	}
	built = dir
	program := filepath.Join(dir, "heartbeat")
	out, err := exec.Command("go", "build", "-o", program, "heartbeat/cmd/heartbeat").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// newEngine returns an engine with a directory of its own, which must be empty
// in the end, as must be everything else that a run makes.
func newEngine(t *testing.T) *Engine {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatalf("build the agents' program: %v", err)
	}
	e := &Engine{Program: program, Dir: t.TempDir(), Log: zerolog.New(zerolog.NewTestWriter(t))}
	if err := e.Check(nil); errors.Is(err, kernelfault.ErrUnsupported) {
		need(t, "root and a kernel with namespaces and nftables", err)
	} else if err != nil {
		t.Fatal(err)
	}
	before := interfaces(t)
	t.Cleanup(func() {
		if now := interfaces(t); now != before {
			t.Errorf("network interfaces: %s, before %s", now, before)
		}
		left, err := os.ReadDir(e.Dir)
		if err != nil || len(left) > 0 {
			t.Errorf("files are left: %v %v", left, err)
		}
		if pids := children(t, os.Getpid()); len(pids) > 0 {
			t.Errorf("processes are left: %v", pids)
		}
		// The last reference goes with a thread that may still be ending.
		eventually(t, func() error {
			if fds := namespaces(t); len(fds) > 0 {
				return fmt.Errorf("namespaces are held: %v", fds)
			}
			return nil
		})
	})
	return e
}

// interfaces are the names of those in this process's own namespace.
func interfaces(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		if !strings.HasPrefix(i.Name, "veth") && !strings.HasPrefix(i.Name, "br-") { // a Docker engine's
			names = append(names, i.Name)
		}
	}
	return strings.Join(names, " ")
}

// namespaces are the descriptors of this process that hold network namespaces,
// and its threads that are in another one than itself.
func namespaces(t *testing.T) (held []string) {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	threads, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "net:") {
			held = append(held, fd+" "+to)
		}
	}
	for _, thread := range threads {
		if to, err := os.Readlink(thread); err == nil && to != own {
			held = append(held, thread+" "+to)
		}
	}
	return held
}

// children are the processes that have a process as their parent.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually polls until check succeeds. Nothing here asserts a speed.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
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

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	sc, err := parseText(text)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func parseText(text string) (*scenario.Scenario, error) {
	return scenario.Parse("test.yaml", []byte("version: 1\nname: test\n"+text), scenario.Options{})
}

// quick is a cluster whose nodes make up their minds quickly.
const quick = `profile: lan, warmup: 200ms, join: {within: 100ms}, settings: {probe.interval: 200ms, probe.timeout: 100ms,
  gossip.interval: 50ms, suspicion.mult: "2", suspicion.max_timeout_mult: "2", sync.interval: 2s}`

const long = "cluster: {nodes: 3, " + quick + "}\nduration: 10m\ntimeline: [{at: 100ms, for: 5m, pause: {nodes: n2}}]"

// help plays a long run in a process of its own; with the mode panic it dies of
// one.
func help(dir, mode string) int {
	sc, err := parseText(long)
	if err == nil {
		e := &Engine{Program: os.Getenv("HEARTBEAT_BIN"), Dir: dir}
		_, err = e.Play(context.Background(), sc, 1, func(time.Duration) {
			if mode == "panic" {
				panic("as the test wishes")
			}
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
