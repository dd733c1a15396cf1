package membership

import (
	"fmt"
	"testing"
	"time"
)

// inquiriesOf are those of all nodes n0 to nN-1 about n2, which n1 accuses.
func inquiriesOf(t *testing.T, nodes []string, n int) map[string]Inquire {
	t.Helper()
	all := map[string]Inquire{}
	for _, name := range nodes {
		core := newCore(t, Config{Self: name, Verdicts: &Verdicts{}})
		now := joinAll(core, n, epoch).Add(time.Minute)
		for _, e := range core.Step(now, Accused{Subject: "n2", Incarnation: 1, Accuser: "n1", Source: SourceInbound}) {
			if e, ok := e.(Inquire); ok {
				all[name] = e
			}
		}
	}
	return all
}

// The shares of the witnesses are all other members but the accuser, each once. In a cluster whose shares are too large nobody is asked.
func TestShares(t *testing.T) {
	for _, n := range []int{3, 9, 100, 300, 700} {
		core := newCore(t, Config{Self: "n0", Verdicts: &Verdicts{}})
		joinAll(core, n, epoch)
		r := core.table.get("n2")
		p := core.panel(r, 1)
		want, ask := map[string]int{}, []string{}
		for _, m := range core.table.rows {
			switch {
			case m == r:
			case lot(p.seed, m) <= p.last:
				ask = append(ask, m.fact.name)
			case m.fact.name != "n1":
				want[m.fact.name] = 1
			}
		}
		inquiries := inquiriesOf(t, ask, n)
		if n == 700 {
			ask, want = nil, nil
		}
		if len(inquiries) != len(ask) {
			t.Errorf("of %d members %d ask, want %d", n, len(inquiries), len(ask))
		}
		got := map[string]int{}
		for _, e := range inquiries {
			for _, to := range e.To {
				got[to.Name]++
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("of %d members are asked\n%v\nwant\n%v", n, got, want)
		}
	}
}
