package gossip

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"heartbeat/membership"
)

var testTimes = syncTimes{
	quiet: 2 * time.Second, second: 500 * time.Millisecond, spacing: time.Second, horizon: 500 * time.Millisecond, patience: 10 * time.Second,
	net: 10 * time.Minute, blind: 15 * time.Second,
}

func digest(sum uint64, held int) membership.Digest { return membership.Digest{Sum: sum, Held: held} }

// comparison is one step of a test of the policy: what is compared when, and whether an exchange begins.
type comparison struct {
	at      time.Duration
	own     membership.Digest
	changed time.Duration // when own came to be
	peer    string
	theirs  membership.Digest
	want    bool
}

func TestSyncPolicy(t *testing.T) {
	const s = time.Second
	here, there := digest(1, 100), digest(2, 100)
	for name, steps := range map[string][]comparison{
		"agreement":              {{100 * s, here, 0, "a", here, false}, {101 * s, here, 0, "b", here, false}},
		"two peers differ":       {{100 * s, here, 0, "a", there, false}, {101 * s, here, 0, "b", there, true}},
		"one peer differs twice": {{100 * s, here, 0, "a", there, false}, {101 * s, here, 0, "a", there, false}, {102 * s, here, 0, "b", there, true}},
		"an agreement between":   {{100 * s, here, 0, "a", there, false}, {101 * s, here, 0, "b", here, false}, {102 * s, here, 0, "c", there, true}},
		"two agreements between": {{100 * s, here, 0, "a", there, false}, {101 * s, here, 0, "b", here, false},
			{102 * s, here, 0, "c", here, false}, {103 * s, here, 0, "d", there, false}},
		"a difference of long ago":                {{100 * s, here, 0, "a", there, false}, {111 * s, here, 0, "b", there, false}, {112 * s, here, 0, "c", there, true}},
		"two members, one of which differs twice": {{100 * s, digest(1, 2), 0, "a", digest(2, 2), false}, {101 * s, digest(1, 2), 0, "a", digest(2, 2), true}},
		"gossip arrived between": {{100 * s, here, 0, "a", there, false}, {101 * s, there, 100 * s, "b", digest(3, 100), false},
			{103 * s, there, 100 * s, "c", digest(3, 100), true}},
		"a peer that holds many more":       {{100 * s, here, 0, "a", digest(2, 150), true}},
		"a peer that holds many fewer":      {{100 * s, here, 0, "a", digest(2, 50), false}, {101 * s, here, 0, "b", digest(2, 50), true}},
		"many more, but news are coming in": {{100 * s, here, 99 * s, "a", digest(2, 102), false}},
		"busy for long, and nobody agrees": {{100 * s, digest(1, 100), 99 * s, "a", there, false}, {105 * s, digest(3, 100), 104 * s, "b", there, false},
			{110 * s, digest(4, 100), 109 * s, "c", there, true}},
		"busy for long, and somebody agrees": {{100 * s, digest(1, 100), 99 * s, "a", there, false}, {105 * s, digest(3, 100), 104 * s, "b", digest(3, 100), false},
			{110 * s, digest(4, 100), 109 * s, "c", there, false}},
		"joining, and gossip will do it":   {{1 * s, digest(1, 100), 1 * s, "a", digest(2, 120), true}, {2 * s, digest(3, 200), 2 * s, "b", digest(2, 210), false}},
		"joining, and gossip is too slow":  {{1 * s, digest(1, 100), 1 * s, "a", digest(1, 100), false}, {2 * s, digest(3, 110), 2 * s, "b", digest(2, 160), true}},
		"joining, and the peer holds less": {{1 * s, digest(1, 100), 1 * s, "a", digest(2, 10), false}, {2 * s, digest(3, 110), 2 * s, "b", digest(2, 20), false}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			p := newSyncPolicy(testTimes, begin, func() float64 { return 0 })
			for i, c := range steps {
				now := begin.Add(c.at)
				if got := p.compare(now, c.own, begin.Add(c.changed), c.peer, c.theirs); got != c.want {
					t.Fatalf("step %d: an exchange begins: %v, want %v", i, got, c.want)
				}
				if c.want {
					p.done(now, c.peer, c.theirs.Sum, c.own, digest(c.own.Sum+100, c.own.Held), false)
				}
			}
		})
	}
}

