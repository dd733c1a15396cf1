package gossip

import (
	"sync"
	"sync/atomic"
	"time"

	"heartbeat/membership"
)

// patientPings are the pings of one patient look, half a probe interval apart.
const patientPings = 8

// The members notice at about the same moment that one of them is accused by many. So that they do not all look at it
// together, each waits for a random time, as long as makes them lookApart apart on average.
const (
	lookApart    = 50 * time.Millisecond
	maxLookDelay = 50 * time.Second
)

// lookPatiently pings the subject many times and reports how many of the pings, and of the engine's own meanwhile, were
// answered, which it knows verdict.silence after the last one or, when enough of them were, at once. The engine waits for no
// answer as long as that: the tap counts them. Controls get one ping each, half a probe interval apart.
func (n *Node) lookPatiently(p membership.PatientProbe) {
	if !n.sleep(n.jitter(min(time.Duration(n.roster.heldCount())*lookApart, maxLookDelay))) {
		return
	}
	const enough = patientPings/2 + 1 // of all: the core needs to know no more
	w := n.tap.answers.watch(p.Subject.Name, enough)
	defer n.tap.answers.forget(w)
	done, controls := make(chan bool, patientPings), make(chan bool, len(p.Controls))
	for i, target := range p.Controls {
		n.pingAfter(time.Duration(i)*n.cfg.ProbeInterval/2, target, controls)
	}
	for range patientPings {
		n.pingAfter(0, p.Subject, done)
		if !n.waitFor(w.enough, n.cfg.ProbeInterval/2) {
			break
		}
	}
	n.tap.answers.noMore(w)
	n.waitFor(w.enough, max(n.cfg.VerdictSilence, n.cfg.ProbeTimeout))
	outcome := membership.PatientlyProbed{Subject: p.Subject.Name, Pings: int(w.sent.Load()), Answers: int(w.count.Load()), ControlsAsked: len(p.Controls)}
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

	mu    sync.Mutex
	names map[string]*watch // guarded by mu; whose pings are counted
	pings map[uint32]*watch // guarded by mu; at most maxWatchedPings
}

// maxWatchedPings bounds what is remembered; the core looks at 16 members patiently at a time, and the engine probes them beside that.
const maxWatchedPings = 1024

// watch is one member watched.
type watch struct {
	name   string
	least  int32
	sent   atomic.Int32
	count  atomic.Int32
	enough chan struct{} // closed when count reaches least
}

// watch begins to count the answers of a member, until forget is called once; pings of the same name count for the last watch.
func (a *answers) watch(name string, enough int32) *watch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names == nil {
		a.names, a.pings = make(map[string]*watch), make(map[uint32]*watch)
	}
	w := &watch{name: name, least: enough, enough: make(chan struct{})}
	a.names[name] = w
	a.active.Add(1)
	return w
}

// forget ends a watch.
func (a *answers) forget(w *watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names[w.name] == w {
		delete(a.names, w.name)
	}
	for seqNo, other := range a.pings {
		if other == w {
			delete(a.pings, seqNo)
		}
	}
	a.active.Add(-1)
}

// noMore ends the counting of pings; their answers are still counted.
func (a *answers) noMore(w *watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names[w.name] == w {
		delete(a.names, w.name)
	}
}

// sent takes that a ping of a member is on its way.
func (a *answers) sent(seqNo uint32, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.names[name]; w != nil && len(a.pings) < maxWatchedPings {
		a.pings[seqNo] = w
		w.sent.Add(1)
	}
}

// acked takes that a ping was answered.
func (a *answers) acked(seqNo uint32) {
	if a.active.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.pings[seqNo]
	if w == nil {
		return
	}
	delete(a.pings, seqNo)
	if w.count.Add(1) == w.least {
		close(w.enough)
	}
}
