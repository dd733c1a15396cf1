package kernelfault

import "testing"

func TestCapabilities(t *testing.T) {
	h := host{ns: newNamespace(t)}
	var found []Capability
	h.inside(t, func() error {
		found = Capabilities()
		return nil
	})
	for _, c := range found {
		t.Logf("%v %s (%s): %s", c.OK, c.Name, c.For, c.Detail)
	}
}
