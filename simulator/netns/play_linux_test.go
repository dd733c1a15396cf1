package netns

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"heartbeat/gossip"
	"heartbeat/membership"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/live"
	"heartbeat/simulator/scenario"
)

// first is when an observer first noted one of several things about a subject
// after a moment; -1 when it did not.
func first(h *live.History, after time.Duration, observer int, subject string, kinds ...membership.ChangeKind) time.Duration {
	for _, o := range h.Observations {
		if o.At >= after && o.Observer == observer && o.Change.Member.Name == subject && slices.Contains(kinds, o.Change.Kind) {
			return o.At
		}
	}
	return -1
}

func TestPlay(t *testing.T) {
	e := newEngine(t)
	t.Setenv("HEARTBEAT_NODE_NAME", "somebody-else")
	t.Setenv("HEARTBEAT_NO_SUCH_SETTING", "1")
	sc := parse(t, "cluster: {nodes: 5, encryption: true, "+quick+`}
network: {loss: 0.1%}
duration: 16s
timeline:
  - {at: 500ms, kill: {nodes: n5}}
  - {at: 1s, for: 4s, pause: {nodes: n4}}
  - {at: 6s, for: 5s, partition: {shape: isolate, nodes: n3}}
  - {at: 7s, start: {nodes: n5}}
  - {at: 14s, leave: {nodes: n2}}
`)
	if err := e.Check(sc); err != nil {
		t.Fatal(err)
	}
	before := interfaces(t)
	h, err := e.Play(t.Context(), sc, 1, func(at time.Duration) {
		if at == time.Second {
			if now := interfaces(t); now != before {
				t.Errorf("interfaces while it plays: %s, before %s", now, before)
			}
			if n := len(children(t, os.Getpid())); n != 4 {
				t.Errorf("%d agents run, want 4", n)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	at := func(verb scenario.Verb, nth int) time.Duration {
		for _, a := range h.Plan.Actions {
			if a.Verb == verb {
				if nth--; nth < 0 {
					return a.At
				}
			}
		}
		t.Fatalf("no action %v in %v", verb, h.Plan.Actions)
		return 0
	}
	const n1, n3, n4, n5 = 0, 2, 3, 4
	gone := []membership.ChangeKind{membership.ChangeSuspected, membership.ChangeFailed}
	back := []membership.ChangeKind{membership.ChangeJoined, membership.ChangeRefuted}
	for what, when := range map[string]time.Duration{
		"n1 sees n5 fail":             first(h, at(scenario.Kill, 0), n1, "n5", membership.ChangeFailed),
		"n1 doubts the frozen n4":     first(h, at(scenario.On, 0), n1, "n4", gone...),
		"n4 is back after its thaw":   first(h, at(scenario.Off, 0), n1, "n4", back...),
		"n1 doubts n3 when it is cut": first(h, at(scenario.On, 1), n1, "n3", gone...),
		"n3 doubts n1 when it is cut": first(h, at(scenario.On, 1), n3, "n1", gone...),
		"n5 is back":                  first(h, at(scenario.Start, 0), n1, "n5", back...),
		"the new n5 knows n1":         first(h, at(scenario.Start, 0), n5, "n1", membership.ChangeJoined),
		"n1 hears of n2's leave":      first(h, at(scenario.Leave, 0), n1, "n2", membership.ChangeLeft),
	} {
		if when < 0 {
			t.Errorf("not so: %s", what)
		}
	}
	for _, o := range h.Observations {
		if frozen, thawed := at(scenario.On, 0), at(scenario.Off, 0); o.Observer == n4 && o.At > frozen && o.At < thawed {
			t.Errorf("n4 saw %s %v at %v, when it was frozen (%v to %v)", o.Change.Member.Name, o.Change.Kind, o.At, frozen, thawed)
		}
	}
	if h.CPU <= 0 || len(h.Loads) < 40 || len(h.Accusations) == 0 || h.Clock.Skew <= 0 {
		t.Errorf("cpu %v, %d loads, %d accusations, %+v", h.CPU, len(h.Loads), len(h.Accusations), h.Clock)
	}
	if t.Failed() {
		for _, o := range h.Observations {
			t.Log(o.At, o.Observer+1, o.Change.Kind, o.Change.Member.Name, o.Change.By)
		}
		t.Log(h.Plan.Actions)
	}
}

func TestInterrupted(t *testing.T) {
	e := newEngine(t)
	stop := errors.New("enough")
	for name, when := range map[string]func(cancel func()) func(time.Duration){
		"before it begins": func(cancel func()) func(time.Duration) { cancel(); return nil },
		"while it plays":   func(cancel func()) func(time.Duration) { return func(time.Duration) { cancel() } },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := e.Play(ctx, parse(t, long), 1, when(func() { cancel(stop) }))
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An agent that cannot start, and one that dies, end the run, with what they said.
func TestAgentsThatEnd(t *testing.T) {
	e := newEngine(t)
	_, err := e.Play(t.Context(), parse(t, "cluster: {nodes: 2, settings: {no.such.setting: 1s}}"), 1, nil)
	if err == nil || !strings.Contains(err.Error(), "HEARTBEAT_NO_SUCH_SETTING") || !strings.Contains(err.Error(), "start n") {
		t.Errorf("a setting that there is not: %v", err)
	}
	_, err = e.Play(t.Context(), parse(t, "cluster: {nodes: 2, "+quick+"}\nduration: 1m"), 1, func(time.Duration) {
		for _, pid := range children(t, os.Getpid()) {
			_ = syscall.Kill(pid, syscall.SIGSEGV)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "without being told to") || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "SIGSEGV") {
		t.Errorf("an agent that crashes: %v", err)
	}
}

// Every setting of a node can be given to an agent: it refuses variables that
// it does not know.
func TestSettingsReachTheAgents(t *testing.T) {
	e := newEngine(t)
	cfg, err := gossip.Profile("wan")
	if err != nil {
		t.Fatal(err)
	}
	sc := parse(t, "cluster: {nodes: 2, profile: wan, encryption: true}")
	sc.Cluster.Settings = map[string]string{}
	for _, s := range gossip.Settings() {
		if sc.Cluster.Settings[s.Key], err = cfg.Get(s.Key); err != nil {
			t.Fatal(err)
		}
	}
	c, err := newCluster(t.Context(), e, sc)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := c.Start(t.Context(), 1, []int{0}); err != nil {
		t.Fatal(err)
	}
	info, err := c.API(1).Info(t.Context())
	if err != nil || info.Name != "n2" || info.Profile != "wan" || !info.Encrypted || info.Advertise != "10.98.0.2:7946" {
		t.Errorf("%+v %v", info, err)
	}
}

// killed plays a run in another process, ends that process when agents run, and
// returns the agents.
func killed(t *testing.T, e *Engine, mode string) []int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+e.Dir, helperMode+"="+mode, "HEARTBEAT_BIN="+e.Program)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var agents []int
	eventually(t, func() error {
		if agents = children(t, cmd.Process.Pid); len(agents) < 3 {
			return errors.New("the agents do not run")
		}
		for _, pid := range agents {
			if s, _ := readStat(pid); s.state == "T" {
				return nil
			}
		}
		if mode == "panic" {
			return nil
		}
		return errors.New("none is frozen")
	})
	if mode == "panic" {
		_ = cmd.Wait()
	}
	return agents
}

// Whatever ends the engine's process, its agents end with it, frozen ones too,
// and the next run removes its directory.
func TestEngineDies(t *testing.T) {
	e := newEngine(t)
	for _, mode := range []string{"kill", "panic"} {
		agents := killed(t, e, mode)
		eventually(t, func() error {
			for _, pid := range agents {
				if exe, _ := os.Readlink("/proc/" + itoa(pid) + "/exe"); exe == e.Program {
					return errors.New("an agent outlives the engine")
				}
			}
			return nil
		})
		left, _ := filepath.Glob(filepath.Join(e.Dir, homePrefix+"*"))
		if len(left) != 1 {
			t.Fatalf("%s: left are %v, want one directory", mode, left)
		}
		h, err := newHome(e.Dir, e.Log)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(left[0]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory is still there: %v", mode, err)
		}
		if err := h.remove(); err != nil {
			t.Error(err)
		}
	}
}

// While the engine's process is stopped its faults end by themselves and what
// it delays is held: such a run is no result.
func TestEngineStandsStill(t *testing.T) {
	e := newEngine(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+e.Dir, helperMode+"=stop", "HEARTBEAT_BIN="+e.Program)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	eventually(t, func() error {
		if len(children(t, cmd.Process.Pid)) < 3 {
			return errors.New("the agents do not run")
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(3 * time.Second) // how long it is stopped, not a wait for something
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		if !strings.Contains(said.String(), "the simulator itself stood still for ") {
			t.Errorf("it said:\n%s", said.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("the run goes on")
	}
}

// Faults that somebody else has removed are missed, even if none changes later.
func TestRemovedFaults(t *testing.T) {
	e := newEngine(t)
	sc := parse(t, "cluster: {nodes: 2, "+quick+"}\nnetwork: {loss: 1%}\nduration: 3s")
	_, err := e.Play(t.Context(), sc, 1, func(at time.Duration) {
		if at != time.Second {
			return
		}
		agents := children(t, os.Getpid())
		file, err := os.Open("/proc/" + itoa(agents[0]) + "/ns/net")
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if faults, _, err := kernelfault.Clear(int(file.Fd())); faults != 1 || err != nil {
			t.Errorf("removed %d faults: %v", faults, err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "removed by somebody else") {
		t.Errorf("after its faults were removed: %v", err)
	}
}

// Without what it needs it says what is missing, and leaves nothing.
func TestWhatIsMissing(t *testing.T) {
	e := newEngine(t)
	weak := newThread()
	defer weak.close()
	if err := weak.do(func() error {
		var none [2]unix.CapUserData
		return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := newNetwork(weak, 2); !errors.Is(err, kernelfault.ErrUnsupported) || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") {
		t.Errorf("without rights: %v", err)
	}
	e.Dir = filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(e.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Play(t.Context(), parse(t, long), 1, nil); err == nil || !strings.Contains(err.Error(), "shorter directory") {
		t.Errorf("a directory with a long path: %v", err)
	}
	e.Program = "/no/such/program"
	if err := e.Check(nil); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("without a program: %v", err)
	}
	e.Program = os.Args[0]
	if err := e.Check(parse(t, "cluster: {nodes: 201}")); err == nil || !strings.Contains(err.Error(), "at most 200") {
		t.Errorf("a cluster that is too large: %v", err)
	}
}
