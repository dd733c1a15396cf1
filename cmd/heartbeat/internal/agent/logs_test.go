package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
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
	h.Close()
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
		defer h.Close()
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
		synctest.Wait()
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
	defer h.Close()
	r := h.Subscribe(zerolog.InfoLevel)
	log := h.Logger()
	log.Info().Msg("still here")
	expect(t, r, "still here")
}

// pausedOutput stands for a terminal after Ctrl-S: it takes nothing until it is
// resumed.
type pausedOutput struct {
	resumed chan struct{}
	bytes.Buffer
}

func (p *pausedOutput) Write(line []byte) (int, error) {
	<-p.resumed
	return p.Buffer.Write(line)
}

func TestAPausedOutputHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &pausedOutput{resumed: make(chan struct{})}
		h := newLogHub(out, zerolog.InfoLevel)
		log := h.Logger()
		const more = 10
		for range outputLines + more {
			log.Info().Msg("line") // would deadlock the bubble if it waited
		}
		close(out.resumed)
		synctest.Wait()
		h.Close()
		kept := strings.Count(out.String(), `"message":"line"`)
		_, note, noted := strings.Cut(out.String(), `"lines":`)
		count, _, _ := strings.Cut(note, ",")
		dropped, err := strconv.Atoi(count)
		if !noted || err != nil || kept+dropped != outputLines+more || dropped == 0 {
			t.Errorf("%d lines were kept and %q reported as dropped, of %d", kept, count, outputLines+more)
		}
	})
}

func TestAnOutputThatHangsDoesNotKeepTheAgentFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &pausedOutput{resumed: make(chan struct{})}
		h := newLogHub(out, zerolog.InfoLevel)
		log := h.Logger()
		log.Info().Msg("line")
		synctest.Wait()
		h.Close()
		close(out.resumed) // the bubble waits for the goroutine
	})
}

func TestLinesThatNobodyWantsAllocateNothing(t *testing.T) {
	h := newLogHub(io.Discard, zerolog.InfoLevel)
	defer h.Close()
	log := h.Logger()
	if n := testing.AllocsPerRun(100, func() { log.Debug().Str("a", "b").Msg("c") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestLogFormats(t *testing.T) {
	for format, isJSON := range map[string]bool{"auto": true, "json": true, "console": false} {
		var out bytes.Buffer
		h := newLogHub(logOutput(&out, format), zerolog.InfoLevel)
		log := h.Logger()
		log.Info().Str("node", "n1").Msg("hello")
		h.Close()
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