// Another peer is asked after a difference that is alone, on a quiet view; and while the view grows, until two agree.
func TestAskAnother(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	here, there := digest(1, 100), digest(2, 100)
	for name, c := range map[string]struct {
		steps   []comparison // want: whether another peer is to be asked
		inDoubt string       // whom the policy then doubts while the digest is still here; - = nobody, but it would ask anybody
	}{
		"agreement":        {[]comparison{{100 * s, here, 0, "a", here, false}, {101 * s, here, 0, "b", here, false}}, ""},
		"a difference":     {[]comparison{{100 * s, here, 0, "a", there, true}}, "a"},
		"news are coming":  {[]comparison{{100 * s, here, 99 * s, "a", there, false}}, "a"},
		"many more held":   {[]comparison{{100 * s, here, 0, "a", digest(2, 150), false}}, ""}, // an exchange begins
		"a second peer":    {[]comparison{{100 * s, here, 0, "a", there, true}, {100500 * ms, here, 0, "b", there, false}}, ""},
		"the same again":   {[]comparison{{100 * s, here, 0, "a", there, true}, {100900 * ms, here, 0, "a", there, false}, {101 * s, here, 0, "a", there, true}}, "a"},
		"one agrees":       {[]comparison{{100 * s, here, 0, "a", there, true}, {100500 * ms, here, 0, "b", here, false}}, "a"},
		"two agree":        {[]comparison{{100 * s, here, 0, "a", there, true}, {100500 * ms, here, 0, "b", here, false}, {101 * s, here, 0, "c", here, false}}, ""},
		"gossip closed it": {[]comparison{{100 * s, here, 0, "a", there, true}, {101 * s, there, 100 * s, "b", there, false}}, ""},
		"two members":      {[]comparison{{100 * s, digest(1, 2), 0, "a", digest(2, 2), true}}, ""},
		"many join":        {[]comparison{{1 * s, here, 1 * s, "a", digest(2, 80), true}, {1200 * ms, here, 1 * s, "b", digest(3, 90), false}, {1500 * ms, here, 1 * s, "b", there, true}}, "-"},
		"many join, and one has all of them": {[]comparison{{1 * s, here, 1 * s, "a", here, true}, {1500 * ms, here, 1 * s, "b", there, true},
			{2 * s, here, 1 * s, "c", here, true}}, "-"},
		"many join, and two have":                 {[]comparison{{1 * s, here, 1 * s, "a", here, true}, {1500 * ms, here, 1 * s, "b", here, false}}, ""},
		"many joined long ago":                    {[]comparison{{9 * s, here, 9 * s, "a", there, true}, {11 * s, here, 9900 * ms, "b", there, false}}, ""},
		"many join, and an exchange is under way": {[]comparison{{1 * s, here, 1 * s, "a", digest(2, 150), false}, {2 * s, here, 1 * s, "b", there, false}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			p := newSyncPolicy(testTimes, begin, func() float64 { return 0 })
			var now time.Time
			for i, c := range c.steps {
				changed := begin.Add(c.changed)
				now = begin.Add(c.at)
				exchange := p.compare(now, c.own, changed, c.peer, c.theirs)
				if got := !exchange && p.ask(now, changed, c.peer, c.theirs); got != c.want {
					t.Fatalf("step %d: another peer is asked: %v, want %v", i, got, c.want)
				}
			}
			if got, ok := p.inDoubt(now, here); got != strings.Trim(c.inDoubt, "-") || ok != (c.inDoubt != "") {
				t.Errorf("in doubt is %q %v, want %q", got, ok, c.inDoubt)
			}
		})
	}
}

// How often digests are compared has no influence on what counts as growth.
func TestGrowth(t *testing.T) {
	for _, every := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 3 * time.Second} {
		begin := time.Unix(1000, 0)
		p := newSyncPolicy(testTimes, begin, func() float64 { return 0 })
		var last time.Duration                                         // when the policy last held that many join
		for at := time.Duration(0); at < 60*time.Second; at += every { // 100 a second join from 20 s to 30 s
			held := 100 + int(max(0, min(at-20*time.Second, 10*time.Second)).Seconds()*100)
			own := digest(uint64(held), held)
			p.compare(begin.Add(at), own, begin.Add(at), "a", own)
			switch now := p.joining(begin.Add(at)); {
			case now:
				last = at
			case at < 10*time.Second, at > 23*time.Second && at < 36*time.Second:
				t.Errorf("compared every %v: at %v nobody joins", every, at)
			}
			if last > 13*time.Second && last < 20*time.Second {
				t.Errorf("compared every %v: many join at %v", every, last)
			}
		}
		if last < 36*time.Second || last > 39*time.Second { // above 900 members 100 a second are less than a tenth
			t.Errorf("compared every %v: many join until %v", every, last)
		}
	}
}

