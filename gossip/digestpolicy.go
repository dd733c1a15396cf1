package gossip

import (
	"slices"
	"time"

	"heartbeat/membership"
)

// syncPolicy decides when two views that differ are worth a full exchange of state. It has no clock, no network and no lock: its
// owner gives it the time and what was compared.
//
// Most differences pass by themselves: gossip is on its way. An exchange costs the whole table twice, so it is begun only
//
//   - when a view that has been quiet differs from those of two peers, or from one that holds many more: this node has missed something.
//     The engine probes one peer a second, and a probe may be lost, so after the first difference another peer is asked soon;
//   - while the view still grows, from a peer that holds more, when gossip will not close the gap soon: in a
//     cluster that starts all at once the news queue up for most of a minute, and what is known here changes all the time. Peers are asked
//     between probes then, for who has all of it is soon everybody else;
//   - when nothing has agreed with this node for long, however busy the view is.
//
// At most one exchange runs at a time, and one a second or so. What an exchange did not change is not tried again soon:
// some differences cannot be repaired (two nodes of one name, networks that one of them does not allow), and some
// are made up. News of others let it be tried anew, and come all the time in a busy cluster: so the more exchanges in a row
// have changed nothing, the longer the next waits, whoever it is with.
type syncPolicy struct {
	cfg  syncTimes
	draw func() float64 // from [0, 1)

	own       membership.Digest // as of the last comparison
	differing []string          // peers that differed lately, and since own changed and two in a row agreed; at most 2
	first     time.Time         // when the first of them did
	agreed    int               // how many have agreed since the last difference
	apart     time.Time         // the first difference since the last agreement, or the last exchange after it; zero = agreed
	rated     time.Time         // when rate was taken
	ratedHeld int
	rate      float64   // members a second by which the view grew lately
	grew      time.Time // when it last grew as fast as by a tenth in a spacing; first, the node's start
	asked     time.Time // when another peer was last to be asked
	running   bool
	mends     bool      // the exchange that runs is for a difference
	next      time.Time // no exchange begins before
	exchanged time.Time // the last full exchange with anybody, begun by whomever
	compared  time.Time // the last comparison
	futile    []futility
	vain      int // exchanges for a difference in a row that changed nothing here
}

// syncTimes are the times of a syncPolicy.
type syncTimes struct {
	quiet    time.Duration // the view has changed no more for so long: gossip about the change has reached everybody
	second   time.Duration // another peer is asked so long after a comparison that calls for it; the least time between two such questions
	spacing  time.Duration // least time between two exchanges
	horizon  time.Duration // gossip that closes a gap sooner is let do it
	patience time.Duration // without any agreement for so long, a busy view is exchanged too
	net      time.Duration // an exchange without any reason, stretched by the number of members; 0 = none
	blind    time.Duration // the same while there is nobody to compare with: none that tells its digest, or UDP is blocked
}

// futility is an exchange that changed nothing here. It is not repeated with that peer nor, unless it failed altogether, with
// others that have the peer's digest.
type futility struct {
	peer   string
	sum    uint64
	failed bool
	times  int
	until  time.Time
}

func (f *futility) covers(peer string, sum uint64) bool {
	return f.peer == peer || !f.failed && f.sum == sum
}

// Bounds of the memory of futile exchanges.
const (
	maxFutile     = 16
	maxFutileWait = 2 * time.Minute
	futileMemory  = 5 * time.Minute // after which it begins anew
)

// After vainFree exchanges that changed nothing, for two nodes may have missed the same, the wait between two of them doubles up to
// maxVainWait, which is as much as plain memberlist's.
const (
	vainFree    = 3
	maxVainWait = 30 * time.Second
)

// netMembers is the number of members up to which the net is not stretched. Beyond it is stretched in proportion, so that what it
// costs a node does not grow with the cluster.
const netMembers = 32

func newSyncPolicy(cfg syncTimes, now time.Time, draw func() float64) *syncPolicy {
	return &syncPolicy{cfg: cfg, draw: draw, grew: now, exchanged: now, compared: now}
}

// compare takes one comparison, of this node's digest, which has not changed since the given time, with a peer's. It returns
// whether an exchange with the peer is to begin now; done must then be called.
func (p *syncPolicy) compare(now time.Time, own membership.Digest, changed time.Time, peer string, theirs membership.Digest) bool {
	p.compared = now
	if own != p.own {
		p.differing = nil
		if own.Sum != p.own.Sum {
			p.futile = nil
		}
		p.own = own
	}
	p.measure(now, own.Held)
	if own == theirs {
		p.apart = time.Time{}
		if p.agreed++; p.agreed > 1 { // a single one may have missed the same
			p.differing = nil
		}
		return false
	}
	p.differ(now, peer)
	if !p.worthIt(now, own, changed, theirs) || p.running || now.Before(p.next) || p.isFutile(now, peer, theirs.Sum) {
		return false
	}
	p.running, p.mends = true, true
	return true
}

