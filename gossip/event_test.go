package gossip

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"heartbeat/membership"
)

func changeOf(name string) membership.Change {
	return membership.Change{Kind: membership.ChangeJoined, Member: membership.Member{Name: name, Tags: map[string]string{"k": "v"}}}
}

func TestWatcherThatIsTooSlowIsToldWhatItLost(t *testing.T) {
	l := newEventLog(4)
	w := l.watch(0)
	for range 10 {
		l.append(changeOf("n1"))
	}
	ev, err := w.Next(t.Context())
	if err != nil || ev.Lost != 6 || ev.ID != 7 {
		t.Fatalf("first: %+v, %v; want 6 lost before event 7", ev, err)
	}
	for id := uint64(7); id <= 10; id++ {
		ev, err := w.Next(t.Context())
		if err != nil || ev.ID != id || ev.Lost != 0 {
			t.Fatalf("got %+v, %v; want event %d", ev, err, id)
		}
	}
}

func TestWatchResumes(t *testing.T) {
	l := newEventLog(8)
	for range 3 {
		l.append(changeOf("n1"))
	}
	for _, tc := range []struct{ from, first uint64 }{{0, 4}, {1, 1}, {3, 3}, {4, 4}, {99, 4}} {
		w := l.watch(tc.from)
		if w.cursor != tc.first {
			t.Errorf("from %d starts with %d, want %d", tc.from, w.cursor, tc.first)
		}
	}
}

func TestWatchersShareNothing(t *testing.T) {
	l := newEventLog(8)
	a, b := l.watch(0), l.watch(0)
	l.append(changeOf("n1"))
	ev, _ := a.Next(t.Context())
	ev.Change.Member.Tags["k"] = "spoilt"
	if ev, _ := b.Next(t.Context()); ev.Change.Member.Tags["k"] != "v" {
		t.Error("one watcher's change shows at another")
	}
}

func TestWatcherWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newEventLog(4)
		w := l.watch(0)
		go func() {
			time.Sleep(time.Minute)
			l.append(changeOf("n1"))
			time.Sleep(time.Minute)
			l.close()
		}()
		begin := time.Now()
		if ev, err := w.Next(t.Context()); err != nil || ev.ID != 1 || time.Since(begin) != time.Minute {
			t.Errorf("got %+v, %v after %v", ev, err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("deadline: %v", err)
		}
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func BenchmarkEventLog(b *testing.B) {
	l := newEventLog(4096)
	w := l.watch(0)
	c := changeOf("n1")
	b.ReportAllocs()
	for b.Loop() {
		l.append(c)
		if _, err := w.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
