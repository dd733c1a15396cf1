package membership

import (
	"maps"
	"slices"
	"time"
)

// twin is the table said naively: a map, rules written as they are told, everything
// counted anew each time. It knows no journal, no bounds and no evidence. It reads
// mergeRules nowhere.
type twin struct {
	cfg     Config
	now     time.Time
	members map[string]*twinMember
	pruned  map[string]twinPrune
	health  int
}

type twinMember struct {
	Member
	heard     uint32
	accusedAt time.Time
	stable    bool
}

type twinPrune struct {
	inc uint32
	at  time.Time
}

func newTwin(cfg Config) *twin {
	return &twin{cfg: cfg, now: epoch, members: make(map[string]*twinMember), pruned: make(map[string]twinPrune)}
}

func (w *twin) step(now time.Time, in Input) {
	w.now = now
	w.expire()
	switch in := in.(type) {
	case Joined:
		w.join(in)
	case Updated:
		if m := w.members[in.Name]; m != nil && (m.State == Alive || m.State == Suspect) {
			m.Addr = in.Addr
			w.alive(m, in.Incarnation)
			return
		}
		w.join(Joined(in))
	case Accused:
		w.accuse(in)
	case Refuted:
		if m := w.members[in.Subject]; m != nil {
			w.alive(m, in.Incarnation)
		}
	case EngineFailed:
		if m := w.members[in.Name]; m != nil && !m.Local {
			if m.State != Left || in.Incarnation > m.Incarnation {
				w.enter(m, Failed, now)
			}
			m.Incarnation = max(m.Incarnation, in.Incarnation)
		}
	case EngineLeft:
		if m := w.members[in.Name]; m != nil {
			if in.Incarnation > m.Incarnation {
				m.Incarnation, m.ForcedOut = in.Incarnation, false
			}
			w.enter(m, Left, now)
		}
	case ForcedOut:
		w.force(in)
	case Record:
		w.record(in)
	case Health:
		w.health = in.Score
	}
}

// enter does nothing when the member is in that state already.
func (w *twin) enter(m *twinMember, s State, since time.Time) {
	if m.State == s {
		return
	}
	m.State, m.Since, m.heard, m.ForcedOut = s, since, 0, false
	if s == Left {
		m.stable = false
	}
}

func (w *twin) expire() {
	step := w.cfg.StableAfter / 8
	condition, entered := w.condition(), 0
	for name, m := range w.members {
		age := w.now.Sub(m.Since)
		switch {
		case m.State == Alive:
			// The start of the eighth in which StableAfter is over counts.
			ready := m.Since.Add(w.cfg.StableAfter).Sub(epoch)
			if whole := ready.Truncate(step); whole != ready {
				ready = whole + step
			}
			if !m.stable && (m.Local || !w.now.Before(epoch.Add(ready))) {
				m.stable = true
				entered++
			}
		case m.State == Suspect && w.cfg.SuspicionLapse > 0 && w.now.Sub(m.accusedAt) >= w.cfg.SuspicionLapse:
			w.enter(m, Alive, w.now)
		case m.Local:
		case m.State == Failed && age >= w.cfg.FailedRetention, m.State == Left && age >= w.cfg.LeftRetention:
			delete(w.members, name)
		}
	}
	for ; entered > 0 && condition != Minority && condition != Isolated; entered-- {
		var oldest *twinMember
		for _, name := range slices.Sorted(maps.Keys(w.members)) {
			m := w.members[name]
			if m.State == Failed && m.stable && w.now.Sub(m.Since) >= supersededAfter*w.cfg.StableAfter && (oldest == nil || m.Since.Before(oldest.Since)) {
				oldest = m
			}
		}
		if oldest != nil {
			oldest.stable = false
		}
	}
	maps.DeleteFunc(w.pruned, func(_ string, p twinPrune) bool {
		return w.now.Sub(p.at) >= max(w.cfg.FailedRetention, w.cfg.LeftRetention)
	})
}

func (w *twin) join(in Joined) {
	m := w.members[in.Name]
	if m == nil {
		m = &twinMember{Member: Member{Name: in.Name, FirstSeen: w.now, Local: in.Name == w.cfg.Self}}
		w.members[in.Name] = m
		delete(w.pruned, in.Name)
	}
	m.Addr = in.Addr
	if m.State == Alive {
		w.alive(m, in.Incarnation)
		return
	}
	m.Incarnation = in.Incarnation
	if m.Incarnation == 0 {
		m.Incarnation = m.heard
	}
	w.enter(m, Alive, w.now)
	m.stable = m.stable || m.Local
}

