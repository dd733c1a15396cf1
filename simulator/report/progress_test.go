package report

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heartbeat/simulator/oracle"
)

func TestProgressInPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&out, 2, 100*time.Second, false)
		for seed := range uint64(2) {
			p.Started(seed, 100*time.Second)
			for at := range 101 {
				time.Sleep(100 * time.Millisecond)
				p.Passed(seed, time.Duration(at)*time.Second)
			}
			run := oracle.RunResult{Seed: seed, Crashes: []oracle.Crash{{Full: 9.5 + oracle.Number(seed)}}}
			run.Verdicts.FalseHealthy.Healthy = int(seed)
			p.Finished(&run)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		want := `0 of 2 runs; 24 %, 9.80 s of the run a second, about 15s left
0 of 2 runs; 50 %, 9.90 s of the run a second, about 10s left
1 of 2 runs, 0 false alarms, slowest detection 9.5 s; 74 %, 9.87 s of the run a second, about 5s left
1 of 2 runs, 0 false alarms, slowest detection 9.5 s; 99 %, 9.90 s of the run a second, about 0s left
2 of 2 runs, 1 false alarm, slowest detection 10.5 s
`
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestProgressNamesWhatWentWrong(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, 2, time.Minute, false)
	p.Finished(&oracle.RunResult{Seed: 1, BrokenOff: "why"})
	p.Finished(&oracle.RunResult{Seed: 2, Crashes: []oracle.Crash{{Undetected: 1, Full: never()}}})
	if want := "2 of 2 runs, 1 broken off, 0 false alarms, crashes undetected\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestProgressBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&out, 4, 100*time.Second, true)
		var all sync.WaitGroup
		for seed := range uint64(4) {
			all.Go(func() {
				p.Started(seed, 100*time.Second)
				for at := range 100 {
					time.Sleep(time.Duration(30+10*seed) * time.Millisecond)
					p.Passed(seed, time.Duration(at)*time.Second)
				}
				p.Finished(&oracle.RunResult{Seed: seed})
			})
		}
		all.Wait()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"0 of 4 runs", "3 of 4 runs, 0 false alarms", "50%", "s of the runs/s"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is missing:\n%q", want, out.String())
			}
		}
		if frames := strings.Split(out.String(), "\r"); strings.TrimSpace(frames[len(frames)-1]) != "" {
			t.Errorf("the bar is still there: %q", frames[len(frames)-1])
		}
	})
}
