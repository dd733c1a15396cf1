package kernelfault

import "testing"

func TestCapabilitiesLeaveNothing(t *testing.T) {
	h := host{ns: newNamespace(t)}
	newTable(t, h)
	before := list(t, h)
	var found []Capability
	h.inside(t, func() error {
		found = Capabilities(0)
		return nil
	})
	if len(found) < 5 {
		t.Errorf("only %d capabilities were tested", len(found))
	}
	for _, c := range found {
		t.Logf("%v %s (%s): %s", c.OK, c.Name, c.For, c.Detail)
		if c.Name == "" || c.For == "" || c.Detail == "" {
			t.Errorf("%+v says too little", c)
		}
	}
	if after := list(t, h); len(after) != len(before) {
		t.Errorf("before there were %+v, now %+v", before, after)
	}
	if err := probe(int(h.ns), v4, jump("no-such-chain")); err == nil {
		t.Error("a probe of what cannot be succeeds")
	}
}
