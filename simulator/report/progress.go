package report

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"heartbeat/simulator/oracle"
)

// quiet is the least time between two lines of progress.
const quiet = 5 * time.Second

// Progress tells how runs go while they go: as a bar on a terminal, otherwise
// as a plain line now and then. It is told by events only and starts no
// goroutine. It is safe for concurrent use.
type Progress struct {
	mu    sync.Mutex
	out   io.Writer
	bar   *progressbar.ProgressBar // guarded by mu; nil for plain lines
	began time.Time
	last  time.Time // guarded by mu; of the last plain line

	runs  int
	end   time.Duration            // of a run
	under map[uint64]time.Duration // guarded by mu; how far the runs under way are
	sum   tally                    // guarded by mu
}

// tally is what the finished runs came to.
type tally struct {
	done, brokenOff, falseAlarms int
	slowest                      oracle.Number // full detection; 0 without a crash
	undetected                   bool
}

// NewProgress begins to tell about runs, each of which lasts until end in its
// own time, virtual or real. terminal says that out is one.
func NewProgress(out io.Writer, runs int, end time.Duration, terminal bool) *Progress {
	now := time.Now()
	p := &Progress{out: out, began: now, last: now, runs: runs, end: end, under: map[uint64]time.Duration{}}
	if terminal {
		p.bar = progressbar.NewOptions64(int64(float64(runs)*end.Seconds()),
			progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionShowIts(), progressbar.OptionSetItsString("s of the runs"), progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription(p.figures()))
	}
	return p
}

// Started tells that a seed's run begins.
func (p *Progress) Started(seed uint64, _ time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under[seed] = 0
	p.show(false)
}

// Passed tells how far a run is, in time since time 0.
func (p *Progress) Passed(seed uint64, at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under[seed] = min(max(at, p.under[seed]), p.end)
	p.show(false)
}

// Finished tells what a run came to.
func (p *Progress) Finished(run *oracle.RunResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.under, run.Seed)
	p.sum.done++
	if run.BrokenOff != "" {
		p.sum.brokenOff++
	} else {
		p.sum.falseAlarms += run.Verdicts.False()
		for i := range run.Crashes {
			c := &run.Crashes[i]
			p.sum.undetected = p.sum.undetected || c.Undetected > 0
			if !c.Full.Never() {
				p.sum.slowest = max(p.sum.slowest, c.Full)
			}
		}
	}
	if p.bar != nil {
		p.bar.Describe(p.figures())
	}
	p.show(p.sum.done == p.runs)
}

// Close removes the bar, so that the report follows without it.
func (p *Progress) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || p.bar.IsFinished() {
		return nil
	}
	if err := p.bar.Clear(); err != nil {
		return fmt.Errorf("remove the progress bar: %w", err)
	}
	return nil
}

// passed returns how much time of the runs is over.
func (p *Progress) passed() time.Duration {
	sum := time.Duration(p.sum.done) * p.end
	for _, at := range p.under {
		sum += at
	}
	return sum
}

// figures says what has come out so far.
func (p *Progress) figures() string {
	text := fmt.Sprintf("%d of %s", p.sum.done, many(p.runs, "run"))
	if p.sum.brokenOff > 0 {
		text += fmt.Sprintf(", %d broken off", p.sum.brokenOff)
	}
	if p.sum.done == 0 {
		return text
	}
	text += ", " + many(p.sum.falseAlarms, "false alarm")
	if p.sum.slowest > 0 {
		text += ", slowest detection " + p.sum.slowest.String()
	}
	if p.sum.undetected {
		text += ", crashes undetected"
	}
	return text
}

// show brings the bar up to date, or writes a line when one is due. Progress
// that cannot be written is no reason to stop the runs.
func (p *Progress) show(final bool) {
	passed, now := p.passed(), time.Now()
	if p.bar != nil {
		_ = p.bar.Set64(int64(passed.Seconds()))
		return
	}
	if !final && now.Sub(p.last) < quiet {
		return
	}
	p.last = now
	real := now.Sub(p.began)
	text := p.figures()
	if total := time.Duration(p.runs) * p.end; passed > 0 && real > 0 && !final {
		left := time.Duration(float64(real) * float64(total-passed) / float64(passed))
		text += fmt.Sprintf("; %.0f %%, %s s of the run a second, about %s left",
			100*float64(passed)/float64(total), figure(oracle.Number(passed.Seconds()/real.Seconds())), left.Round(time.Second))
	}
	_, _ = fmt.Fprintln(p.out, text)
}