// ask says, after compare began no exchange, whether another peer is to be asked cfg.second later. It is so in two cases: the difference
// with this one is new on a quiet view, and a second one would begin an exchange; that at most once a spacing, and never while views agree
// or for a difference that no exchange repairs. Or the view grew lately, and two have not agreed yet: in a cluster that
// starts all at once most of the time goes by until a node happens to probe one that has what it lacks. Not so when exchanges have
// changed nothing, again and again.
func (p *syncPolicy) ask(now, changed time.Time, peer string, theirs membership.Digest) bool {
	switch since := now.Sub(p.asked); {
	case p.running:
		return false
	case p.joining(now):
		if p.agreed > 1 || since < p.cfg.second || p.vain > vainFree {
			return false
		}
	case len(p.differing) != 1 || p.own == theirs || now.Sub(changed) < p.cfg.quiet || since < p.cfg.spacing || p.isFutile(now, peer, theirs.Sum):
		return false
	}
	p.asked = now
	return true
}

// inDoubt says whether there is still a reason to ask somebody, and, unless many join, whom not to: the peer that alone differs from this
// node's digest.
func (p *syncPolicy) inDoubt(now time.Time, own membership.Digest) (but string, ok bool) {
	switch {
	case p.running:
		return "", false
	case p.joining(now):
		return "", p.agreed < 2
	case len(p.differing) != 1 || p.own != own:
		return "", false
	}
	return p.differing[0], true
}

// joining says whether the view grew much lately: many join, or a split has ended.
func (p *syncPolicy) joining(now time.Time) bool { return now.Sub(p.grew) < p.cfg.patience }

// differ notes a difference with the peer.
func (p *syncPolicy) differ(now time.Time, peer string) {
	p.agreed = 0
	if p.apart.IsZero() {
		p.apart = now
	}
	if now.Sub(p.first) > p.cfg.patience {
		p.differing = nil
	}
	if len(p.differing) == 0 {
		p.first = now
	}
	if len(p.differing) < 2 && (p.own.Held <= 2 || !slices.Contains(p.differing, peer)) {
		p.differing = append(p.differing, peer)
	}
}

// measure keeps how fast the view grows.
func (p *syncPolicy) measure(now time.Time, held int) {
	since := now.Sub(p.rated)
	if since < p.cfg.spacing/4 {
		return
	}
	p.rate = max(0, float64(held-p.ratedHeld)/since.Seconds())
	if p.ratedHeld > 0 && 10*p.rate*p.cfg.spacing.Seconds() > float64(held) {
		p.grew = now
	}
	p.rated, p.ratedHeld = now, held
}

// worthIt says whether the difference is a reason for an exchange.
func (p *syncPolicy) worthIt(now time.Time, own membership.Digest, changed time.Time, theirs membership.Digest) bool {
	behind := theirs.Held - own.Held
	large := behind > max(2, own.Held/10)
	switch {
	case now.Sub(changed) >= p.cfg.quiet:
		return large || len(p.differing) > 1
	case behind > 0 && (large || p.joining(now)):
		return float64(behind) > p.rate*p.cfg.horizon.Seconds()
	}
	return now.Sub(p.apart) >= p.cfg.patience
}

// done takes the end of an exchange with the peer, whose digest was theirs: whether it failed, and this node's digest from before and after.
func (p *syncPolicy) done(now time.Time, peer string, theirs uint64, before, after membership.Digest, failed bool) {
	p.running = false
	p.differing = nil
	if !failed && !p.apart.IsZero() {
		p.apart = now
	}
	if before.Sum != after.Sum || now.Sub(p.next) > futileMemory {
		p.vain = 0
	}
	if p.mends && !failed && before.Sum == after.Sum { // one that fails tells nothing of the difference
		p.vain = min(p.vain+1, 16)
	}
	spacing := max(p.cfg.spacing, min(p.cfg.spacing<<max(p.vain-vainFree, 0), maxVainWait))
	p.next = now.Add(spacing + time.Duration(p.draw()*float64(spacing)/4))
	if !failed {
		p.exchanged = now
	}
	if failed || before.Sum == after.Sum {
		p.noteFutile(now, futility{peer: peer, sum: theirs, failed: failed})
	}
}

func (p *syncPolicy) isFutile(now time.Time, peer string, sum uint64) bool {
	return slices.ContainsFunc(p.futile, func(f futility) bool {
		return f.covers(peer, sum) && now.Before(f.until)
	})
}

// noteFutile doubles the wait from a spacing up to maxFutileWait.
func (p *syncPolicy) noteFutile(now time.Time, f futility) {
	p.futile = slices.DeleteFunc(p.futile, func(old futility) bool {
		same := old.covers(f.peer, f.sum)
		if same && now.Sub(old.until) < futileMemory {
			f.times = max(f.times, old.times+1)
		}
		return same
	})
	if len(p.futile) >= maxFutile {
		p.futile = slices.Delete(p.futile, 0, 1)
	}
	f.until = now.Add(min(p.cfg.spacing<<min(f.times+1, 16), maxFutileWait))
	p.futile = append(p.futile, f)
}

// exchange notes a full exchange of state that somebody else has begun.
func (p *syncPolicy) exchange(now time.Time) { p.exchanged = now }

// due says whether an exchange without a reason is to begin now, with anybody; done must then be called.
func (p *syncPolicy) due(now time.Time, held int) bool {
	since, stretched := now.Sub(p.exchanged), func(d time.Duration) time.Duration { return d / netMembers * time.Duration(max(held, netMembers)) }
	blind := now.Sub(p.compared) >= p.cfg.blind && since >= stretched(p.cfg.blind)
	net := p.cfg.net > 0 && since >= stretched(p.cfg.net)
	if p.running || now.Before(p.next) || held < 2 || !blind && !net {
		return false
	}
	p.running, p.mends = true, false
	return true
}
