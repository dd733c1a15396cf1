package gossip

import (
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestCheckPeer(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*memberlist.Node)
		want string // "" when the peer is fine
	}{
		{"a peer of today", func(*memberlist.Node) {}, ""},
		{"a newer one that still speaks what we speak", func(m *memberlist.Node) { m.PMax, m.PCur = 9, 5 }, ""},
		{"no name", func(m *memberlist.Node) { m.Name = "" }, "name has 0 bytes"},
		{"a long name", func(m *memberlist.Node) { m.Name = strings.Repeat("n", 1000) }, "name has 1000 bytes"},
		{"a name that garbles terminals", func(m *memberlist.Node) { m.Name = "n\x1b[2J" }, "control characters"},
		{"a name that is no text", func(m *memberlist.Node) { m.Name = "\xff" }, "UTF-8"},
		{"no address", func(m *memberlist.Node) { m.Addr = nil }, "not an address"},
		{"no port", func(m *memberlist.Node) { m.Port = 0 }, "not an address"},
		{"every address", func(m *memberlist.Node) { m.Addr = net.IPv4zero }, "not an address"},
		// Each of these would make the engine refuse every exchange of state.
		{"a protocol of the future alone", func(m *memberlist.Node) { m.PMin = 108 }, "protocol 2 of 108 to 5"},
		{"a protocol of the past alone", func(m *memberlist.Node) { m.PMax = 1 }, "protocol 2 of 1 to 1"},
		{"a protocol that nobody speaks", func(m *memberlist.Node) { m.PCur = 200 }, "protocol 200"},
		{"another delegate protocol", func(m *memberlist.Node) { m.DMin = 108 }, "delegate protocol 0 of 108"},
		{"a delegate protocol of its own", func(m *memberlist.Node) { m.DCur, m.DMax = 3, 3 }, "delegate protocol 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &memberlist.Node{Name: "n2", Addr: net.IPv4(127, 0, 0, 1), Port: 7946, PMin: 1, PMax: 5, PCur: 2}
			c.edit(m)
			err := checkPeer(m)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
