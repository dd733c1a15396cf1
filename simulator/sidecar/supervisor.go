package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"heartbeat/gossip/httpapi"
)

const (
	lookEvery   = 25 * time.Millisecond // while nothing is expected
	settleEvery = time.Millisecond      // while a signal takes effect
	settleMax   = 10 * time.Second      // until a signal has taken effect
	pollMax     = 10 * time.Second      // of one question at the gate
	startMax    = 60 * time.Second      // a container engine may wait as long before it restarts
)

// supervisor knows the one agent beside the fault agent, and decides at the
// gate.
type supervisor struct {
	procs processes
	ctx   context.Context // ends with the server
	watch sync.WaitGroup

	// acting holds a token while an action is carried out: one at a time.
	acting chan struct{}

	mu sync.Mutex // guards what follows; nothing is waited for under it
	// hold keeps the next process at the gate, env is what it is given when it
	// goes.
	hold bool
	env  map[string]string
	// known tells that a process has come to the gate before.
	known bool
	// agent is the process that came to the gate last, zero once it has ended;
	// waiting is the command line that it had then, passed that it was told to
	// go.
	agent   process
	waiting string
	passed  bool
	ended   time.Time
	// changed is closed and made anew with each change of the above.
	changed chan struct{}
}

func newSupervisor(ctx context.Context, procs processes) *supervisor {
	return &supervisor{procs: procs, ctx: ctx, acting: make(chan struct{}, 1), changed: make(chan struct{})}
}

// notify wakes whoever waits for a change; s.mu is held.
func (s *supervisor) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// knock is a process's question at the gate whether it may go. It waits for a
// while; the answer not to go means: ask again.
func (s *supervisor) knock(ctx context.Context, p process) (Gate, error) {
	if p.pid <= 1 || p.pid == os.Getpid() {
		return Gate{}, httpapi.BadRequest(fmt.Sprintf("process %d cannot be the agent", p.pid), "let the gate ask for itself")
	}
	if err := s.admit(p); err != nil {
		return Gate{}, err
	}
	patience := time.NewTimer(pollMax)
	defer patience.Stop()
	for {
		s.mu.Lock()
		mine, changed := s.agent == p, s.changed
		if mine && !s.hold && !s.passed {
			s.passed = true
			s.notify()
		}
		answer := Gate{Go: mine && s.passed, Env: maps.Clone(s.env)}
		s.mu.Unlock()
		if answer.Go || !mine {
			return answer, nil
		}
		select {
		case <-changed:
		case <-patience.C:
			return Gate{}, nil
		case <-s.ctx.Done():
			return Gate{}, nil
		case <-ctx.Done():
			return Gate{}, ctx.Err()
		}
	}
}

