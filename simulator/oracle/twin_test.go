package oracle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

// entry is one thing that happened: an action of the plan, an observation or an accusation.
type entry struct {
	at      time.Duration
	action  *scenario.Action
	seen    *Observation
	accused *Accusation
}

// twin is a deliberately naive Judge: it keeps the whole history and answers each question by going through all
// of it again, with the definitions of docs/simulator-metrics.md at hand.
type twin struct {
	plan    *scenario.Plan
	timing  Timing
	history []entry
}

// world is what was the case and what was believed after the first entries of a history.
type world struct {
	truth  *scenario.Truth
	belief [][]string // by observer and subject
	lives  []int
}

func (w *twin) world(entries int) *world {
	n := len(w.plan.Nodes)
	out := &world{truth: scenario.NewTruth(w.plan), lives: make([]int, n)}
	for range n {
		out.belief = append(out.belief, slices.Repeat([]string{"alive"}, n))
	}
	for _, e := range w.history[:entries] {
		switch {
		case e.action != nil:
			out.truth.Apply(*e.action)
			if e.action.Fault == nil {
				out.belief[e.action.Node] = slices.Repeat([]string{"unheard"}, n)
				if e.action.Verb == scenario.Start {
					out.lives[e.action.Node]++
				}
			}
		case e.seen != nil && e.seen.Observer != e.seen.Subject:
			word := map[membership.ChangeKind]string{
				membership.ChangeJoined: "alive", membership.ChangeRefuted: "alive", membership.ChangeLapsed: "alive",
				membership.ChangeSuspected: "suspect", membership.ChangeFailed: "failed", membership.ChangeLeft: "left",
				membership.ChangeRemoved: "forgotten",
			}[e.seen.Kind]
			if word != "" {
				out.belief[e.seen.Observer][e.seen.Subject] = word
			}
		}
	}
	return out
}

// everHolds says whether something was the case at some moment from since to until.
func (w *twin) everHolds(since, until time.Duration, holds func(*scenario.Truth) bool) bool {
	moments := []time.Duration{since, until}
	for _, a := range w.plan.Actions {
		if since <= a.At && a.At <= until {
			moments = append(moments, a.At)
		}
	}
	return slices.ContainsFunc(moments, func(t time.Duration) bool {
		truth := scenario.NewTruth(w.plan)
		for _, a := range w.plan.Actions {
			if a.At <= t {
				truth.Apply(a)
			}
		}
		return holds(truth)
	})
}

func naiveWay(t *scenario.Truth, a, b int, p scenario.Protocol) bool {
	there, back := t.Link(a, b, p), t.Link(b, a, p)
	return !(there.Cut || back.Cut || there.Loss >= 0.5 || back.Loss >= 0.5)
}

func naiveExchange(t *scenario.Truth, a, b int) bool {
	return naiveWay(t, a, b, scenario.UDP) || naiveWay(t, a, b, scenario.TCP)
}

func (w *twin) path(t *scenario.Truth, a, b int) bool {
	for relay := range w.plan.Nodes {
		if relay != a && relay != b && t.Running(relay) && !t.Frozen(relay) && naiveExchange(t, a, relay) && naiveExchange(t, relay, b) {
			return true
		}
	}
	return naiveExchange(t, a, b)
}

func (w *twin) cutOff(t *scenario.Truth, x int) bool {
	running, reached := 0, 0
	for i := range w.plan.Nodes {
		if t.Running(i) {
			running++
			if i == x || w.path(t, x, i) {
				reached++
			}
		}
	}
	return t.Running(x) && reached*2 < running
}

func (w *twin) away(t *scenario.Truth, x int) bool {
	return !t.Running(x) || t.Frozen(x) || w.cutOff(t, x)
}

func held(t *scenario.Truth, x int) bool { return t.Running(x) && !t.Healthy(x) }

func (w *twin) classify(o, s int, at, suspected time.Duration) (class, by string, late bool) {
	since := max(at-w.timing.Longest, suspected-w.timing.Round)
	ever := func(holds func(*scenario.Truth) bool) bool { return w.everHolds(since, at, holds) }
	by = "healthy"
	if ever(func(t *scenario.Truth) bool { return w.cutOff(t, o) }) {
		by = "cut off"
	}
	if ever(func(t *scenario.Truth) bool { return held(t, o) }) {
		by = "frozen"
	}
	now := func(holds func(*scenario.Truth) bool) bool { return w.everHolds(at, at, holds) }
	stopped := func(t *scenario.Truth) bool { return !t.Running(s) }
	apart := func(t *scenario.Truth) bool { return !w.path(t, o, s) }
	switch {
	case ever(stopped):
		return "true", by, !now(stopped)
	case ever(apart):
		return "justified", by, !now(apart)
	case ever(func(t *scenario.Truth) bool { return held(t, s) }):
		return "about frozen", by, false
	}
	return "about healthy", by, false
}

