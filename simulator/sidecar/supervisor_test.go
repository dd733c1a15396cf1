package sidecar

import (
	"syscall"
	"testing"
	"time"
)

// signalled are processes that note when they were last sent a signal.
type signalled struct {
	*fakeProcesses
	at time.Time
}

func (s *signalled) Signal(p process, sig syscall.Signal) error {
	s.at = time.Now()
	return s.fakeProcesses.Signal(p, sig)
}

// An agent that was frozen for long has much to do at once when it goes on, and
// none of that may look as if it was done while it was frozen.
func TestThawTellsTheMomentBefore(t *testing.T) {
	procs := &signalled{fakeProcesses: &fakeProcesses{}}
	s := newSupervisor(t.Context(), procs)
	p := procs.appear(42, 1)
	if gate, err := s.knock(t.Context(), p); err != nil || !gate.Go {
		t.Fatalf("%+v %v", gate, err)
	}
	procs.change(p, func(f *fakeProcess) { f.command, f.stopped = "agent", true })
	at, err := s.thaw(t.Context())
	if err != nil || at.IsZero() || at.After(procs.at) {
		t.Errorf("thawed at %v, %v after the signal (%v)", at, at.Sub(procs.at), err)
	}
}