// admit makes p the agent, unless another one lives.
func (s *supervisor) admit(p process) error {
	command, err := s.procs.Command(p)
	if errors.Is(err, os.ErrProcessDone) {
		return httpapi.BadRequest(fmt.Sprintf("there is no process %d here that began when it says", p.pid),
			"let the agent's container share the fault agent's process ids: pid: service:NAME")
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	other := s.agent
	s.mu.Unlock()
	if other != p && other != (process{}) {
		now, err := s.procs.Look(other)
		if err != nil {
			return err
		}
		if !now.gone {
			return stateProblem(fmt.Sprintf("process %d is the agent here, and still there", other.pid), "a fault agent has one agent: end the other one first")
		}
		s.forget(other)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agent != p && s.agent == (process{}) && s.ctx.Err() == nil {
		s.agent, s.waiting, s.passed, s.known = p, command, false, true
		s.notify()
		s.watch.Go(func() { s.follow(p) })
	}
	return nil
}

// follow notices the end of a process.
func (s *supervisor) follow(p process) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if now, err := s.procs.Look(p); err == nil && now.gone {
			s.forget(p)
			return
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// forget notes that a process has ended.
func (s *supervisor) forget(p process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agent != p {
		return
	}
	s.agent, s.waiting, s.passed, s.ended = process{}, "", false, time.Now()
	s.notify()
}

// look tells the agent's state and which process it is.
func (s *supervisor) look() (Agent, process, error) {
	s.mu.Lock()
	p, waiting, out := s.agent, s.waiting, Agent{State: Stopped, Hold: s.hold}
	s.mu.Unlock()
	if p != (process{}) {
		state, err := s.stateOf(p, waiting)
		if err != nil {
			return out, p, err
		}
		if out.State = state; state == Stopped {
			s.forget(p)
			p = process{}
		}
		out.PID = p.pid
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended.IsZero() {
		ended := s.ended.UTC()
		out.Ended = &ended
	}
	return out, p, nil
}

// stateOf tells the state of a process that had the command line waiting when
// it stood at the gate.
func (s *supervisor) stateOf(p process, waiting string) (string, error) {
	now, err := s.procs.Look(p)
	if err != nil {
		return "", err
	}
	if now.gone {
		return Stopped, nil
	}
	command, err := s.procs.Command(p)
	switch {
	case errors.Is(err, os.ErrProcessDone):
		return Stopped, nil
	case err != nil:
		return "", err
	case command == "" || command == waiting:
		return Held, nil
	case now.stopped:
		return Frozen, nil
	}
	return Running, nil
}

// act carries out one action and tells when it had taken effect.
func (s *supervisor) act(ctx context.Context, req AgentRequest) (time.Time, error) {
	if req.Action != actionStart && len(req.Env) > 0 {
		return time.Time{}, httpapi.BadRequest("settings go with the action start alone", "leave env out")
	}
	actions := map[string]func(context.Context) (time.Time, error){
		actionKill: s.kill, actionHold: s.holdNext, actionFreeze: s.freeze, actionThaw: s.thaw,
		actionStart: func(ctx context.Context) (time.Time, error) { return s.start(ctx, req.Env) },
	}
	action, ok := actions[req.Action]
	if !ok {
		return time.Time{}, httpapi.BadRequest(fmt.Sprintf("action %.32q is not known", req.Action), "possible are kill, hold, start, freeze and thaw")
	}
	select {
	case s.acting <- struct{}{}:
		defer func() { <-s.acting }()
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-s.ctx.Done():
		return time.Time{}, errStopping
	}
	return action(ctx)
}

func (s *supervisor) holdNext(context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = true
	s.notify()
	return time.Now(), nil
}

// kill ends the agent, if it runs, and keeps the next one at the gate.
func (s *supervisor) kill(ctx context.Context) (time.Time, error) {
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if !known {
		return time.Time{}, unknownAgent()
	}
	if _, err := s.holdNext(ctx); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	p, passed := s.agent, s.passed
	s.mu.Unlock()
	if p == (process{}) || !passed {
		return time.Now(), nil // what waits at the gate stays there
	}
	if err := s.procs.Signal(p, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return time.Time{}, signalProblem(err)
	}
	at, _, err := s.settle(ctx, p, "end", func(now status) bool { return now.gone })
	s.forget(p)
	return at, err
}

func (s *supervisor) freeze(ctx context.Context) (time.Time, error) {
	return s.signal(ctx, syscall.SIGSTOP, "stop", func(now status) bool { return now.stopped })
}

// thaw tells the moment before the agent may go on: what it notes from then on it
// notes while it runs.
func (s *supervisor) thaw(ctx context.Context) (time.Time, error) {
	before := time.Now()
	if _, err := s.signal(ctx, syscall.SIGCONT, "go on", func(now status) bool { return !now.stopped }); err != nil {
		return time.Time{}, err
	}
	return before, nil
}

// signal sends a signal to an agent that is past the gate and waits for its
// effect.
func (s *supervisor) signal(ctx context.Context, sig syscall.Signal, effect string, done func(status) bool) (time.Time, error) {
	agent, p, err := s.look()
	if err != nil {
		return time.Time{}, err
	}
	if agent.State != Running && agent.State != Frozen {
		return time.Time{}, stateProblem("the agent is "+agent.State, "start it first")
	}
	if err := s.procs.Signal(p, sig); err != nil {
		return time.Time{}, signalProblem(err)
	}
	at, now, err := s.settle(ctx, p, effect, func(now status) bool { return now.gone || done(now) })
	if err == nil && now.gone {
		s.forget(p)
		return time.Time{}, stateProblem("the agent ended meanwhile", "look at its log")
	}
	return at, err
}

// settle waits until a process is as wanted and tells when that was.
func (s *supervisor) settle(ctx context.Context, p process, effect string, done func(status) bool) (time.Time, status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleMax, fmt.Errorf("process %d did not %s within %v", p.pid, effect, settleMax))
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		now, err := s.procs.Look(p)
		if err != nil || done(now) {
			return time.Now(), now, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, now, context.Cause(ctx)
		case <-s.ctx.Done():
			return time.Time{}, now, errStopping
		}
	}
}

// start opens the gate and waits until a process has gone through it and runs
// the agent.
func (s *supervisor) start(ctx context.Context, env map[string]string) (time.Time, error) {
	if err := CheckSettings(env); err != nil {
		return time.Time{}, httpapi.BadRequest(err.Error(), "see "+docsPage)
	}
	agent, _, err := s.look()
	if err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	if agent.State != Stopped && s.passed {
		s.mu.Unlock()
		return time.Time{}, stateProblem("the agent runs already", "kill it first, or hold and stop it")
	}
	s.hold, s.env = false, maps.Clone(env)
	s.notify()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	p, waiting, err := s.departure(ctx)
	if err != nil {
		return time.Time{}, err
	}
	state := Held
	at, _, err := s.settle(ctx, p, "run the agent", func(status) bool {
		state, err = s.stateOf(p, waiting)
		return err != nil || state != Held
	})
	if err == nil && state == Stopped {
		s.forget(p)
		err = stateProblem("the process at the gate ended before it ran the agent", "look at the log of the agent's container")
	}
	return at, err
}

// departure waits until a process was told to go.
func (s *supervisor) departure(ctx context.Context) (p process, waiting string, err error) {
	for {
		s.mu.Lock()
		p, waiting, passed, changed := s.agent, s.waiting, s.passed, s.changed
		s.mu.Unlock()
		if passed {
			return p, waiting, nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return p, "", errStopping
		case <-ctx.Done():
			return p, "", httpapi.NewProblem(http.StatusGatewayTimeout, httpapi.ProblemTimeout, "it took too long",
				"no process has come to the gate, which stays open", "see whether the agent's container runs, or is restarted, with `heartbeat fault gate`")
		}
	}
}

// release lets a frozen agent go on, as the last thing.
func (s *supervisor) release() error {
	s.watch.Wait()
	agent, p, err := s.look()
	if err != nil || agent.State != Frozen {
		return err
	}
	if err := s.procs.Signal(p, syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("the agent stays frozen: %w", err)
	}
	return nil
}
