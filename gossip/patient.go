package gossip

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"heartbeat/membership"
)

// patientPings are the pings of one patient look, half a probe interval apart. The first of them must be enough to tell one that is late:
// the others wait until their answers would have come. All members look at one that is late, and what they send waits in its buffer.
const (
	patientPings = 8
	firstPings   = 3
	// lateAnswers tell that a member is late; another member may have relayed a single one.
	lateAnswers = 2
)

// The members notice at about the same moment that one of them is accused by many. So that they do not all look at it
// together, each waits for a random time, as long as makes them lookApart apart on average.
const (
	lookApart    = 50 * time.Millisecond
	maxLookDelay = 50 * time.Second
)

// lookPatiently pings the subject many times and reports how many of the pings, and of the engine's own meanwhile, were
// answered, which it knows verdict.silence after the last one or, when enough of them were or most of them late, at once. The engine waits for no
// answer as long as that: the tap counts them. Controls get one ping each, half a probe interval apart.
func (n *Node) lookPatiently(p membership.PatientProbe) {
	if !n.sleep(n.jitter(min(time.Duration(n.roster.heldCount())*lookApart, maxLookDelay))) {
		return
	}
	const enough = patientPings/2 + 1 // of all: the core needs to know no more
	w := n.tap.answers.watch(p.Subject.Name, enough, n.cfg.ProbeTimeout)
	defer n.tap.answers.forget(w)
	done, controls := make(chan bool, patientPings), make(chan bool, len(p.Controls))
	for i, target := range p.Controls {
		n.pingAfter(time.Duration(i)*n.cfg.ProbeInterval/2, target, controls)
	}
	patience := max(n.cfg.VerdictSilence, n.cfg.ProbeTimeout)
	for i := range patientPings {
		n.pingAfter(0, p.Subject, done)
		pause := n.cfg.ProbeInterval / 2
		if i+1 == firstPings {
			pause = max(pause, patience)
		}
		if !n.waitFor(w.enough, pause) {
			break
		}
	}
	n.tap.answers.noMore(w)
	n.waitFor(w.enough, patience)
	outcome := membership.PatientlyProbed{Subject: p.Subject.Name, ControlsAsked: len(p.Controls)}
	outcome.Pings, outcome.Answers, outcome.Late = n.tap.answers.counts(w)
	for range p.Controls {
		select {
		case answered := <-controls:
			if answered {
				outcome.ControlsAnswered++
			}
		case <-n.ctx.Done():
			return
		}
	}
	n.inbox.put(outcome)
}

// answers counts which pings of certain members were acked, however late. Its zero value is ready.
type answers struct {
	active atomic.Int32 // watches that are not forgotten; while 0 nothing is noted

	mu      sync.Mutex
	watches map[string][]*watch    // guarded by mu; by the member
	pings   map[uint32]watchedPing // guarded by mu; at most maxWatchedPings
}

// watchedPing is one ping of a member that was watched.
type watchedPing struct {
	watches []*watch
	at      time.Time
}

// maxWatchedPings is more than what is under way at once: 16 patient looks of 8 pings, up to 128 last looks of 3 that wait for late answers, and
// the engine's probes of the same members.
const maxWatchedPings = 1024

// watch is one look at a member: the pings of it that are sent from its beginning until noMore, whoever sent them, and
// their answers.
type watch struct {
	name   string
	least  int
	inTime time.Duration // after which an answer is late
	enough chan struct{} // closed when all reaches least, or late answers tell that the member is late

	over, forgotten bool // guarded by answers.mu; noMore, forget was called
	told            bool // guarded by answers.mu; enough is closed
	sent            int  // guarded by answers.mu
	all             int  // guarded by answers.mu; answers
	late            int  // guarded by answers.mu; of all
}

// watch begins to count the answers of a member, until forget is called once.
func (a *answers) watch(name string, enough int, inTime time.Duration) *watch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watches == nil {
		a.watches, a.pings = make(map[string][]*watch), make(map[uint32]watchedPing)
	}
	w := &watch{name: name, least: enough, inTime: inTime, enough: make(chan struct{})}
	a.watches[name] = append(a.watches[name], w)
	a.active.Add(1)
	return w
}

// forget ends a watch.
func (a *answers) forget(w *watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.forgotten = true
	rest := slices.DeleteFunc(a.watches[w.name], func(other *watch) bool { return other == w })
	if a.watches[w.name] = rest; len(rest) == 0 {
		delete(a.watches, w.name)
	}
	maps.DeleteFunc(a.pings, func(_ uint32, p watchedPing) bool {
		return !slices.ContainsFunc(p.watches, func(w *watch) bool { return !w.forgotten })
	})
	a.active.Add(-1)
}

// noMore ends the counting of pings; their answers are still counted.
func (a *answers) noMore(w *watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.over = true
}

// counts returns how many pings were sent so far, how many of them were answered, and how many of those late.
func (a *answers) counts(w *watch) (sent, all, late int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return w.sent, w.all, w.late
}

// sent takes that a ping of a member is on its way.
func (a *answers) sent(seqNo uint32, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pings) >= maxWatchedPings {
		return
	}
	p := watchedPing{at: time.Now()}
	for _, w := range a.watches[name] {
		if !w.over {
			w.sent++
			p.watches = append(p.watches, w)
		}
	}
	if len(p.watches) > 0 {
		a.pings[seqNo] = p
	}
}

// acked takes that a ping was answered.
func (a *answers) acked(seqNo uint32) {
	if a.active.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.pings[seqNo]
	if !ok {
		return
	}
	delete(a.pings, seqNo)
	for _, w := range p.watches {
		w.all++
		if time.Since(p.at) > w.inTime {
			w.late++
		}
		if !w.told && (w.all >= w.least || w.late >= lateAnswers && 2*w.late > w.all) {
			w.told = true
			close(w.enough)
		}
	}
}
