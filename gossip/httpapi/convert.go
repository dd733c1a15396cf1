package httpapi

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// millis is a duration as the API writes it, to the microsecond.
func millis(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// addrText is empty for an address that is not known.
func addrText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func toMember(m membership.Member) Member {
	tags := m.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return Member{
		Name: m.Name, Addr: addrText(m.Addr), Tags: tags, State: m.State.String(), Incarnation: m.Incarnation,
		Since: m.Since.UTC(), FirstSeen: m.FirstSeen.UTC(), ForcedOut: m.ForcedOut, Probation: m.Probation, Local: m.Local,
	}
}

// fullMember adds the round trip that the node has measured, and to a suspect
// who speaks against it.
func (s *Server) fullMember(m membership.Member) Member {
	out := toMember(m)
	if m.State == membership.Suspect {
		if c, ok := s.cfg.Node.Case(m.Name); ok {
			out.AccusedBy = c.Accusers
			for _, w := range c.Testified {
				if !slices.Contains(c.Accusers, w) {
					out.AccusedBy = append(out.AccusedBy, w)
				}
			}
		}
	}
	if rtt, ok := s.cfg.Node.RTT(m.Name); ok {
		ms := millis(rtt)
		out.RTTMS = &ms
	}
	return out
}

func toCounts(counts map[membership.State]int) Counts {
	return Counts{
		Alive: counts[membership.Alive], Suspect: counts[membership.Suspect],
		Failed: counts[membership.Failed], Left: counts[membership.Left],
	}
}

// toInfo leaves out what the server knows and the node does not.
func toInfo(i gossip.Info, now time.Time) Info {
	return Info{
		Name: i.Name, Cluster: i.Cluster, Profile: i.Profile, Detector: i.Detector, Bind: i.Bind, Advertise: i.Advertise,
		Epoch: i.Epoch, Started: i.Started.UTC(), UptimeMS: millis(now.Sub(i.Started)),
		Condition: i.Condition.String(), HealthScore: i.HealthScore, Left: i.Left, Encrypted: i.Encrypted,
		Members: toCounts(i.Members), PendingBroadcasts: i.PendingBroadcasts, ViewVersion: i.ViewVersion,
		Digest: toDigest(i),
	}
}

func toEntry(e membership.Entry) JournalEntry {
	return JournalEntry{
		At: e.At.UTC(), Member: e.Subject, Kind: e.Kind.String(), Incarnation: e.Incarnation,
		By: e.By, Via: e.Via.String(), Note: e.Note,
	}
}

// toEvent makes the wire form of a change. A change of the node's own
// condition is about no member.
func toEvent(id string, c membership.Change) Event {
	ev := Event{ID: id, Kind: c.Kind.String(), At: c.At.UTC(), By: c.By, Reason: c.Reason}
	if c.Condition != 0 {
		ev.Condition = c.Condition.String()
	}
	if c.Kind != membership.ChangeCondition {
		m := toMember(c.Member)
		ev.Member = &m
		if c.Before != 0 {
			ev.Before = c.Before.String()
		}
	}
	return ev
}

func toFailures(failed []*gossip.SeedError) []SeedFailure {
	out := make([]SeedFailure, len(failed))
	for i, f := range failed {
		out[i] = SeedFailure{Seed: f.Seed, Addr: f.Addr, Error: f.Err.Error()}
	}
	return out
}

func toKeys(infos []gossip.KeyInfo) []Key {
	out := make([]Key, len(infos))
	for i, k := range infos {
		out[i] = Key{ID: k.ID, Bits: k.Bits, Primary: k.Primary}
	}
	return out
}
