//go:build !linux

package netns

import (
	"context"
	"errors"
	"runtime"
	"time"

	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/live"
	"heartbeat/simulator/scenario"
)

func unsupported() error {
	return &kernelfault.UnsupportedError{Missing: "Linux, whose network namespaces the agents run in", Reason: errors.New("this is " + runtime.GOOS)}
}

// Check fails with kernelfault.ErrUnsupported.
func (*Engine) Check(*scenario.Scenario) error { return unsupported() }

// Play fails with kernelfault.ErrUnsupported.
func (*Engine) Play(context.Context, *scenario.Scenario, uint64, func(time.Duration)) (*live.History, error) {
	return nil, unsupported()
}
