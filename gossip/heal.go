package gossip

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"heartbeat/membership"
)

// HealStats counts what this node did to find members again that it holds
// failed, and its seeds.
type HealStats struct {
	// Attempts are addresses that were asked whether somebody is there.
	Attempts uint64
	// Reached are those that answered and exchanged state with this node.
	Reached uint64
	// Heals are the times when members came back after that.
	Heals uint64
}

// healing is the node's side of healing: the seeds to return to, and counters.
type healing struct {
	attempts, reached, heals atomic.Uint64

	wake chan struct{} // holds a token when there are new signs

	mu    sync.Mutex
	seeds []string // guarded by mu; as they were given
	signs signs    // guarded by mu
}

// minHealInterval is the least heal.interval but 0.
const minHealInterval = 10 * time.Millisecond

// maxSeeds bounds how many seeds are remembered; the newest stay.
const maxSeeds = 64

// settleRounds is how many gossip rounds news of an exchange get to spread before it is looked what came of it.
const settleRounds = 5

// SetSeeds replaces the seeds that this node returns to when members are
// failed, at most 64. Join adds to them those it was given, once it has succeeded, so only a
// program whose seeds change needs this.
func (n *Node) SetSeeds(seeds []string) {
	n.healing.mu.Lock()
	defer n.healing.mu.Unlock()
	n.healing.seeds = slices.Clone(seeds[max(0, len(seeds)-maxSeeds):])
}

func (n *Node) addSeeds(seeds []string) {
	n.healing.mu.Lock()
	defer n.healing.mu.Unlock()
	for _, s := range seeds {
		if _, err := ParseSeed(s, DefaultPort); err == nil && !slices.Contains(n.healing.seeds, s) {
			n.healing.seeds = append(n.healing.seeds, s)
		}
	}
	n.healing.seeds = slices.Delete(n.healing.seeds, 0, max(0, len(n.healing.seeds)-maxSeeds))
}

// heal tries failed members and seeds again until the node leaves or is closed.
func (n *Node) heal() {
	h := newHealer(n.cfg.HealInterval, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	timer := time.NewTimer(h.pause())
	defer timer.Stop()
	for !n.left.Load() {
		select {
		case <-timer.C:
			if h.turn(n.roster.heldCount()) {
				sit := n.situation()
				t, ok := h.pick(time.Now(), sit.situation)
				if ok && n.reach(n.addressesOf(t, sit), t.stream) {
					n.follow(h, t, sit)
				}
			}
			timer.Reset(h.pause())
		case <-n.healing.wake:
			n.heed(h)
		case <-n.ctx.Done():
			return
		}
	}
}

// jitter returns a time from [0, d).
func (n *Node) jitter(d time.Duration) time.Duration { return rand.N(max(d, 1)) }

// sleep waits and says whether the node is still open.
func (n *Node) sleep(d time.Duration) bool { return n.waitFor(nil, d) }

// waitFor waits for that long, and says whether it did: not when c was closed or the node is.
func (n *Node) waitFor(c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c:
	case <-n.ctx.Done():
	}
	return false
}

// surroundings is a situation with what it was made of.
type surroundings struct {
	situation
	view *membership.View
	at   map[netip.AddrPort]bool // addresses of members that are held
}

// situation looks at the view. A failed member whose address belongs to a member
// that is held has been replaced: nothing can be found there.
func (n *Node) situation() surroundings {
	s := surroundings{view: n.View(), at: make(map[netip.AddrPort]bool)}
	for m := range s.view.All() {
		if m.State == membership.Alive || m.State == membership.Suspect {
			s.at[m.Addr] = true
		}
	}
	s.held = len(s.at)
	isSelf := n.selfCheck()
	for m := range s.view.All() {
		if m.State == membership.Failed && !m.Probation && m.Addr.IsValid() && n.tryable(m.Addr) && !s.at[m.Addr] && !isSelf(m.Addr) {
			s.failed = append(s.failed, healTarget{name: m.Name, addr: m.Addr, incarnation: m.Incarnation, since: m.Since})
		}
	}
	n.healing.mu.Lock()
	seeds := slices.Clone(n.healing.seeds)
	n.healing.mu.Unlock() // the engine's callbacks wait for it
	for _, seed := range seeds {
		if addr, ok := n.literal(seed); !ok || !s.at[addr] && !isSelf(addr) {
			s.seeds = append(s.seeds, seed)
		}
	}
	return s
}

// tryable reports whether a failed member may be tried at that address. It may come from another node's memory, and nobody
// has checked it as the address of a member that joins is: it must not make this node send to a network that is
// not allowed, to a whole network or, by an address that stands for any, to itself.
func (n *Node) tryable(addr netip.AddrPort) bool {
	ip := addr.Addr()
	return addr.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != broadcast && n.allowed(ip)
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// maxSeedAddrs bounds how many addresses of one seed are tried at a turn.
const maxSeedAddrs = 8

// addressesOf returns where the target may be; a seed's name is looked up anew
// each time. What belongs to members that are held is left out.
func (n *Node) addressesOf(t healTarget, s surroundings) []netip.AddrPort {
	if t.seed == "" {
		return []netip.AddrPort{t.addr}
	}
	addrs, err := n.resolve(n.ctx, t.seed)
	if err != nil {
		n.log.Debug().Err(err).Str("seed", t.seed).Msg("healing: the seed cannot be looked up; it is tried again")
		return nil
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.AddrPort) bool { return s.at[a] || n.isSelf(a) })
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs[:min(len(addrs), maxSeedAddrs)]
}

