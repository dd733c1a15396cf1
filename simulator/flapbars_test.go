package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// barsOfFlapping measures members that are reachable now and then. How long the cluster runs well before does not matter to
// either side, so it is short.
func barsOfFlapping(t *testing.T, r *report) {
	const begins, lasts = 10 * time.Second, 900 * time.Second
	r.linef(t, "The fault begins at %v. Held failed: share of the time from %v on in which the other nodes hold the faulty ones failed. Changes: of one faulty", begins, begins+time.Minute)
	r.linef(t, "member in the list of one other node (failed, joined), mean and most. Healthy: how often another node declared a healthy one failed.")
	r.linef(t, "%4s %6s %6s %-22s | %-10s | %11s | %-13s | %s", "N", "faulty", "seeds", "what is lost", "arm", "held failed", "changes", "healthy declared failed")
	for _, size := range []struct {
		nodes, faulty int
		seeds         string
	}{{100, 1, "1-3"}, {300, 3, "1"}} {
		for _, f := range []struct{ name, fault string }{
			{"all in, 20 s of 40", "flap: {down: 20s, up: 20s}, link: {from: all, to: %s, cut: true}"},
			{"80 % in", "link: {from: all, to: %s, loss: 80%%}"},
			{"80 % out", "link: {from: %s, to: all, loss: 80%%}"},
		} {
			names := fmt.Sprintf("n1..n%d", size.faulty)
			c := cell{nodes: size.nodes, seeds: size.seeds, duration: (begins + lasts).String(), traces: t.TempDir(), arms: []string{"memberlist", "heartbeat"},
				timeline: fmt.Sprintf("  - {at: %v, for: %v, %s}\n", begins, lasts, fmt.Sprintf(f.fault, names))}
			c.play(t)
			for _, arm := range c.arms {
				s := steadinessOf(t, filepath.Join(c.traces, arm), size.nodes, size.faulty, begins+time.Minute, begins+lasts)
				r.linef(t, "%4d %6d %6s %-22s | %-10s | %10.2f%% | %6.2f %6d | %d", size.nodes, size.faulty, seedsOf(c), f.name, arm, 100*s.held, s.mean, s.most, s.healthy)
			}
		}
	}
}

// steadiness is what the nodes without a fault made of those with one.
type steadiness struct {
	held    float64 // share of the time in which they hold them failed
	mean    float64 // changes of one faulty member at one other node
	most    int
	healthy int // verdicts of theirs on each other
}

// steadinessOf reads traces in which n1 to n(faulty) of n nodes were faulty.
func steadinessOf(t *testing.T, dir string, n, faulty int, from, until time.Duration) (s steadiness) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces in %s: %v", dir, err)
	}
	bad := make(map[string]bool, faulty)
	for i := range faulty {
		bad[fmt.Sprint("n", i+1)] = true
	}
	pairs := float64(len(files) * faulty * (n - faulty))
	for _, name := range files {
		since, changes := map[[2]string]float64{}, map[[2]string]int{}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e struct {
				T                       float64
				Kind, Observer, Subject string
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if bad[e.Observer] || e.Kind != "failed" && e.Kind != "joined" || e.T < 0 {
				continue
			}
			pair := [2]string{e.Observer, e.Subject}
			switch {
			case !bad[e.Subject]:
				if e.Kind == "failed" {
					s.healthy++
				}
				continue
			case e.Kind == "failed":
				since[pair] = e.T
			default:
				if at, failed := since[pair]; failed {
					s.held += overlap(at, e.T, from, until)
					delete(since, pair)
				}
			}
			changes[pair]++
			s.mean++
			s.most = max(s.most, changes[pair])
		}
		f.Close()
		for _, at := range since {
			s.held += overlap(at, until.Seconds(), from, until)
		}
	}
	s.held /= pairs * (until - from).Seconds()
	s.mean /= pairs
	return s
}

// overlap returns for how many seconds of [from, until] something was so that was so from begin to end.
func overlap(begin, end float64, from, until time.Duration) float64 {
	return max(0, min(end, until.Seconds())-max(begin, from.Seconds()))
}

// steadinessAboutOne plays a fault of n1, one of 20, for five minutes.
func steadinessAboutOne(t *testing.T, set, fault string, from time.Duration) steadiness {
	t.Helper()
	run := cell{nodes: 20, seeds: "1-3", duration: "310s", traces: t.TempDir(), arms: []string{"heartbeat " + set},
		timeline: "  - {at: 10s, for: 5m, " + fault + "}\n"}
	run.play(t)
	return steadinessOf(t, filepath.Join(run.traces, "heartbeat"), run.nodes, 1, from, 310*time.Second)
}

// Who loses most of what it should receive hears enough to refute every accusation: without probation it is never
// failed.
func TestWhoAnswersTooLittleIsHeldFailed(t *testing.T) {
	t.Setenv("SIMULATOR_CHILD", "1")
	for _, set := range []string{"", "verdict.probation=0s"} {
		s := steadinessAboutOne(t, set, "link: {from: all, to: n1, loss: 80%}", 130*time.Second)
		if set == "" && (s.held < 0.8 || s.mean > 2) || set != "" && s.held > 0.2 || s.healthy > 0 {
			t.Errorf("%q: held failed for %.1f%% of the time from two minutes on, with %.2f changes; %d verdicts on healthy members", set, 100*s.held, s.mean, s.healthy)
		}
	}
}

// Who is late and no more answers in the end.
func TestWhoIsLateIsNotTakenForUnreliable(t *testing.T) {
	t.Setenv("SIMULATOR_CHILD", "1")
	run := cell{nodes: 20, loss: "2%", seeds: "1-3", duration: "310s", arms: []string{"heartbeat"}, traces: t.TempDir(),
		timeline: "  - {at: 10s, for: 5m, stall: {nodes: n1..n2, late: 500ms..2s}}\n"}
	run.play(t)
	files, err := filepath.Glob(filepath.Join(run.traces, "heartbeat", "*.jsonl"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d traces: %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte(`"kind":"unreliable"`)); n > 0 {
			t.Errorf("%s: %d times one was taken for unreliable", filepath.Base(name), n)
		}
	}
}

// A member that is out of reach half of the time fails twice, and then stays failed while that goes on.
func TestWhoFailsAgainStaysFailed(t *testing.T) {
	t.Setenv("SIMULATOR_CHILD", "1")
	for _, set := range []string{"", "verdict.probation=0s"} {
		s := steadinessAboutOne(t, set, "flap: {down: 20s, up: 20s}, link: {from: all, to: n1, cut: true}", 70*time.Second)
		if stays := s.held == 1 && s.most <= 3; stays != (set == "") || s.healthy > 0 {
			t.Errorf("%q: held failed for %.1f%% of the time from a minute on, with at most %d changes; %d verdicts on healthy members", set, 100*s.held, s.most, s.healthy)
		}
	}
}