func (w *world) doubters(s int) int {
	n := 0
	for o := range w.belief {
		if o != s && w.truth.Running(o) && (w.belief[o][s] == "suspect" || w.belief[o][s] == "failed") {
			n++
		}
	}
	return n
}

func (w *world) failed(s int) int {
	n := 0
	for o := range w.belief {
		if o != s && w.truth.Running(o) && w.belief[o][s] == "failed" {
			n++
		}
	}
	return n
}

func (w *world) wrong() int {
	n := 0
	for o := range w.belief {
		for s, b := range w.belief[o] {
			if o != s && w.truth.Running(o) && (b == "alive" || b == "suspect") != w.truth.Running(s) {
				n++
			}
		}
	}
	return n
}

// suspectedSince says since when what held before entry k has held without interruption.
func (w *twin) suspectedSince(k int) time.Duration {
	o, s := w.history[k].seen.Observer, w.history[k].seen.Subject
	back := func(holds func(*world) bool) time.Duration {
		since := w.history[k].at
		for i := k; i > 0 && holds(w.world(i)); i-- {
			since = w.history[i-1].at
		}
		return since
	}
	if since := back(func(x *world) bool { return x.belief[o][s] == "suspect" }); w.world(k).belief[o][s] == "suspect" {
		return since
	}
	return back(func(x *world) bool { return x.doubters(s) > 0 })
}

// verdict is one verdict of a history.
type verdict struct {
	k, observer, subject int
	at, suspected        time.Duration
}

func (w *twin) verdicts() []verdict {
	var out []verdict
	for k, e := range w.history {
		if e.seen == nil || e.seen.Kind != membership.ChangeFailed || e.at < 0 || w.world(k).belief[e.seen.Observer][e.seen.Subject] == "failed" {
			continue
		}
		out = append(out, verdict{k, e.seen.Observer, e.seen.Subject, e.at, w.suspectedSince(k)})
	}
	return out
}

func (c *Classes) count(class, by string) {
	b := map[string]*ByStanding{"true": &c.True, "justified": &c.Justified, "about frozen": &c.FalseFrozen, "about healthy": &c.FalseHealthy}[class]
	*map[string]*int{"healthy": &b.Healthy, "frozen": &b.Frozen, "cut off": &b.CutOff}[by]++
}

// judge returns what the run came to, apart from load and examples.
func (w *twin) judge() RunResult {
	n := len(w.plan.Nodes)
	last := w.world(len(w.history))
	r := RunResult{Seed: w.plan.Seed, Nodes: n, End: seconds(w.plan.End), Joined: never, Crashes: []Crash{}, EndStates: []EndState{}}
	falseAbout, falseHealthy := map[int]bool{}, map[int]bool{}
	for _, v := range w.verdicts() {
		class, by, late := w.classify(v.observer, v.subject, v.at, v.suspected)
		r.Verdicts.count(class, by)
		if late {
			r.Verdicts.Late++
		}
		if strings.HasPrefix(class, "about") {
			falseAbout[v.subject] = true
		}
		if class == "about healthy" {
			falseHealthy[v.subject] = true
		}
	}
	r.Verdicts.FalseSubjects, r.Verdicts.FalseHealthySubjects = len(falseAbout), len(falseHealthy)
	w.accusations(&r)
	refuted := map[string]bool{}
	for k, e := range w.history {
		if e.seen != nil && e.seen.Kind == membership.ChangeRefuted && e.at >= 0 {
			refuted[fmt.Sprint(e.seen.Subject, w.world(k).lives[e.seen.Subject], e.seen.Incarnation)] = true
		}
	}
	r.Refutations = len(refuted)
	w.changes(&r)
	w.crashes(&r)
	w.convergence(&r)
	for s := range n {
		if last.truth.Running(s) {
			r.RunningAtEnd++
		}
	}
	for s := range n {
		e := EndState{Node: scenario.NodeName(s)}
		others := 0
		for o := range n {
			if o == s || !last.truth.Running(o) {
				continue
			}
			others++
			*map[string]*int{"alive": &e.Alive, "suspect": &e.Suspect, "failed": &e.Failed, "left": &e.Left, "forgotten": &e.Unlisted, "unheard": &e.Unlisted}[last.belief[o][s]]++
		}
		if e.Alive != others {
			r.EndStates = append(r.EndStates, e)
		}
	}
	for o := range n {
		h := HeldFailed{Observer: scenario.NodeName(o)}
		for s := range n {
			if s != o && last.truth.Running(o) && last.belief[o][s] == "failed" {
				h.Failed = append(h.Failed, scenario.NodeName(s))
			}
		}
		if h.Failed != nil {
			r.HeldFailed = append(r.HeldFailed, h)
		}
	}
	return r
}

