package sidecar

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"heartbeat/gossip/httpapi"
)

// The roles that this test's own program takes as a child.
const (
	roleEnv   = "SIDECAR_TEST_ROLE"
	roleGate  = "gate"  // waits at the gate at addressEnv and becomes an agent
	roleAgent = "agent" // prints its settings, and waits until its input ends
	roleInit  = "init"  // reaps orphans until its input ends

	addressEnv = "SIDECAR_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleEnv) {
	case roleGate:
		err = gate()
	case roleAgent:
		fmt.Println("agent", os.Getenv("HEARTBEAT_PROFILE"))
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until it is closed
	case roleInit:
		ReapOrphans(context.Background())
		fmt.Println("ready")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until it is closed
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func gate() error {
	c, err := NewClient(Config{Address: os.Getenv(addressEnv), Token: testToken})
	if err != nil {
		return err
	}
	settings, err := c.Pass(context.Background(), func(error) { fmt.Println("waiting") })
	if err != nil {
		return err
	}
	if settings == nil {
		settings = map[string]string{}
	}
	settings[roleEnv] = roleAgent
	for name, value := range settings {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return syscall.Exec("/proc/self/exe", []string{"agent"}, os.Environ())
}

// child is a process of this test's program.
type child struct {
	cmd *exec.Cmd
	out *bufio.Reader
	pid int
}

func spawn(t *testing.T, role, address string) *child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role, addressEnv+"="+address)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := stdout.(*os.File).SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return &child{cmd, bufio.NewReader(stdout), cmd.Process.Pid}
}

// reads waits for a line of the child's output.
func (c *child) reads(t *testing.T, want string) {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		t.Fatalf("the child says %q (%v), want %q", line, err, want)
	}
}

// becomes waits until the fault agent tells that state of the child; no child
// stands for any.
func (h *harness) becomes(t *testing.T, state string, c *child) Agent {
	t.Helper()
	var agent Agent
	eventually(t, func() error {
		var err error
		agent, err = h.client.Agent(t.Context())
		if err == nil && (agent.State != state || c != nil && agent.PID != c.pid) {
			err = fmt.Errorf("the agent is %+v, want %s", agent, state)
		}
		return err
	})
	return agent
}

// procState is the letter of the state of a process.
func procState(t *testing.T, pid int) byte {
	t.Helper()
	stat, err := readStat("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	return stat.state
}

func TestARealAgent(t *testing.T) {
	h := &harness{table: &fakeTable{}}
	h.begin(t, procFS{})
	ctx := t.Context()

	// Nobody has asked to hold: the gate is open.
	first := spawn(t, roleGate, h.addr)
	first.reads(t, "agent")
	h.becomes(t, Running, first)
	if _, err := h.client.Start(ctx, nil); !isProblem(err, ProblemAgentState) {
		t.Errorf("started twice: %v", err)
	}

	for range 2 { // the second is no error and changes nothing
		if _, err := h.client.Freeze(ctx); err != nil {
			t.Fatal(err)
		}
		if s := procState(t, first.pid); s != 'T' {
			t.Errorf("the frozen agent is in state %c", s)
		}
		h.becomes(t, Frozen, first)
	}
	if _, err := h.client.Thaw(ctx); err != nil {
		t.Fatal(err)
	}
	if s := procState(t, first.pid); s == 'T' {
		t.Error("the agent is still stopped")
	}

	if _, err := h.client.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	at, err := h.client.Kill(ctx)
	if err != nil || at.Before(began.Add(-time.Second)) || at.After(time.Now()) {
		t.Fatalf("killed at %v: %v", at, err)
	}
	if s := procState(t, first.pid); s != 'Z' { // we have not waited for it yet
		t.Errorf("the killed agent is in state %c", s)
	}
	if agent := h.becomes(t, Stopped, nil); !agent.Hold || agent.Ended == nil {
		t.Errorf("after the kill: %+v", agent)
	}
	if _, err := h.client.Kill(ctx); err != nil {
		t.Errorf("killing what is stopped: %v", err)
	}

	// The next one waits until it is to start, also when that is asked before.
	second := spawn(t, roleGate, h.addr)
	h.becomes(t, Held, second)
	if _, err := h.client.Freeze(ctx); !isProblem(err, ProblemAgentState) {
		t.Errorf("froze what is held: %v", err)
	}
	if _, err := h.client.Start(ctx, map[string]string{"HEARTBEAT_PROFILE": "wan"}); err != nil {
		t.Fatal(err)
	}
	second.reads(t, "agent wan")
	h.becomes(t, Running, second)

	if _, err := h.client.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		_, err := h.client.Start(ctx, nil)
		started <- err
	}()
	eventually(t, func() error { // Start waits for a process now
		if agent, err := h.client.Agent(ctx); err != nil || agent.Hold {
			return fmt.Errorf("%+v %v", agent, err)
		}
		return nil
	})
	third := spawn(t, roleGate, h.addr)
	third.reads(t, "agent")
	if err := <-started; err != nil {
		t.Fatal(err)
	}

	// One that runs is not touched by Hold; its end is noticed.
	if _, err := h.client.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	h.becomes(t, Running, third)
	if err := third.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.becomes(t, Stopped, nil)
}

