package oracle

import (
	"errors"
	"fmt"
	"math"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

// maxExamples bounds the false alarms that a result describes one by one.
const maxExamples = 50

// Judge follows one run and classifies what nodes believe. It begins at time 0 with all nodes running and listing
// each other as alive; what it is told of the time before changes that. See the package's comment.
//
// It needs memory for every pair of nodes (9 bytes) and every verdict about a crash, not for every observation. It
// is not safe for concurrent use.
type Judge struct {
	plan   *scenario.Plan
	timing Timing
	truth  *scenario.Truth
	next   int           // the first action not yet applied
	now    time.Duration // of the latest input

	nodes   []node
	net     network
	views   *views
	heat    *heat
	loads   loads
	uses    *uses
	crashes []*openCrash // by node
	ran     time.Duration

	rightSince time.Duration // since when no view is wrong, when none is
	firstRight time.Duration // the first such moment after the last action; negative: not yet

	accused map[accusation]struct{}
	refuted map[refutation]struct{}
	alarmed []Class // of each node, the worst false alarm about it; True when there is none
	result  RunResult
}

// accusation and refutation tell those apart that count once each.
type accusation struct {
	accuser, accuserLife, subject, subjectLife int
	incarnation                                uint32
}

type refutation struct {
	subject, life int
	incarnation   uint32
}

// New returns the judge of one run of the plan. Engines whose actions take effect later than planned pass a copy
// of the plan with the times at which they did.
func New(plan *scenario.Plan, timing Timing) (*Judge, error) {
	n := len(plan.Nodes)
	if err := timing.validate(); err != nil {
		return nil, err
	}
	if n < scenario.MinNodes || plan.End <= 0 {
		return nil, fmt.Errorf("judge a run: the plan has %d nodes and ends at %s", n, plan.End)
	}
	j := &Judge{
		plan: plan, timing: timing, truth: scenario.NewTruth(plan), now: math.MinInt64,
		nodes: make([]node, n), net: network{keep: timing.Longest}, views: newViews(n), heat: newHeat(n, plan.End),
		loads: loads{until: make([]time.Duration, n)}, uses: newUses(plan), crashes: make([]*openCrash, n),
		firstRight: -1, rightSince: 0,
		accused: map[accusation]struct{}{}, refuted: map[refutation]struct{}{}, alarmed: make([]Class, n),
		result: RunResult{
			Seed: plan.Seed, Nodes: n, End: seconds(plan.End), Joined: never,
			Crashes: []Crash{}, EndStates: []EndState{}, Examples: []Example{},
		},
	}
	for i := range j.nodes {
		j.nodes[i] = node{stopped: unmarked, held: unmarked, cut: unmarked, away: unmarked}
	}
	j.look(math.MinInt64)
	return j, nil
}

func (j *Judge) name(node int) string { return scenario.NodeName(node) }

// Joined notes how long after the first start every node listed every other as alive.
func (j *Judge) Joined(after time.Duration) { j.result.Joined = seconds(after) }

// BreakOff notes that the run was broken off, and why, as a phrase such as "the nodes did not agree within 10m".
func (j *Judge) BreakOff(reason string) { j.result.BrokenOff = reason }

// CPU notes how much processor time the run took in all.
func (j *Judge) CPU(total time.Duration) { j.result.CPU = seconds(total) }

// Clock notes how exact the times are.
func (j *Judge) Clock(c Clock) { j.result.Clock = &c }

// advance lets the plan's actions happen up to and including a moment. What happens at the same moment
// happens together, and before what nodes note at it.
func (j *Judge) advance(to time.Duration) {
	for j.next < len(j.plan.Actions) && j.plan.Actions[j.next].At <= to {
		at := j.plan.Actions[j.next].At
		// A crash that ends now is judged by what was the case until now.
		for _, a := range j.plan.Actions[j.next:] {
			if a.At == at && a.Verb == scenario.Start {
				j.endCrash(at, a.Node)
			}
			if a.At > at {
				break
			}
		}
		for j.next < len(j.plan.Actions) && j.plan.Actions[j.next].At == at {
			j.apply(j.plan.Actions[j.next])
			j.next++
		}
		j.look(at)
	}
	j.now = to
}

func (j *Judge) apply(a scenario.Action) {
	wrong := j.views.wrong
	j.truth.Apply(a)
	n := &j.nodes[a.Node]
	switch a.Verb {
	case scenario.On, scenario.Off:
		j.net.toggle(a.Fault, a.Verb == scenario.On)
		return
	case scenario.Kill, scenario.Leave:
		n.leaving, n.stoppedAt = a.Verb == scenario.Leave, a.At
		j.ran += a.At // its end; the beginning is taken off at the start
		if a.Verb == scenario.Kill {
			j.crashes[a.Node] = &openCrash{at: a.At, place: len(j.result.Crashes), decided: make([]bool, len(j.nodes))}
			j.result.Crashes = append(j.result.Crashes, Crash{})
		}
	case scenario.Start:
		j.endCrash(a.At, a.Node)
		n.leaving, n.life = false, n.life+1
		j.ran -= a.At
	}
	j.views.switchNode(a.At, a.Node, a.Verb == scenario.Start)
	for i, count := range j.views.failed {
		j.heat.put(a.At, i, count)
	}
	j.weigh(a.At, wrong)
}

// look notes what is the case with every node now.
func (j *Judge) look(at time.Duration) {
	e := j.net.begin(at, j.truth, len(j.nodes))
	cut := e.cutOff()
	for i := range j.nodes {
		n := &j.nodes[i]
		running := j.truth.Running(i)
		isCut := running && cut[e.class[i]]
		n.stopped.update(at, !running)
		n.held.update(at, running && !j.truth.Healthy(i))
		n.cut.update(at, isCut)
		n.away.update(at, !running || isCut || j.truth.Frozen(i))
	}
}

// weigh follows whether all views are right, after a change at a moment.
func (j *Judge) weigh(at time.Duration, before int) {
	switch after := j.views.wrong; {
	case before > 0 && after == 0:
		j.rightSince = max(0, at)
	case before == 0 && after > 0 && at > j.lastAction():
		j.sawRight()
	}
}

// sawRight notes that views were right for a while after the last action.
func (j *Judge) sawRight() {
	if j.firstRight < 0 {
		j.firstRight = max(j.rightSince, j.lastAction())
	}
}

func (j *Judge) lastAction() time.Duration {
	if len(j.plan.Actions) == 0 {
		return 0
	}
	return j.plan.Actions[len(j.plan.Actions)-1].At
}

// Observe takes one change of a view. It returns an error, and takes nothing, when the observation cannot be: a
// node that there is not, a time before that of an earlier one, an observer that was killed before, a node that
// declares itself failed. A history with such an entry is not worth judging.
func (j *Judge) Observe(o Observation) error {
	if o.Kind < membership.ChangeJoined || o.Kind > membership.ChangeLapsed {
		return fmt.Errorf("take an observation at %s: the kind %v is not known", o.At, o.Kind)
	}
	if o.Observer == o.Subject && o.Kind == membership.ChangeFailed {
		return fmt.Errorf("take an observation at %s: node %d declares itself failed", o.At, o.Observer)
	}
	if ok, err := j.admit("an observation", o.At, o.Observer, o.Subject); !ok {
		return err
	}
	if o.Kind == membership.ChangeRefuted && o.At >= 0 {
		j.refuted[refutation{o.Subject, j.nodes[o.Subject].life, o.Incarnation}] = struct{}{}
	}
	now, changes := outcome(o.Kind)
	if !changes || o.Observer == o.Subject {
		return nil
	}
	if now == believe(membership.Failed) && j.views.get(o.Observer, o.Subject) != now && o.At >= 0 {
		j.verdict(o.Observer, o.Subject)
	}
	wrong := j.views.wrong
	if j.views.put(o.At, o.Observer, o.Subject, now) {
		j.heat.put(o.At, o.Subject, j.views.failed[o.Subject])
		j.weigh(o.At, wrong)
	}
	return nil
}

// outcome returns what an observer believes after a change, and whether the change is about that.
func outcome(k membership.ChangeKind) (belief, bool) {
	switch k {
	case membership.ChangeJoined, membership.ChangeRefuted, membership.ChangeLapsed:
		return believe(membership.Alive), true
	case membership.ChangeSuspected:
		return believe(membership.Suspect), true
	case membership.ChangeFailed:
		return believe(membership.Failed), true
	case membership.ChangeLeft:
		return believe(membership.Left), true
	case membership.ChangeRemoved:
		return forgotten, true
	}
	return 0, false
}

// admit checks who says something about whom and when, and goes on to that moment. ok is false when it is to be
// passed over: with an error when it cannot be.
func (j *Judge) admit(what string, at time.Duration, observer, subject int) (ok bool, err error) {
	n := len(j.nodes)
	switch {
	case observer < 0 || observer >= n || subject < 0 || subject >= n:
		return false, fmt.Errorf("take %s at %s: there is no node %d or no node %d among %d", what, at, observer, subject, n)
	case at < j.now:
		return false, fmt.Errorf("take %s at %s: time ran backwards, the last one was at %s", what, at, j.now)
	case at > j.plan.End:
		return false, nil
	}
	j.advance(at)
	o := &j.nodes[observer]
	switch {
	case j.truth.Running(observer):
		return true, nil
	case o.leaving || o.stoppedAt == at:
		// A goodbye takes a while, and in the instant of a kill either may come first.
		return false, nil
	}
	return false, fmt.Errorf("take %s at %s: %s saw it, but was killed at %s", what, at, j.name(observer), o.stoppedAt)
}

// verdict counts that an observer comes to hold a subject failed, now.
func (j *Judge) verdict(observer, subject int) {
	suspected := j.views.suspectedSince(j.now, observer, subject)
	f := j.judge(observer, subject, suspected)
	j.result.Verdicts.add(f)
	if f.late {
		j.result.Verdicts.Late++
	}
	j.noticed(observer, subject)
	if f.class < FalseFrozen {
		return
	}
	j.alarmed[subject] = max(j.alarmed[subject], f.class)
	if len(j.result.Examples) < maxExamples {
		j.result.Examples = append(j.result.Examples, Example{
			At: seconds(j.now), Suspected: seconds(suspected),
			Observer: j.name(observer), Subject: j.name(subject), Class: f.class.String(),
		})
	}
}

// Accuse takes one accusation. It returns an error, and takes nothing, under the conditions of [Judge.Observe].
func (j *Judge) Accuse(a Accusation) error {
	if a.Accuser == a.Subject {
		return fmt.Errorf("take an accusation at %s: node %d accuses itself", a.At, a.Accuser)
	}
	if ok, err := j.admit("an accusation", a.At, a.Accuser, a.Subject); !ok {
		return err
	}
	key := accusation{a.Accuser, j.nodes[a.Accuser].life, a.Subject, j.nodes[a.Subject].life, a.Incarnation}
	if _, known := j.accused[key]; known {
		return nil
	}
	j.accused[key] = struct{}{}
	if a.At >= 0 {
		j.result.Accusations.add(j.judge(a.Accuser, a.Subject, a.At))
	}
	return nil
}

// ErrFinished is returned by the second call of [Judge.Finish].
var ErrFinished = errors.New("finish a run: it was finished before")

// Finish lets the rest of the plan happen and returns the result. It is the last call.
func (j *Judge) Finish() (RunResult, error) {
	if j.heat == nil {
		return RunResult{}, ErrFinished
	}
	j.advance(j.plan.End)
	for i := range j.nodes {
		j.endCrash(j.plan.End, i)
		if j.truth.Running(i) {
			j.ran += j.plan.End
			j.result.RunningAtEnd++
		}
	}
	r := &j.result
	r.Refutations = len(j.refuted)
	r.ViewChanges, r.ListChanges = j.views.viewChanges.result(), j.views.listChanges.result()
	for _, worst := range j.alarmed {
		r.Verdicts.FalseSubjects += one(worst >= FalseFrozen)
		r.Verdicts.FalseHealthySubjects += one(worst == FalseHealthy)
	}
	r.Load, r.Processes = j.loads.result(j.ran), j.uses.result()
	r.Heat, j.heat = j.heat.finish(), nil
	r.Bands = Bands(j.plan)
	j.converge()
	r.HeldFailed = j.views.heldFailed()
	for i := range j.nodes {
		if s := j.views.endState(i); s.Alive != r.RunningAtEnd-one(j.truth.Running(i)) {
			r.EndStates = append(r.EndStates, s)
		}
	}
	return *r, nil
}

func (j *Judge) converge() {
	c, last := &j.result.Convergence, j.lastAction()
	*c = Convergence{LastAction: seconds(last), First: never, Settled: never, WrongAtEnd: j.views.wrong}
	if j.views.wrong == 0 {
		j.sawRight()
		c.Settled = seconds(max(j.rightSince, last) - last)
	}
	if j.firstRight >= 0 {
		c.First = seconds(j.firstRight - last)
	}
}

// result finds the largest numbers.
func (t tally) result() Changes {
	var c Changes
	for i := range t.byObserver {
		c.Total += t.byObserver[i]
		if t.byObserver[i] > c.MostByObserver {
			c.MostByObserver, c.WorstObserver = t.byObserver[i], scenario.NodeName(i)
		}
		if t.bySubject[i] > c.MostAboutSubject {
			c.MostAboutSubject, c.WorstSubject = t.bySubject[i], scenario.NodeName(i)
		}
	}
	return c
}

// endState counts as what the running nodes see a node.
func (v *views) endState(subject int) EndState {
	s := EndState{Node: scenario.NodeName(subject)}
	for o := range v.n {
		if o == subject || !v.running[o] {
			continue
		}
		switch v.get(o, subject) {
		case believe(membership.Alive):
			s.Alive++
		case believe(membership.Suspect):
			s.Suspect++
		case believe(membership.Failed):
			s.Failed++
		case believe(membership.Left):
			s.Left++
		default:
			s.Unlisted++
		}
	}
	return s
}