// A small view that grows again and again, and differs from all others for good, does not ask for ever.
func TestAskingInVain(t *testing.T) {
	begin := time.Unix(1000, 0)
	p := newSyncPolicy(testTimes, begin, func() float64 { return 0.5 })
	asked := 0
	var pending time.Time // when the peer that is to be asked answers
	for at := time.Duration(0); at < 10*time.Minute; at += 100 * time.Millisecond {
		now := begin.Add(at)
		held := 5 + int(at/(4*time.Second)%2)
		own, theirs := digest(uint64(held), held), digest(uint64(100+held), held)
		answered := !pending.IsZero() && !now.Before(pending)
		if !answered && at%time.Second != 0 {
			continue
		}
		pending = time.Time{}
		switch peer := fmt.Sprint("n", at); {
		case p.compare(now, own, begin.Add(at/(4*time.Second)*(4*time.Second)), peer, theirs):
			p.done(now, peer, theirs.Sum, own, own, false)
		case p.ask(now, begin.Add(at/(4*time.Second)*(4*time.Second)), peer, theirs):
			asked++
			pending = now.Add(testTimes.second)
		}
	}
	if asked > 200 {
		t.Errorf("other peers were asked %d times in ten minutes", asked)
	}
}

// What an exchange has not changed is tried less and less often: with all peers that say the same, and with a peer that
// says something else each time.
func TestFutileExchanges(t *testing.T) {
	own := digest(1, 100)
	for name, peerOf := range map[string]func(second int) (string, membership.Digest){
		"half of the cluster says the same": func(i int) (string, membership.Digest) { return fmt.Sprint("n", i%50), digest(2, 100) },
		"a liar changes its mind":           func(i int) (string, membership.Digest) { return "liar", digest(uint64(1000+i), 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			p := newSyncPolicy(testTimes, begin, func() float64 { return 0.5 })
			count, asked := map[int]int{}, map[int]int{}
			for i := 10; i < 3600; i++ {
				now := begin.Add(time.Duration(i) * time.Second)
				peer, theirs := peerOf(i)
				if p.compare(now, own, begin, peer, theirs) {
					p.done(now, peer, theirs.Sum, own, own, false)
					count[i/600]++
				} else if p.ask(now, begin, peer, theirs) {
					asked[i/600]++
				}
			}
			if asked[0] > count[0] || asked[5] > count[5] {
				t.Errorf("other peers asked in each ten minutes: %v, exchanges %v", asked, count)
			}
			if count[0] < 5 || count[0] > 16 || count[5] < 4 || count[5] > 6 {
				t.Errorf("exchanges in each ten minutes: %v", count)
			}
			// News open the case again.
			now := begin.Add(time.Hour)
			p.compare(now, digest(5, 100), begin, "x", digest(2, 100))
			if !p.compare(now.Add(time.Second), digest(5, 100), begin, "y", digest(2, 100)) {
				t.Error("after news nothing is tried")
			}
		})
	}
}

// A difference that no exchange repairs costs no more in a cluster where something changes all the time, though all
// news are a reason to try again. A difference that one repairs is then still found.
func TestFutileExchangesOfABusyView(t *testing.T) {
	for _, every := range []int{1, 3, 5, 30} {
		begin := time.Unix(1000, 0)
		p := newSyncPolicy(testTimes, begin, func() float64 { return 0.5 })
		own, changed, count := digest(1, 100), begin, 0
		for i := range 3600 {
			now := begin.Add(time.Duration(i) * time.Second)
			if i%every == 0 {
				own.Sum, changed = own.Sum+1, now
			}
			theirs := digest(own.Sum+1<<32, 101)
			peer := fmt.Sprint("n", i%50)
			if p.compare(now, own, changed, peer, theirs) {
				p.done(now, peer, theirs.Sum, own, own, false)
				count++
			}
		}
		if count < 30 || count > 140 {
			t.Errorf("a change every %d s: %d exchanges an hour", every, count)
		}
		now := begin.Add(time.Hour + maxVainWait*5/4)
		p.compare(now, own, changed, "x", digest(7, 100))
		if !p.compare(now, own, changed.Add(-testTimes.quiet), "y", digest(7, 100)) {
			t.Errorf("a change every %d s: another difference is not looked into", every)
		}
		p.done(now, "y", 7, own, digest(7, 100), false)
		if wait := p.next.Sub(now); wait > 2*testTimes.spacing {
			t.Errorf("after an exchange that helped the next waits %v", wait)
		}
	}
}

