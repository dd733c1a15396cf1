package httpapi

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
)

// lockedLogger writes everything to w, which may be read once the server has
// stopped.
func lockedLogger(w io.Writer) zerolog.Logger {
	return zerolog.New(&lockedWriter{w: w}).Level(zerolog.DebugLevel)
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestLogRingLevelsAndLosses(t *testing.T) {
	ring := NewLogRing(4)
	log := zerolog.New(ring)
	all, warnings := ring.Subscribe(zerolog.DebugLevel), ring.Subscribe(zerolog.WarnLevel)
	log.Debug().Msg("one")
	log.Warn().Msg("two")
	expect := func(r LogReader, text string, lost uint64) {
		t.Helper()
		line, gone, err := r.Next(t.Context())
		if err != nil || !strings.Contains(string(line), text) || gone != lost || strings.HasSuffix(string(line), "\n") {
			t.Errorf("got %q, %d lost, %v; want %q, %d lost", line, gone, err, text, lost)
		}
	}
	expect(all, "one", 0)
	expect(all, "two", 0)
	expect(warnings, "two", 0)
	for i := range 10 {
		log.Info().Msg(fmt.Sprint("filler ", i))
	}
	expect(all, "filler 6", 6)
	expect(all, "filler 7", 0)
	log.Error().Str("big", strings.Repeat("x", maxLogLine)).Msg("too long")
	log.Error().Msg("last")
	expect(warnings, "last", 9) // 8 overwritten, 1 too long
	expect(all, "filler 8", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := warnings.Next(ctx); err == nil {
		t.Error("a reader at the end did not wait")
	}
}

// A reader that waits is woken by each line that concerns it and by no loss
// of time; writers never wait for readers.
func TestLogRingWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := NewLogRing(1024)
		log := zerolog.New(ring)
		var wg sync.WaitGroup
		for range 4 {
			r := ring.Subscribe(zerolog.InfoLevel)
			wg.Go(func() {
				for i := range 100 {
					line, lost, err := r.Next(t.Context())
					if want := fmt.Sprintf(`"n":%d}`, i); err != nil || lost != 0 || !strings.HasSuffix(string(line), want) {
						t.Errorf("got %q, %d lost, %v; want %s", line, lost, err, want)
					}
				}
			})
		}
		for i := range 100 {
			log.Debug().Int("n", -1).Send()
			log.Info().Int("n", i).Send()
			if i%10 == 0 {
				synctest.Wait()
			}
		}
		wg.Wait()
	})
}
