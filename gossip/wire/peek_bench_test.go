package wire

import (
	"testing"
)

func TestProbeAndAckAllocateNothing(t *testing.T) {
	for name, keys := range map[string][][]byte{"plain": nil, "encrypted": {key(1)}} {
		p := NewPeeker("blue", static(keys...))
		for _, m := range [][]byte{samples.ping, samples.ack, checksum(samples.nack)} {
			if keys != nil {
				m = encrypt(1, m, key(1), "blue")
			}
			packet := labelled(m, "blue")
			var got Seen
			visit := func(s Seen) { got = s }
			if n := testing.AllocsPerRun(500, func() { _ = p.Peek(packet, visit) }); n != 0 {
				t.Errorf("%s: %v allocations for %+v", name, n, got)
			}
			if got.SeqNo == 0 {
				t.Errorf("%s: saw %+v", name, got)
			}
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	var ten [][]byte
	for i := range 10 {
		ten = append(ten, pack(Suspect, engineAccusation{Incarnation: uint32(i), Node: "node-17", From: "node-42"}, oldSpec))
	}
	benchmarks := []struct {
		name   string
		packet []byte
		keys   [][]byte
	}{
		{"ping", samples.ping, nil},
		{"ack", samples.ack, nil},
		{"suspect", samples.suspect, nil},
		{"compound10", compound(ten...), nil},
		{"compressed10", compress(compound(ten...)), nil},
		{"encrypted-ping", encrypt(1, samples.ping, key(1), ""), [][]byte{key(1)}},
		{"encrypted-compound10", encrypt(1, compound(ten...), key(1), ""), [][]byte{key(1)}},
	}
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			p := NewPeeker("", static(bm.keys...))
			visit := func(Seen) {}
			b.ReportAllocs()
			b.SetBytes(int64(len(bm.packet)))
			for b.Loop() {
				if err := p.Peek(bm.packet, visit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
