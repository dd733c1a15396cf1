package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/gossip/httpapi"
)

func TestTheLevelChangesForLoggersThatExist(t *testing.T) {
	var out bytes.Buffer
	h := newLogHub(&out, zerolog.InfoLevel)
	log := h.Logger().With().Str("part", "x").Logger()
	log.Debug().Msg("one")
	h.SetLevel(zerolog.DebugLevel)
	log.Debug().Msg("two")
	h.SetLevel(zerolog.WarnLevel)
	log.Info().Msg("three")
	log.Warn().Msg("four")
	got := out.String()
	for word, want := range map[string]bool{"one": false, "two": true, "three": false, "four": true} {
		if strings.Contains(got, word) != want {
			t.Errorf("%q is logged: %v, want %v", word, !want, want)
		}
	}
}

// Watchers get lines below the agent's own level, for as long as they ask.
func TestWatchersHaveALevelOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := newLogHub(&out, zerolog.InfoLevel)
		log := h.Logger()
		if h.Sample(zerolog.DebugLevel) {
			t.Error("debug lines are made though nobody reads them")
		}
		debug, warn := h.Subscribe(zerolog.DebugLevel), h.Subscribe(zerolog.WarnLevel)
		log.Debug().Msg("fine")
		log.Trace().Msg("finer")
		log.Warn().Msg("grave")
		expect(t, debug, "fine", "grave")
		expect(t, warn, "grave")
		if got := out.String(); strings.Contains(got, "fine") || !strings.Contains(got, "grave") {
			t.Errorf("the agent's own output holds %q", got)
		}
		time.Sleep(leaseTime - time.Second)
		if !h.Sample(zerolog.DebugLevel) {
			t.Error("the watcher was given up too soon")
		}
		expect(t, debug) // asks again
		time.Sleep(leaseTime - time.Second)
		if !h.Sample(zerolog.DebugLevel) || h.Sample(zerolog.TraceLevel) {
			t.Error("a watcher that asked again is not served at its level")
		}
		time.Sleep(2 * time.Second)
		if h.Sample(zerolog.DebugLevel) {
			t.Error("debug lines are still made after the watcher has gone")
		}
	})
}

// expect reads the messages that are there and no more.
func expect(t *testing.T, r httpapi.LogReader, messages ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, want := range messages {
		line, lost, err := r.Next(ctx)
		if err != nil || lost != 0 || !strings.Contains(string(line), `"message":"`+want+`"`) {
			t.Errorf("Next = %s, %d, %v, want %q", line, lost, err, want)
		}
	}
	cancel()
	if line, _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %s, %v, want nothing more", line, err)
	}
}

// brokenOutput stands for a full disk or a closed pipe.
type brokenOutput struct{}

func (brokenOutput) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestABrokenOutputHarmsNobody(t *testing.T) {
	h := newLogHub(brokenOutput{}, zerolog.InfoLevel)
	r := h.Subscribe(zerolog.InfoLevel)
	log := h.Logger()
	log.Info().Msg("still here")
	expect(t, r, "still here")
}

func TestLinesThatNobodyWantsAllocateNothing(t *testing.T) {
	log := newLogHub(io.Discard, zerolog.InfoLevel).Logger()
	if n := testing.AllocsPerRun(100, func() { log.Debug().Str("a", "b").Msg("c") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestLogFormats(t *testing.T) {
	for format, isJSON := range map[string]bool{"auto": true, "json": true, "console": false} {
		var out bytes.Buffer
		log := newLogHub(logOutput(&out, format), zerolog.InfoLevel).Logger()
		log.Info().Str("node", "n1").Msg("hello")
		if got := strings.HasPrefix(out.String(), "{"); got != isJSON || !strings.Contains(out.String(), "hello") {
			t.Errorf("%s: %q", format, out.String())
		}
	}
}

func TestMonitorSeesDebugLines(t *testing.T) {
	a := begin(t, "a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- a.api.Logs(ctx, "debug", func(l httpapi.LogLine) error {
			if bytes.Contains(l.Line, []byte(`"debug"`)) {
				close(seen)
				cancel()
			}
			return ctx.Err()
		})
	}()
	eventually(t, func() string {
		if err := a.api.Health(t.Context()); err != nil { // each request is a debug line
			return err.Error()
		}
		select {
		case <-seen:
			return ""
		default:
			return "no debug line arrives"
		}
	})
	<-done
	if strings.Contains(a.log.String(), `"debug"`) {
		t.Error("the agent's own output holds debug lines")
	}
}
