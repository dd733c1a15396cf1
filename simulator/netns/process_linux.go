package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one agent's process.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has been waited for; the rest is set then
	at   time.Time
	err  error
}

// startProcess starts a program in a namespace. It dies with this process.
func startProcess(t *thread, namespace int, program string, env []string) (*process, error) {
	p := &process{cmd: exec.Command(program, "agent"), log: new(tail), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// A process group of its own keeps a Ctrl-C in the terminal from it: it is
	// for us to end it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := t.in(namespace, p.cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		p.at = time.Now()
		close(p.done)
	}()
	return p, nil
}

// spent is the processor time of a process that has ended.
func (p *process) spent() time.Duration {
	<-p.done
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// verdict is nil for a process that has ended well, and otherwise says how it
// ended and what it wrote last.
func (p *process) verdict() error {
	if p.err == nil {
		return nil
	}
	if last := p.log.String(); last != "" {
		return fmt.Errorf("%w; it wrote last:\n%s", p.err, last)
	}
	return p.err
}

func (p *process) kill() (time.Time, error) {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return time.Time{}, err
	}
	<-p.done
	return p.at, nil
}

// freeze stops the process and waits until it has stopped.
func (p *process) freeze(ctx context.Context) (time.Time, error) {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return time.Time{}, err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		s, err := readStat(p.cmd.Process.Pid)
		if err != nil {
			return time.Time{}, err
		}
		if s.state == "T" {
			return time.Now(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// thaw lets the process go on, which it may do before the signal's sender does.
func (p *process) thaw() (time.Time, error) {
	at := time.Now()
	return at, p.cmd.Process.Signal(syscall.SIGCONT)
}

// stat is what the system says about a process.
type stat struct {
	state   string
	started string // in ticks since the machine's start; with the pid it names a process for good
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, may hold anything.
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 20 {
		return stat{}, fmt.Errorf("the system says too little about process %d: %q", pid, data)
	}
	return stat{state: f[0], started: f[19]}, nil
}

// Bounds of how much of an agent's log is kept, and of it shown.
const (
	tailBytes = 64 << 10
	tailLines = 20
)

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	buf   []byte // guarded by mu
	fatal string // guarded by mu; the first line about a panic
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fatal == "" {
		t.fatal = string(panics.Find(p))
	}
	t.buf = append(t.buf, p[max(0, len(p)-tailBytes):]...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// crash begins what a Go program writes when it dies of its own fault; what
// follows is long.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |runtime: |SIG[A-Z]+: )`)

// panics finds the line of a panic: that of a Go program that dies of it, and
// that in which a log tells of one. A log's lines are written one at a time.
var panics = regexp.MustCompile(`(?m)^(fatal error: |.*panic: |.*panic=|.*"panic":).{0,300}`)

// panic is the line in which a panic was told of, or empty.
func (t *tail) panic() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fatal
}

// String is the beginning of a crash, or else the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.buf))
	if at := crash.FindStringIndex(text); at != nil {
		lines := strings.Split(text[at[0]:], "\n")
		return strings.Join(lines[:min(len(lines), tailLines)], "\n")
	}
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