func (w *twin) accusations(r *RunResult) {
	known := map[string]bool{}
	for k, e := range w.history {
		if e.accused == nil {
			continue
		}
		a, lives := e.accused, w.world(k).lives
		key := fmt.Sprint(a.Accuser, lives[a.Accuser], a.Subject, lives[a.Subject], a.Incarnation)
		if !known[key] && e.at >= 0 {
			class, by, _ := w.classify(a.Accuser, a.Subject, e.at, e.at)
			r.Accusations.count(class, by)
		}
		known[key] = true
	}
}

func (w *twin) changes(r *RunResult) {
	n := len(w.plan.Nodes)
	view, list := newTally(n), newTally(n)
	up := map[string]bool{"alive": true, "suspect": true}
	for k, e := range w.history {
		if e.seen == nil || e.at < 0 {
			continue
		}
		before, after := w.world(k).belief[e.seen.Observer][e.seen.Subject], w.world(k + 1).belief[e.seen.Observer][e.seen.Subject]
		if before == after || before == "unheard" {
			continue
		}
		view.add(e.seen.Observer, e.seen.Subject)
		if up[before] != up[after] {
			list.add(e.seen.Observer, e.seen.Subject)
		}
	}
	r.ViewChanges, r.ListChanges = view.result(), list.result()
}

func (w *twin) crashes(r *RunResult) {
	verdicts := w.verdicts()
	for k, e := range w.history {
		if e.action == nil || e.action.Verb != scenario.Kill {
			continue
		}
		node, from := e.action.Node, e.at
		until, through, final := w.plan.End, w.plan.End, len(w.history)
		for i, later := range w.history[k+1:] {
			if later.action != nil && later.action.Verb == scenario.Start && later.action.Node == node {
				// The crash lasts until just before all that happens at the moment of the start.
				until, through = later.at, later.at-1
				for final = k + 1 + i; w.history[final-1].at == until && w.history[final-1].action != nil; final-- {
				}
				break
			}
		}
		c := Crash{Node: scenario.NodeName(node), At: seconds(from), Until: seconds(until), Times: []Number{}}
		var times []time.Duration
		for o := range w.plan.Nodes {
			awayUntil := func(t time.Duration) bool {
				return w.everHolds(from, t, func(x *scenario.Truth) bool { return w.away(x, o) })
			}
			v := slices.IndexFunc(verdicts, func(v verdict) bool {
				return v.observer == o && v.subject == node && v.k > k && v.k < final
			})
			b := w.world(final).belief[o][node]
			switch {
			case o == node:
			case v >= 0 && !awayUntil(verdicts[v].at):
				times = append(times, verdicts[v].at-from)
			case v >= 0 || awayUntil(through):
				c.Excused++
			case b == "alive" || b == "suspect":
				c.Undetected++
			default:
				c.Already++
			}
		}
		slices.Sort(times)
		for _, t := range times {
			c.Times = append(c.Times, seconds(t))
		}
		c.First, c.Majority, c.Full, c.Spread = never, never, never, never
		if len(times) > 0 {
			c.First = c.Times[0]
		}
		if need := (len(times)+c.Undetected)/2 + 1; len(times) >= need {
			c.Majority = c.Times[need-1]
		}
		if len(times) > 0 && c.Undetected == 0 {
			c.Full, c.Spread = c.Times[len(times)-1], seconds(times[len(times)-1]-times[0])
		}
		r.Crashes = append(r.Crashes, c)
	}
}

func (w *twin) convergence(r *RunResult) {
	last := time.Duration(0)
	for _, a := range w.plan.Actions {
		last = a.At
	}
	c := Convergence{LastAction: seconds(last), First: never, Settled: never}
	start, right := time.Duration(0), true
	for k, e := range w.history {
		switch now := w.world(k+1).wrong() == 0; {
		case now && !right:
			start = max(0, e.at)
		case right && !now && e.at > last && c.First.Never():
			c.First = seconds(max(start, last) - last)
		}
		right = w.world(k+1).wrong() == 0
	}
	if c.WrongAtEnd = w.world(len(w.history)).wrong(); c.WrongAtEnd == 0 {
		c.Settled = seconds(max(start, last) - last)
		c.First = min(c.First, c.Settled)
	}
	r.Convergence = c
}

// hot returns the largest number of observers that hold a node failed within a bucket.
func (w *twin) hot(s, bucket int, length time.Duration, buckets int) int {
	most, carried := 0, 0
	for k, e := range w.history {
		now := w.world(k + 1).failed(s)
		switch b := min(buckets-1, int(e.at/length)); {
		case e.at < 0 || b < bucket:
			carried = now
		case b == bucket:
			most = max(most, now)
		}
	}
	return max(most, carried)
}
