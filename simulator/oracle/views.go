package oracle

import (
	"time"

	"heartbeat/membership"
)

// belief is what an observer takes a subject to be: a [membership.State], or one of these two.
type belief uint8

const (
	unheard   belief = 0                           // this process never listed it
	forgotten        = belief(membership.Left + 1) // it listed it, and removed it
)

// listed says whether the observer counts the subject among those that are up.
func (b belief) listed() bool {
	return b == believe(membership.Alive) || b == believe(membership.Suspect)
}

// doubts says whether the observer suspects the subject or holds it failed.
func (b belief) doubts() bool {
	return b == believe(membership.Suspect) || b == believe(membership.Failed)
}

func believe(s membership.State) belief { return belief(s) }

// views are what all running nodes believe about all others.
type views struct {
	n       int
	pair    []belief        // by observer*n + subject
	since   []time.Duration // of pair
	running []bool

	wrong      int             // pairs of a running observer and another node in which listed is not running
	doubters   []int           // of each subject: running observers that doubt it
	doubtSince []time.Duration // when the number of doubters last left 0
	failed     []int           // of each subject: running observers that hold it failed

	viewChanges, listChanges tally
}

// tally counts changes by who changed its mind and by whom it was about.
type tally struct{ byObserver, bySubject []int }

func newTally(n int) tally { return tally{make([]int, n), make([]int, n)} }

func (t tally) add(observer, subject int) {
	t.byObserver[observer]++
	t.bySubject[subject]++
}

// newViews returns the views of n nodes that run and list each other as alive.
func newViews(n int) *views {
	v := &views{
		n: n, pair: make([]belief, n*n), since: make([]time.Duration, n*n), running: make([]bool, n),
		doubters: make([]int, n), doubtSince: make([]time.Duration, n), failed: make([]int, n),
		viewChanges: newTally(n), listChanges: newTally(n),
	}
	for i := range v.pair {
		v.pair[i] = believe(membership.Alive)
	}
	for i := range v.running {
		v.running[i] = true
	}
	return v
}

func (v *views) get(observer, subject int) belief { return v.pair[observer*v.n+subject] }

// put changes what a running observer believes about another node. It says whether that is a change of state.
func (v *views) put(at time.Duration, observer, subject int, now belief) bool {
	before := v.get(observer, subject)
	if now == before {
		return false
	}
	v.weigh(observer, subject, -1)
	v.pair[observer*v.n+subject], v.since[observer*v.n+subject] = now, at
	v.weigh(observer, subject, +1)
	v.count(at, subject, before, now)
	// That a new process hears of those that are there is no change of what is there.
	if at >= 0 && before != unheard {
		v.viewChanges.add(observer, subject)
		if before.listed() != now.listed() {
			v.listChanges.add(observer, subject)
		}
	}
	return true
}

// weigh adds the pair to those that are wrong, or takes it out, when it is wrong.
func (v *views) weigh(observer, subject, sign int) {
	if v.get(observer, subject).listed() != v.running[subject] {
		v.wrong += sign
	}
}

// count keeps the numbers of running observers that doubt a subject or hold it failed.
func (v *views) count(at time.Duration, subject int, before, now belief) {
	v.failed[subject] += one(now == believe(membership.Failed)) - one(before == believe(membership.Failed))
	if before.doubts() == now.doubts() {
		return
	}
	if v.doubters[subject] == 0 {
		v.doubtSince[subject] = at
	}
	v.doubters[subject] += one(now.doubts()) - one(before.doubts())
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// switchNode notes that a node stops or starts. A stopped node has no view; a new process lists nobody.
func (v *views) switchNode(at time.Duration, x int, runs bool) {
	if v.running[x] == runs {
		return
	}
	for other := range v.n {
		if other == x {
			continue
		}
		if v.running[other] {
			v.weigh(other, x, -1)
		}
		if runs {
			v.weigh(x, other, +1)
		} else {
			v.weigh(x, other, -1)
			v.count(at, other, v.get(x, other), unheard)
			v.pair[x*v.n+other] = unheard
		}
	}
	v.running[x] = runs
	for other := range v.n {
		if other != x && v.running[other] {
			v.weigh(other, x, +1)
		}
	}
}

// suspectedSince returns when the suspicion began that a verdict of now by the observer about the subject rests
// on: its own, else that of anybody who doubts the subject, else now.
func (v *views) suspectedSince(now time.Duration, observer, subject int) time.Duration {
	switch {
	case v.get(observer, subject) == believe(membership.Suspect):
		return v.since[observer*v.n+subject]
	case v.doubters[subject] > 0:
		return v.doubtSince[subject]
	}
	return now
}
