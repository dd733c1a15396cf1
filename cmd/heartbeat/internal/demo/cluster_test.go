package demo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAgentsGetNoneOfTheUsersSettings(t *testing.T) {
	env := []string{"PATH=/bin", "HEARTBEAT_NETWORK_ADVERTISE=10.0.0.1", "HOME=/root", "HEARTBEAT_TOKEN_FILE=/t"}
	before := append([]string(nil), env...)
	if diff := cmp.Diff([]string{"PATH=/bin", "HOME=/root"}, foreign(env)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, env); diff != "" {
		t.Errorf("the environment itself was changed:\n%s", diff)
	}
}

func TestPoll(t *testing.T) {
	calls := 0
	if err := poll(t.Context(), time.Minute, func() error { calls++; return stop{errors.ErrUnsupported} }); err == nil || calls != 1 {
		t.Errorf("what is final: %v after %d calls", err, calls)
	}
	calls = 0
	if err := poll(t.Context(), time.Minute, func() error {
		if calls++; calls < 3 {
			return errors.ErrUnsupported
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("the third time it works: %v after %d calls", err, calls)
	}
	if err := poll(t.Context(), time.Millisecond, func() error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("out of time: %v, want why", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := poll(ctx, time.Minute, func() error { return errors.ErrUnsupported }); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