// A failed exchange counts against that peer alone: others that say the same are tried next.
func TestFailedExchange(t *testing.T) {
	begin := time.Unix(1000, 0)
	p := newSyncPolicy(testTimes, begin, func() float64 { return 0 })
	own, there := digest(1, 100), digest(2, 150)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	if !p.compare(at(100), own, begin, "full", there) {
		t.Fatal("nothing begins")
	}
	if p.compare(at(100), own, begin, "b", there) {
		t.Error("a second one begins beside the first")
	}
	p.done(at(100), "full", there.Sum, own, own, true)
	if p.compare(at(101), own, begin, "full", there) {
		t.Error("the peer that failed is tried at once")
	}
	if !p.compare(at(101), own, begin, "b", there) {
		t.Error("another peer is not tried")
	}
}

func TestSafetyNet(t *testing.T) {
	begin := time.Unix(1000, 0)
	run := func(held int, compared bool, edit func(*syncTimes)) (n int) {
		times := testTimes
		if edit != nil {
			edit(&times)
		}
		p := newSyncPolicy(times, begin, func() float64 { return 0 })
		for i := range 3600 {
			now := begin.Add(time.Duration(i+1) * time.Second)
			if compared {
				p.compare(now, digest(1, held), begin, "a", digest(1, held))
			}
			if p.due(now, held) {
				p.done(now, "a", 0, digest(1, held), digest(1, held), false)
				n++
			}
		}
		return n
	}
	for name, c := range map[string]struct{ got, want int }{
		"agreeing, 10 members":      {run(10, true, nil), 6},
		"agreeing, 64 members":      {run(64, true, nil), 3},
		"agreeing, 1000 members":    {run(1000, true, nil), 0},
		"nobody to compare, 10":     {run(10, false, nil), 240},
		"nobody to compare, 320":    {run(320, false, nil), 24},
		"alone":                     {run(1, false, nil), 0},
		"no net":                    {run(10, true, func(c *syncTimes) { c.net = 0 }), 0},
		"no net, nobody to compare": {run(10, false, func(c *syncTimes) { c.net = 0 }), 240},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d exchanges an hour, want %d", name, c.got, c.want)
		}
	}
	p := newSyncPolicy(testTimes, begin, func() float64 { return 0 })
	now := begin.Add(11 * time.Minute)
	p.compare(now, digest(1, 10), begin, "a", digest(1, 10))
	p.exchange(now.Add(-time.Minute))
	if p.due(now, 10) {
		t.Error("an exchange that the other side began does not count")
	}
}

// Whatever peers say and whenever, exchanges come one at a time and a spacing apart, and the memory stays bounded.
func TestSyncPolicyBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		p := newSyncPolicy(testTimes, now, func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "jitter") })
		own, changed := digest(1, 10), now
		var ended, asked time.Time
		var running bool
		var with string
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			peer := fmt.Sprint("n", rapid.IntRange(0, 40).Draw(t, "peer"))
			theirs := digest(rapid.Uint64Range(1, 40).Draw(t, "sum"), rapid.IntRange(0, 1<<24).Draw(t, "held"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				own, changed = digest(rapid.Uint64Range(1, 4).Draw(t, "own"), rapid.IntRange(1, 50).Draw(t, "holds")), now
			case 1:
				if running {
					p.done(now, with, theirs.Sum, own, digest(rapid.Uint64Range(1, 4).Draw(t, "after"), own.Held), rapid.Bool().Draw(t, "failed"))
					running, ended = false, now
				}
			default:
				begin := p.compare(now, own, changed, peer, theirs)
				if rapid.Bool().Draw(t, "tick") && !begin {
					begin = p.due(now, own.Held)
				}
				if begin && (running || !ended.IsZero() && now.Sub(ended) < testTimes.spacing) {
					t.Fatalf("an exchange begins %v after the last one, running %v", now.Sub(ended), running)
				}
				if begin {
					running, with = true, peer
				} else if p.ask(now, changed, peer, theirs) {
					least, calm := testTimes.spacing, own != theirs && now.Sub(changed) >= testTimes.quiet
					if p.joining(now) {
						least, calm = testTimes.second, true
					}
					if !calm || running || !asked.IsZero() && now.Sub(asked) < least {
						t.Fatalf("another peer is asked %v after the last time, running %v, %+v and %+v", now.Sub(asked), running, own, theirs)
					}
					asked = now
				}
			}
			if len(p.futile) > maxFutile || len(p.differing) > 2 {
				t.Fatalf("%d futile, %d differing", len(p.futile), len(p.differing))
			}
		}
	})
}