// reach asks one address after the other whether somebody is there and
// exchanges state with the first that is. It says whether there was one.
func (n *Node) reach(addrs []netip.AddrPort, stream bool) bool {
	for _, addr := range addrs {
		n.healing.attempts.Add(1)
		if !n.answers(addr, stream) {
			continue
		}
		if err := n.exchange(addr.String()); err != nil {
			n.log.Debug().Err(err).Stringer("addr", addr).Msg("healing: it answered, but the exchange of state failed")
			continue
		}
		n.healing.reached.Add(1)
		return true
	}
	return false
}

// answers asks by one packet, or by opening a stream, with the patience of a
// probe: a dial of the engine's may hang for long. Whoever has the address now
// is welcome, so the packet names nobody.
func (n *Node) answers(addr netip.AddrPort, stream bool) bool {
	if stream {
		conn, err := n.transport.DialTimeout(addr.String(), n.cfg.ProbeTimeout)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}
	answered := make(chan bool, 1)
	n.opsMu.RLock()
	begun := n.ctx.Err() == nil && !n.left.Load()
	if begun { // Close waits for it, and lets it end at once
		n.looks.Go(func() {
			_, err := n.engine.Ping("", net.UDPAddrFromAddrPort(addr))
			answered <- err == nil
		})
	}
	n.opsMu.RUnlock()
	return begun && <-answered
}

// exchange exchanges state with whoever has that address.
func (n *Node) exchange(addr string) error {
	if err := n.begin(); err != nil {
		return err
	}
	defer n.ops.Done()
	if _, err := n.engine.Join([]string{addr}); err != nil {
		return joinError(err)
	}
	return nil
}

// follow comes after a sign that members which are failed here can be reached
// again: one of them or a seed answered, or others hold them alive. What
// separated them from this node is over, so all of them are told that they are
// held failed, and then tried, unless the news have brought them back already.
//
// Being told matters because the engine takes a failed member back only when it
// refutes, and it cannot refute what it does not know of.
func (n *Node) follow(h *healer, t healTarget, before surroundings) {
	settle, others := settleRounds*n.cfg.GossipInterval, 0
	burst := h.reached(time.Now())
	if burst {
		for _, m := range before.failed {
			n.accuse(m)
		}
	}
	if !n.sleep(settle) {
		return
	}
	if burst {
		for _, batch := range h.batches(before.failed) {
			tried := n.tryAll(batch)
			others += tried
			if tried > 0 && !n.sleep(n.cfg.GossipInterval/2+n.jitter(n.cfg.GossipInterval)) {
				return
			}
		}
		if !n.sleep(settle) {
			return
		}
	}
	back, met := compare(before.view, n.View())
	switch {
	case t.seed != "" && back+met == 0:
		h.leaveAlone(time.Now(), t.seed, before.held)
	case t != (healTarget{}) && back+met > 0:
		n.healing.heals.Add(1)
		n.tellHealed(t, len(before.failed), others, back, met)
	}
}

// tryAll tries those of the batch that are still failed, all at the same time,
// and returns how many they were.
func (n *Node) tryAll(batch []healTarget) (tried int) {
	view := n.View()
	var wg sync.WaitGroup
	for _, t := range batch {
		if m, ok := view.Member(t.name); ok && m.State == membership.Failed {
			tried++
			wg.Go(func() { n.reach([]netip.AddrPort{t.addr}, false) })
		}
	}
	wg.Wait()
	return tried
}

// compare counts the members that were failed before and are held now, and those
// that are held now and were not known.
func compare(before, now *membership.View) (back, met int) {
	for m := range now.All() {
		if m.State != membership.Alive && m.State != membership.Suspect {
			continue
		}
		switch was, known := before.Member(m.Name); {
		case !known:
			met++
		case was.State == membership.Failed:
			back++
		}
	}
	return back, met
}

// tellHealed writes to the log and to the journal what came of a success.
func (n *Node) tellHealed(t healTarget, failed, others, back, met int) {
	whom, subject := fmt.Sprintf("reached %s after %v", t.name, time.Since(t.since).Round(time.Second)), t.name
	if t.seed != "" {
		whom, subject = "reached the seed "+t.seed, n.cfg.Name
	}
	note := fmt.Sprintf("%s; %d other failed members tried at once; %d of %d are back", whom, others, back, failed)
	if met > 0 {
		note += fmt.Sprintf(", %d new ones met", met)
	}
	n.log.Info().Msg("healed: " + note)
	n.inbox.put(membership.Healed{Name: subject, Note: note})
}