func (w *twin) alive(m *twinMember, inc uint32) {
	switch {
	case inc <= m.Incarnation:
	case m.State == Failed || m.State == Left:
		m.heard = max(m.heard, inc)
	default:
		m.Incarnation = inc
		w.enter(m, Alive, w.now)
	}
}

func (w *twin) accuse(in Accused) {
	m := w.members[in.Subject]
	switch {
	case m == nil || m.Local || in.Incarnation < m.Incarnation:
	case m.State == Failed || m.State == Left:
		if in.Incarnation > m.Incarnation {
			m.heard = max(m.heard, in.Incarnation)
		}
	default:
		if m.State == Alive || in.Incarnation > m.Incarnation {
			m.accusedAt = w.now
		}
		m.Incarnation = in.Incarnation
		w.enter(m, Suspect, w.now)
	}
}

func (w *twin) force(in ForcedOut) {
	m := w.members[in.Subject]
	switch {
	case in.Subject == w.cfg.Self:
	case in.Prune:
		w.prune(in.Subject, in.Incarnation, w.now)
	case m != nil && m.State == Failed && (in.Incarnation == 0 || in.Incarnation >= m.Incarnation):
		m.Incarnation = max(m.Incarnation, in.Incarnation)
		w.enter(m, Left, w.now)
		m.ForcedOut = true
	}
}

func (w *twin) prune(name string, inc uint32, at time.Time) {
	m, p := w.members[name], w.pruned[name]
	switch {
	case m == nil:
		if _, known := w.pruned[name]; known && inc <= p.inc {
			return
		}
	case m.State == Alive || m.State == Suspect:
		return
	case inc != 0 && m.Incarnation != 0:
		if inc < m.Incarnation {
			return
		}
	case m.Since.After(at):
		return
	}
	if m != nil {
		inc = max(inc, m.Incarnation)
		delete(w.members, name)
	}
	w.pruned[name] = twinPrune{inc, at}
}

func (w *twin) record(in Record) {
	retention := map[State]time.Duration{Failed: w.cfg.FailedRetention, Left: w.cfg.LeftRetention}[in.State]
	if in.Pruned {
		retention = max(w.cfg.FailedRetention, w.cfg.LeftRetention)
	}
	since := w.now.Add(-in.Age)
	m := w.members[in.Name]
	switch {
	case in.Name == w.cfg.Self || in.Age >= retention*15/16:
	case in.Pruned:
		w.prune(in.Name, in.Incarnation, since)
	case m == nil:
		if p, known := w.pruned[in.Name]; known {
			byInc := p.inc != 0 && in.Incarnation != 0
			if byInc && in.Incarnation <= p.inc || !byInc && !since.After(p.at) {
				return
			}
			delete(w.pruned, in.Name)
		}
		w.members[in.Name] = &twinMember{Member: Member{Name: in.Name, Addr: in.Addr, State: in.State,
			Incarnation: in.Incarnation, Since: since, FirstSeen: w.now, ForcedOut: in.ForcedOut && in.State == Left}}
	case m.State == Alive || m.State == Suspect:
	case in.Incarnation > m.Incarnation, in.Incarnation == m.Incarnation && in.State > m.State:
		m.Incarnation = in.Incarnation
		if in.Addr.IsValid() {
			m.Addr = in.Addr
		}
		w.enter(m, in.State, since)
		m.Since, m.ForcedOut = since, in.ForcedOut && in.State == Left
	}
}

func (w *twin) condition() Condition {
	others, stable, reachable, stableOthers := 0, 0, 0, 0
	for _, m := range w.members {
		held := m.State == Alive || m.State == Suspect
		if held && !m.Local {
			others++
		}
		if m.stable {
			stable++
			if !m.Local {
				stableOthers++
			}
			if held {
				reachable++
			}
		}
	}
	switch {
	case others == 0 && stableOthers > 0:
		return Isolated
	case reachable < stable-reachable:
		return Minority
	case w.health >= w.cfg.DegradedScore:
		return Degraded
	}
	return Connected
}

func (w *twin) list() []Member {
	members := []Member{}
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		members = append(members, w.members[name].Member)
	}
	return members
}
