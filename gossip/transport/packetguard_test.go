package transport

import (
	"bytes"
	"strings"
	"testing"
)

func TestPacketGuard(t *testing.T) {
	const label = "here"
	user := append([]byte{msgUser}, strings.Repeat("payload ", 20)...)
	l := func(msg []byte) []byte { return withLabel(label, msg) }
	wrong := withCRC(user)
	wrong[1]++
	for _, c := range []struct {
		name string
		data []byte
		want []byte // nil: dropped
		why  Drop
	}{
		{"plain", l(user), l(user), 0},
		{"with a checksum", l(withCRC(user)), l(withCRC(user)), 0},
		{"compound", l(compound(user, user)), l(compound(user, user)), 0},
		{"compressed", l(pack(t, user)), l(user), 0},
		{"compressed with a checksum", l(withCRC(pack(t, user))), l(user), 0},
		{"compressed compound", l(pack(t, compound(user, user))), l(compound(user, user)), 0},
		{"encrypted", l([]byte{1, 9, 9, 9, 9, 9}), l([]byte{1, 9, 9, 9, 9, 9}), 0},
		{"truncated compound is the engine's to report", l(compound(user, user)[:9]), l(compound(user, user)[:9]), 0},
		{"another label", withLabel("there", user), nil, PacketForeignLabel},
		{"no label", user, nil, PacketForeignLabel},
		{"truncated label", l(user)[:4], nil, PacketMalformed},
		{"label alone", l(nil), nil, PacketMalformed},
		{"wrong checksum", l(wrong), nil, PacketMalformed},
		{"a bomb", l(pack(t, make([]byte, 40<<20))), nil, PacketTooLarge},
		{"truncated compression", l(pack(t, user)[:40]), nil, PacketMalformed},
		{"compressed nothing", l(pack(t, nil)), nil, PacketMalformed},
		{"compressed twice", l(pack(t, pack(t, user))), nil, PacketTooLarge},
		{"compressed in compound", l(compound(user, pack(t, user))), nil, PacketTooLarge},
		{"compound in compressed compound", l(pack(t, compound(user, compound(user)))), nil, PacketTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := packetGuard{label: label}
			for range 2 { // the second time the decoder is reused
				got, why, err := g.admit(c.data)
				if (err == nil) != (c.want != nil) || why != c.why || !bytes.Equal(got, c.want) {
					t.Errorf("got %.40q (%v, error %v), want %.40q (%v)", got, why, err, c.want, c.why)
				}
			}
		})
	}
}

func FuzzPacketGuard(f *testing.F) {
	user := append([]byte{msgUser}, "payload"...)
	for _, msg := range [][]byte{user, withCRC(user), pack(f, user), compound(user, pack(f, user)), pack(f, compound(user)), {1, 2, 3}} {
		f.Add(msg)
		f.Add(withLabel("xyz", msg))
	}
	g := packetGuard{label: "xyz"}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := g.admit(data)
		if err != nil {
			return
		}
		label, body, err := splitLabel(got)
		if err != nil || string(label) != g.label || len(body) == 0 || len(got) > len(data)+maxPacket {
			t.Fatalf("let %q through", got)
		}
		if body[0] == msgCompress {
			t.Fatal("let a compressed message through")
		}
	})
}
