package sidecar

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
)

const testToken = "a-token-of-the-tests"

// fakeTable remembers what was done to it.
type fakeTable struct {
	mu     sync.Mutex
	faults map[string]kernelfault.Fault
	calls  int
	closed bool
	fail   error
}

func (f *fakeTable) Change(put []kernelfault.Fault, drop []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.fail != nil {
		return f.fail
	}
	if f.faults == nil {
		f.faults = map[string]kernelfault.Fault{}
	}
	for _, id := range drop {
		delete(f.faults, id)
	}
	for _, p := range put {
		f.faults[p.ID] = p
	}
	return nil
}

func (f *fakeTable) Active() []kernelfault.Active {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []kernelfault.Active
	for _, p := range f.faults {
		out = append(out, kernelfault.Active{Fault: p, Remaining: p.TTL})
	}
	slices.SortFunc(out, func(a, b kernelfault.Active) int { return len(a.ID) - len(b.ID) })
	return out
}

func (f *fakeTable) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.faults = true, nil
	return nil
}

func (f *fakeTable) changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// fakeProcesses behave at once as they are told.
type fakeProcesses struct {
	mu      sync.Mutex
	all     map[process]*fakeProcess
	signals []syscall.Signal
	refuse  error // what Signal returns
}

type fakeProcess struct {
	status
	command string
}

func (f *fakeProcesses) Look(p process) (status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found, ok := f.all[p]; ok {
		return found.status, nil
	}
	return status{gone: true}, nil
}

func (f *fakeProcesses) Command(p process) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found, ok := f.all[p]; ok && !found.gone {
		return found.command, nil
	}
	return "", os.ErrProcessDone
}

func (f *fakeProcesses) Signal(p process, sig syscall.Signal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signals = append(f.signals, sig)
	found, ok := f.all[p]
	switch {
	case f.refuse != nil:
		return f.refuse
	case !ok || found.gone:
		return os.ErrProcessDone
	case sig == syscall.SIGKILL:
		found.gone = true
	case sig == syscall.SIGSTOP:
		found.stopped = true
	case sig == syscall.SIGCONT:
		found.stopped = false
	}
	return nil
}

// appear makes a process that stands at the gate.
func (f *fakeProcesses) appear(pid int, start uint64) process {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := process{pid, start}
	if f.all == nil {
		f.all = map[process]*fakeProcess{}
	}
	f.all[p] = &fakeProcess{command: "gate"}
	return p
}

func (f *fakeProcesses) change(p process, do func(*fakeProcess)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do(f.all[p])
}

func (f *fakeProcesses) sent() []syscall.Signal {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.signals)
}

// harness is a server on loopback, and a client of it.
type harness struct {
	server *Server
	table  *fakeTable
	procs  *fakeProcesses
	addr   string
	client *Client
	stop   func() error
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{table: &fakeTable{}, procs: &fakeProcesses{}}
	h.begin(t, h.procs)
	return h
}

// begin serves with the processes given.
func (h *harness) begin(t *testing.T, procs processes) {
	t.Helper()
	var err error
	h.server, err = newServer(ServerConfig{Faults: h.table, Capabilities: capabilities, Token: testToken, Logger: zerolog.Nop()}, procs)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := httpapi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.serve(t, ln)
	h.client = h.newClient(t, testToken)
}

func (h *harness) serve(t *testing.T, ln net.Listener) {
	h.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(ctx, ln) }()
	h.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = h.stop() }) // a test that cares stops it itself
}

func (h *harness) newClient(t *testing.T, token string) *Client {
	t.Helper()
	c, err := NewClient(Config{Address: h.addr, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func capabilities() []kernelfault.Capability {
	return []kernelfault.Capability{{Name: "cut", For: "partitions", OK: true, Detail: "nftables"}}
}

// eventually polls until what returns nil.
func eventually(t *testing.T, what func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %v", err)
		}
		<-tick.C
	}
}

// isProblem tells whether an error is a refusal of that type.
func isProblem(err error, kind string) bool {
	var refused *httpapi.APIError
	return errors.As(err, &refused) && refused.Type == kind
}
