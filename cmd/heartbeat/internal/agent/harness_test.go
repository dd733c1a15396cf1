package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/gossip/httpapi"
)

// childVariable makes the test binary an agent: its value is the file to run
// with.
const childVariable = "AGENT_TEST_CONFIG"

func TestMain(m *testing.M) {
	if file := os.Getenv(childVariable); file != "" {
		os.Exit(childMain(file))
	}
	goleak.VerifyTestMain(m)
}

// childMain is what cmd/heartbeat and the verb "agent" do.
func childMain(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	resolve := func() (*config.Settings, error) { return config.Resolve(config.Sources{File: file}) }
	s, err := resolve()
	if err == nil {
		err = Run(ctx, Options{Settings: s, Reload: resolve, Version: "test", Stderr: os.Stderr})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// eventually polls until done returns "" and fails with what it returned last.
func eventually(t *testing.T, done func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		why := done()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(why)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// logLines collects what an agent logs.
type logLines struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.String()
}

// find returns the fields of the newest line whose message begins with that.
func (l *logLines) find(message string) map[string]any {
	lines := strings.Split(l.String(), "\n")
	for _, line := range slices.Backward(lines) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && strings.HasPrefix(fmt.Sprint(fields["message"]), message) {
			return fields
		}
	}
	return nil
}

func (l *logLines) wait(t *testing.T, message string) map[string]any {
	t.Helper()
	var fields map[string]any
	eventually(t, func() string {
		if fields = l.find(message); fields == nil {
			return fmt.Sprintf("the log has no line %q:\n%s", message, l)
		}
		return ""
	})
	return fields
}

// baseSettings are those of a test: one machine, free ports, lines of JSON.
func baseSettings(name string) []string {
	return []string{
		"profile=local", "node.name=" + name, "network.port=0", "api.address=127.0.0.1:0",
		"probe.interval=200ms", "probe.timeout=100ms", "log.format=json",
	}
}

func resolve(t *testing.T, pairs ...string) *config.Settings {
	t.Helper()
	var src config.Sources
	for _, pair := range pairs {
		f, err := config.ParseSet(pair)
		if err != nil {
			t.Fatal(err)
		}
		src.Flags = append(src.Flags, f)
	}
	s, err := config.Resolve(src)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running is an agent in this process.
type running struct {
	log    *logLines
	gossip string // address
	api    *httpapi.Client
	stop   context.CancelFunc
	done   chan error
}

// begin runs an agent until the test ends or stop is called, and waits until
// it is up.
func begin(t *testing.T, name string, pairs ...string) *running {
	t.Helper()
	return beginWith(t, Options{Settings: resolve(t, slices.Concat(baseSettings(name), pairs)...)})
}

func beginWith(t *testing.T, opts Options) *running {
	t.Helper()
	r := &running{log: &logLines{}, done: make(chan error, 1)}
	opts.Version, opts.Stderr = "test", r.log
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.done <- Run(ctx, opts)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("log of the agent:\n%s", r.log)
		}
	})
	eventually(t, func() string {
		select {
		case err := <-r.done:
			t.Fatalf("the agent has ended: %v", err)
		default:
		}
		if r.log.find("the agent is up") == nil {
			return "the agent does not become ready"
		}
		return ""
	})
	fields := r.log.find("the agent is up")
	r.gossip = fmt.Sprint(fields["advertise"])
	if address, ok := fields["api"].(string); ok {
		r.api = client(t, httpapi.ClientConfig{Address: address})
	}
	return r
}

func client(t *testing.T, cfg httpapi.ClientConfig) *httpapi.Client {
	t.Helper()
	c, err := httpapi.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// end waits for the agent to end and returns what Run returned.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		t.Fatal("the agent does not end")
		return nil
	}
}

// waitState polls until the agent behind c knows the member in that state.
func waitState(t *testing.T, c *httpapi.Client, member, state string) {
	t.Helper()
	eventually(t, func() string {
		answer, err := c.Member(t.Context(), member)
		if err != nil {
			return fmt.Sprintf("%s: %v", member, err)
		}
		if answer.Member.State != state {
			return fmt.Sprintf("%s is %s, want %s", member, answer.Member.State, state)
		}
		return ""
	})
}

// child is an agent in a process of its own.
type child struct {
	cmd    *exec.Cmd
	log    *logLines
	gossip string
	api    *httpapi.Client
	exited chan error
}

// spawn starts an agent with a configuration file. It is killed when the test
// ends.
func spawn(t *testing.T, yaml string) *child {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe), log: &logLines{}, exited: make(chan error, 1)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+file)
	c.cmd.Stderr, c.cmd.Stdout = c.log, io.Discard
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.exited <- c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // an error means that it has ended already
		<-gone
		if t.Failed() {
			t.Logf("log of the child:\n%s", c.log)
		}
	})
	fields := c.log.wait(t, "the agent is up")
	c.gossip = fmt.Sprint(fields["advertise"])
	c.api = client(t, httpapi.ClientConfig{Address: fmt.Sprint(fields["api"])})
	return c
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit status.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	select {
	case err := <-c.exited:
		return exitStatus(t, err)
	case <-time.After(patience):
		t.Fatal("the process does not end")
		return 0
	}
}

// exitStatus returns the status behind the error of a Wait, or the signal that
// ended the process as a negative number.
func exitStatus(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return -int(status.Signal())
		}
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}
