package fabric

import "time"

// event is something that happens at an instant; fire runs under the
// network's lock.
type event interface {
	fire(n *Network)
}

type scheduled struct {
	at  time.Duration
	seq uint64
	ev  event
}

func (a *scheduled) before(b *scheduled) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// scheduler is a binary heap of events by time, and by order of scheduling
// among those of the same instant, with a single timer for the first of them.
type scheduler struct {
	heap    []scheduled
	seq     uint64
	timer   *time.Timer
	armed   time.Duration // the instant of the timer, when it is set
	set     bool
	running bool // run is at work and will look at the heap again
	ready   []*delivery
}

// schedule has ev fire at the given instant, at once when that has passed.
func (n *Network) schedule(at time.Duration, ev event) {
	s := &n.sched
	s.seq++
	s.push(scheduled{at, s.seq, ev})
	if !s.running {
		n.arm()
	}
}

// arm sets the timer to the first event.
func (n *Network) arm() {
	s := &n.sched
	if len(s.heap) == 0 {
		return
	}
	at := s.heap[0].at
	if s.set && s.armed <= at {
		return
	}
	s.armed, s.set = at, true
	wait := at - n.now()
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, n.run)
	} else {
		s.timer.Reset(wait)
	}
}

// run fires all events that are due and hands the packets that became ready
// to their nodes, with the lock released, in order. Only one run is at work at
// a time.
func (n *Network) run() {
	s := &n.sched
	n.mu.Lock()
	if s.running {
		n.mu.Unlock()
		return
	}
	s.running, s.set = true, false
	var batch []*delivery
	for {
		for now := n.now(); len(s.heap) > 0 && s.heap[0].at <= now; {
			s.pop().fire(n)
		}
		if len(s.ready) == 0 {
			break
		}
		batch, s.ready = s.ready, batch[:0]
		n.mu.Unlock()
		for i, d := range batch {
			d.ep.deliver(d)
			batch[i] = nil
		}
		n.mu.Lock()
	}
	s.ready = batch[:0]
	s.running = false
	n.arm()
	n.mu.Unlock()
}

func (s *scheduler) push(x scheduled) {
	s.heap = append(s.heap, x)
	i := len(s.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !x.before(&s.heap[parent]) {
			break
		}
		s.heap[i] = s.heap[parent]
		i = parent
	}
	s.heap[i] = x
}

func (s *scheduler) pop() event {
	first := s.heap[0].ev
	last := len(s.heap) - 1
	x := s.heap[last]
	s.heap[last] = scheduled{}
	s.heap = s.heap[:last]
	if last == 0 {
		return first
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && s.heap[child+1].before(&s.heap[child]) {
			child++
		}
		if !s.heap[child].before(&x) {
			break
		}
		s.heap[i] = s.heap[child]
		i = child
	}
	s.heap[i] = x
	return first
}
