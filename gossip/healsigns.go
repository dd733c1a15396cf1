package gossip

import (
	"slices"
	"time"

	"heartbeat/gossip/wire"
)

// signs are what has been noticed of a partition's end.
type signs struct {
	// disputed are members that are gone here, though somebody seems to hold them alive. All are in the
	// roster, which bounds them.
	disputed map[string]bool
	// Failed members came back; from and to is when they had failed.
	from, to time.Time
}

// concern reports whether the signs speak for trying that member: others hold
// it alive, or it failed together with one that has come back.
func (s signs) concern(t healTarget, slack time.Duration) bool {
	if s.disputed[t.name] {
		return true
	}
	return !s.from.IsZero() && !t.since.Before(s.from.Add(-slack)) && !t.since.After(s.to.Add(slack))
}

// dispute notes that somebody holds a member alive that is gone here, at no
// higher incarnation: the engine ignores that, and the member may not know
// that it is held failed. It is called by the engine's callbacks and by the tap.
func (n *Node) dispute(name string) {
	n.notice(func(s *signs) bool {
		known := s.disputed[name]
		if s.disputed == nil {
			s.disputed = make(map[string]bool)
		}
		s.disputed[name] = true
		return !known
	})
}

// returned notes that a member came back that was held failed since then. It is
// called by the engine's callbacks.
func (n *Node) returned(failed time.Time) {
	n.notice(func(s *signs) bool {
		if s.from.IsZero() || failed.Before(s.from) {
			s.from = failed
		}
		if failed.After(s.to) {
			s.to = failed
		}
		return true
	})
}

func (n *Node) notice(note func(*signs) (isNew bool)) {
	if n.cfg.HealInterval == 0 {
		return
	}
	n.healing.mu.Lock()
	defer n.healing.mu.Unlock()
	if note(&n.healing.signs) {
		select {
		case n.healing.wake <- struct{}{}:
		default:
		}
	}
}

// failedTogether is how many probe intervals may lie between two failures that have one cause.
const failedTogether = 30

// heed waits for what is coming back by itself after the signs, and tries what
// is not. Most of a partition comes back by the news of whoever noticed its end first;
// what is left are members about whom this node has missed the news.
func (n *Node) heed(h *healer) {
	settle := settleRounds * n.cfg.GossipInterval
	if !n.sleep(settle + n.jitter(settle)) {
		return
	}
	n.healing.mu.Lock()
	seen := n.healing.signs
	n.healing.signs = signs{}
	n.healing.mu.Unlock()
	sit := n.situation()
	sit.failed = slices.DeleteFunc(sit.failed, func(t healTarget) bool {
		return !seen.concern(t, failedTogether*n.cfg.ProbeInterval)
	})
	if len(sit.failed) > 0 {
		n.follow(h, healTarget{}, sit)
	}
}

// accuse tells a failed member, and nobody else, that it is suspect at the
// incarnation at which it is held failed. If it runs it refutes that.
func (n *Node) accuse(t healTarget) {
	var key []byte
	if k := n.cfg.Keyring; k != nil && !n.cfg.SendPlain {
		key = k.active()[0]
	}
	buf, err := wire.Wrap(wire.EncodeSuspect(t.name, n.cfg.Name, t.incarnation), n.cfg.Cluster, key)
	if err != nil {
		return // the name is too long for a packet: an exchange tells it, too
	}
	_, _ = n.transport.WriteTo(buf, t.addr.String()) // a packet may be lost anyway
}
