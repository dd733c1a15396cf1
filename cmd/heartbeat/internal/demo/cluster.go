package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"heartbeat/cmd/heartbeat/internal/offspring"
	"heartbeat/gossip/httpapi"
)

// cluster owns the agents' processes and their files.
type cluster struct {
	exe    string
	dir    string
	seed   string // gossip address of n1
	agents [clusterSize]*agent
	spawn  chan func() // run on the thread that the children belong to
}

// agent is one process, of which a later one may take the place.
type agent struct {
	name   string
	api    string
	cmd    *exec.Cmd
	client *httpapi.Client
	stderr *bytes.Buffer
	done   chan struct{} // closed when the process has been waited for
	err    error         // its exit, valid after done
}

func newCluster(exe string) (*cluster, error) {
	dir, err := os.MkdirTemp("", "heartbeat-demo-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory for the agents' files: %w", err)
	}
	c := &cluster{exe: exe, dir: dir, spawn: make(chan func())}
	go func() {
		// The kernel ends the agents when the thread that started them ends
		// (see offspring.Attr), so one thread starts them all and lives on.
		runtime.LockOSThread()
		for f := range c.spawn {
			f()
		}
	}()
	return c, nil
}

// start runs agent i and waits until its API answers.
func (c *cluster) start(ctx context.Context, i int) (*agent, error) {
	a := &agent{
		name:   fmt.Sprintf("n%d", i+1),
		stderr: new(bytes.Buffer),
		done:   make(chan struct{}),
	}
	home := filepath.Join(c.dir, a.name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make %s's data directory: %w", a.name, err)
	}
	a.api = "unix:" + filepath.Join(home, "api.sock")
	var err error
	if a.client, err = httpapi.NewClient(httpapi.ClientConfig{Address: a.api}); err != nil {
		return nil, err
	}
	a.cmd = exec.Command(c.exe, "agent")
	a.cmd.Env = append(foreign(os.Environ()),
		"HEARTBEAT_NODE_NAME="+a.name,
		"HEARTBEAT_CLUSTER_NAME=demo",
		"HEARTBEAT_NETWORK_BIND=127.0.0.1",
		"HEARTBEAT_NETWORK_PORT=0",
		"HEARTBEAT_API_ADDRESS="+a.api,
		"HEARTBEAT_DATA_DIR="+home,
		"HEARTBEAT_CLUSTER_SEEDS="+c.seed,
		"HEARTBEAT_LOG_LEVEL=warn",
	)
	a.cmd.Stderr = a.stderr
	a.cmd.SysProcAttr = offspring.Attr()
	started := make(chan error)
	c.spawn <- func() { started <- a.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", a.name, err)
	}
	go func() {
		a.err = a.cmd.Wait()
		close(a.done)
	}()
	c.agents[i] = a
	info, err := a.ready(ctx)
	if err != nil {
		return nil, err
	}
	if c.seed == "" {
		c.seed = info.Advertise
	}
	return a, nil
}

// foreign returns the variables of an environment that say nothing to an agent:
// what the user has set for another one must not get into the demo's.
func foreign(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, "HEARTBEAT_") })
}

func (a *agent) pid() int { return a.cmd.Process.Pid }

// ready waits until the API answers.
func (a *agent) ready(ctx context.Context) (*httpapi.Info, error) {
	var info *httpapi.Info
	err := poll(ctx, joinWait, func() (err error) {
		select {
		case <-a.done:
			return stop{fmt.Errorf("agent %s ended at once (%v):\n%s", a.name, a.err, a.stderr)}
		default:
		}
		info, err = a.client.Info(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("agent %s does not answer: %w", a.name, err)
	}
	return info, nil
}

// kill ends the process as a crash would.
func (a *agent) kill() error {
	if err := a.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("cannot kill %s: %w", a.name, err)
	}
	<-a.done
	a.client.Close()
	return nil
}

// terminate asks the process to leave and end.
func (a *agent) terminate(ctx context.Context) error {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot end %s: %w", a.name, err)
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.err != nil {
		return fmt.Errorf("%s did not end cleanly (%w):\n%s", a.name, a.err, a.stderr)
	}
	return nil
}

// without returns the agents that run, but for one.
func (c *cluster) without(out *agent) []*agent {
	var rest []*agent
	for _, a := range c.agents {
		if a != nil && a != out && a.runs() {
			rest = append(rest, a)
		}
	}
	return rest
}

func (a *agent) runs() bool {
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// waitAll waits until what each running agent sees satisfies done.
func (c *cluster) waitAll(ctx context.Context, within time.Duration, what string, done func(*httpapi.Members) bool) error {
	for _, a := range c.without(nil) {
		err := poll(ctx, within, func() error {
			m, err := a.client.Members(ctx, httpapi.Filter{})
			if err == nil && !done(m) {
				err = fmt.Errorf("not yet so among its %d members", m.Total)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("waiting until %s sees %s: %w", a.name, what, err)
		}
	}
	return nil
}

// close ends all agents, first by request and then by force, and removes their
// files.
func (c *cluster) close() error {
	for _, a := range c.without(nil) {
		_ = a.cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	}
	patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, a := range c.without(nil) {
		select {
		case <-a.done:
		case <-patience.Done():
			_ = a.cmd.Process.Kill()
			<-a.done
		}
	}
	for _, a := range c.agents {
		if a != nil {
			a.client.Close()
		}
	}
	close(c.spawn)
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("the agents have ended, but their files in %s could not be removed: %w", c.dir, err)
	}
	return nil
}

// stop is an error that makes waiting longer pointless.
type stop struct{ error }

// poll repeats try until it succeeds, gives up for good or runs out of time.
func poll(ctx context.Context, within time.Duration, try func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		var final stop
		if err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("not within %v: %w", within, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch follows what several agents report about one member.
type watch struct {
	stop   context.CancelFunc
	events chan observed
}

// observed is an event and who reported it.
type observed struct {
	httpapi.Event
	observer string
}

func (c *cluster) watch(ctx context.Context, observers []*agent, subject string) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{stop: cancel, events: make(chan observed)}
	for _, a := range observers {
		go func() {
			// The stream ends with the watch, or with its agent.
			_ = a.client.Events(ctx, httpapi.EventOptions{}, func(ev httpapi.Event) error {
				if ev.Member == nil || ev.Member.Name != subject {
					return nil
				}
				select {
				case w.events <- observed{ev, a.name}:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}()
	}
	return w
}

func (w *watch) next(ctx context.Context, within time.Duration) (observed, error) {
	select {
	case ev := <-w.events:
		return ev, nil
	case <-time.After(within):
		return observed{}, fmt.Errorf("nothing was reported within %v", within)
	case <-ctx.Done():
		return observed{}, ctx.Err()
	}
}
