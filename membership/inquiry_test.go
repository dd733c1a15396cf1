package membership

import (
	"fmt"
	"testing"
	"time"
)

// The shares of the witnesses are all other members but the accuser, each once; and none asks more than maxAsked.
func TestShares(t *testing.T) {
	for _, n := range []int{3, 9, 100, 300, 700} {
		asked, inquiries := map[string]int{}, 0
		for i := range n {
			if n > 300 && i%20 != 0 {
				continue
			}
			core := newCore(t, Config{Self: fmt.Sprint("n", i), Verdicts: &Verdicts{}})
			now := joinAll(core, n, epoch).Add(time.Minute)
			for _, e := range core.Step(now, Accused{Subject: "n2", Incarnation: 1, Accuser: "n1", Source: SourceInbound}) {
				if e, ok := e.(Inquire); ok {
					inquiries++
					if len(e.To) > maxAsked {
						t.Errorf("n%d of %d asks %d members", i, n, len(e.To))
					}
					for _, to := range e.To {
						asked[to.Name]++
					}
				}
			}
		}
		if n > 300 {
			continue // some shares are too large
		}
		core := newCore(t, Config{Self: "n0", Verdicts: &Verdicts{}})
		joinAll(core, n, epoch)
		r := core.table.get("n2")
		p := core.panel(r, 1)
		if want := min(8, n-1); inquiries != want-1 && inquiries != want { // the accuser accuses and, a witness, asks, too
			t.Errorf("of %d members %d ask, want %d", n, inquiries, want)
		}
		for _, m := range core.table.rows {
			want := 1
			if m == r || m.fact.name == "n1" || lot(p.seed, m) <= p.last {
				want = 0
			}
			if asked[m.fact.name] != want {
				t.Errorf("of %d members %s is asked %d times, want %d", n, m.fact.name, asked[m.fact.name], want)
			}
		}
	}
}