func TestTheEndThawsAndClears(t *testing.T) {
	h := &harness{table: &fakeTable{}}
	h.begin(t, procFS{})
	c := spawn(t, roleGate, h.addr)
	c.reads(t, "agent")
	h.becomes(t, Running, c)
	if _, err := h.client.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if s := procState(t, c.pid); s == 'T' {
		t.Error("the agent stays frozen when the fault agent has ended")
	}
	if !h.table.closed {
		t.Error("the faults stay when the fault agent has ended")
	}
}

// The gate may be there before the fault agent is.
func TestTheGateWaitsForTheFaultAgent(t *testing.T) {
	ln, err := httpapi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	c := spawn(t, roleGate, address)
	c.reads(t, "waiting")
	h := &harness{table: &fakeTable{}}
	h.server, err = New(ServerConfig{Faults: h.table, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	if ln, err = httpapi.Listen(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	h.serve(t, ln)
	c.reads(t, "agent")
}

func TestTheGateGivesUpWithoutTheToken(t *testing.T) {
	h := start(t)
	c := h.newClient(t, testToken+"x")
	if _, err := c.Pass(t.Context(), func(error) {}); !errors.Is(err, httpapi.ErrNotAuthorised) {
		t.Error(err)
	}
}

func TestAReusedProcessIDIsNeverSignalled(t *testing.T) {
	c := spawn(t, roleAgent, "")
	c.reads(t, "agent")
	stat, err := readStat("/proc/" + strconv.Itoa(c.pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	other := process{c.pid, stat.start + 1}
	if err := (procFS{}).Signal(other, syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signalled a process that began at another time: %v", err)
	}
	if now, err := (procFS{}).Look(other); err != nil || !now.gone {
		t.Errorf("%+v %v", now, err)
	}
	if _, err := (procFS{}).Command(other); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("read the command line of a process that began at another time: %v", err)
	}
	h := &harness{table: &fakeTable{}}
	h.begin(t, procFS{})
	if status, body := h.do(t, "GET", fmt.Sprintf("/v1/gate?pid=%d&start=%d", other.pid, other.start), "", "Authorization: Bearer "+testToken); status != 400 {
		t.Errorf("a process with another start time was let in: %d %s", status, body)
	}
	if s := procState(t, c.pid); s != 'S' && s != 'R' {
		t.Errorf("the process is in state %c", s)
	}
	if err := (procFS{}).Signal(process{c.pid, stat.start}, syscall.SIGKILL); err != nil {
		t.Errorf("the right one cannot be signalled: %v", err)
	}
}

func TestOneAgentAtATime(t *testing.T) {
	h := start(t)
	first, second := h.procs.appear(12, 34), h.procs.appear(13, 35)
	ask := func(p process) (int, string) {
		return h.do(t, "GET", fmt.Sprintf("/v1/gate?pid=%d&start=%d", p.pid, p.start), "", "Authorization: Bearer "+testToken)
	}
	if status, body := ask(first); status != 200 || !strings.Contains(body, `"go":true`) {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := ask(first); status != 200 || !strings.Contains(body, `"go":true`) {
		t.Errorf("an answer that was lost is not repeated: %d %s", status, body)
	}
	if status, _ := ask(second); status != 409 {
		t.Errorf("a second agent beside a living one: %d", status)
	}
	h.procs.change(first, func(p *fakeProcess) { p.gone = true })
	if status, body := ask(second); status != 200 || !strings.Contains(body, `"go":true`) {
		t.Errorf("the next agent: %d %s", status, body)
	}
}

func TestRefusedSignalsAreTold(t *testing.T) {
	h := start(t)
	p := h.procs.appear(12, 34)
	if status, body := h.do(t, "GET", "/v1/gate?pid=12&start=34", "", "Authorization: Bearer "+testToken); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	h.procs.change(p, func(p *fakeProcess) { p.command = "agent" })
	h.procs.mu.Lock()
	h.procs.refuse = os.ErrPermission
	h.procs.mu.Unlock()
	for name, act := range map[string]func(context.Context) (time.Time, error){"kill": h.client.Kill, "freeze": h.client.Freeze} {
		if _, err := act(t.Context()); !isProblem(err, ProblemSignal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With `pid: service:NAME` the fault agent is the first process, to which
// orphans of the agent's container are given.
func TestOrphansAreReaped(t *testing.T) {
	if os.Getuid() != 0 {
		missing(t, "root, to make a namespace of process ids")
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		missing(t, "nsenter")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+roleInit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		missing(t, "the right to make a namespace of process ids: "+err.Error())
	}
	defer func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if out, err := exec.Command(nsenter, "-t", pid, "-p", "sh", "-c", "(sleep 0.2; exit 3) & (exit 4) &").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, func() error {
		left, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("still there: %s", left)
		}
		return err
	})
}

// missing skips a test for lack of something, and fails it where everything has
// to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this needs %s", what)
	}
	t.Skipf("SKIPPED: this needs %s", what)
}
