package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// recent is how long what a member told without being asked just now still counts.
const recent = time.Minute

func (s *Server) getPartitions(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if err := TakeTime(w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxSlowRequest)
	defer cancel()
	own, peers, err := s.cfg.Node.AskDigests(ctx)
	if err != nil {
		return err
	}
	view := s.cfg.Node.View()
	out := toPartitions(view.Self().Name, own, peers, s.now())
	out.Condition, out.At = view.Condition().String(), s.now().UTC()
	WriteJSON(w, out)
	return nil
}

// toPartitions groups the members by what they told.
func toPartitions(self string, own membership.Digest, peers []gossip.PeerDigest, now time.Time) *Partitions {
	out := &Partitions{Node: self, Silent: []string{}, NoDigest: []string{}}
	groups := map[membership.Digest][]string{own: {self}}
	for _, p := range peers {
		if !p.Asked {
			out.NotAsked++
		}
		switch {
		case p.Silent:
			out.Silent = append(out.Silent, p.Name)
		case p.At.IsZero(), !p.Asked && now.Sub(p.At) > recent:
			out.Unknown++
		case !p.Told:
			out.NoDigest = append(out.NoDigest, p.Name)
		default:
			groups[p.Digest] = append(groups[p.Digest], p.Name)
		}
	}
	out.Agree = len(groups) == 1
	for d, names := range groups {
		slices.Sort(names)
		out.Groups = append(out.Groups, PartitionGroup{Sum: sumText(d), Held: d.Held, Own: d == own, Nodes: names})
	}
	slices.SortFunc(out.Groups, func(a, b PartitionGroup) int {
		if a.Own != b.Own {
			return cmp.Compare(oneIf(b.Own), oneIf(a.Own))
		}
		return cmp.Or(cmp.Compare(len(b.Nodes), len(a.Nodes)), cmp.Compare(a.Sum, b.Sum), cmp.Compare(a.Held, b.Held))
	})
	return out
}

func sumText(d membership.Digest) string { return fmt.Sprintf("%016x", d.Sum) }

// toDigest is nil for a node that tells none.
func toDigest(i gossip.Info) *Digest {
	if i.Digest == nil {
		return nil
	}
	moment := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	return &Digest{Sum: sumText(*i.Digest), Held: i.Digest.Held, LastAgreed: moment(i.LastAgreed), LastDiffered: moment(i.LastDiffered)}
}
