package wire

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"
)

// genMessageBytes draws a message of any kind, in any encoding that a peer may use.
func genMessageBytes() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		h := rapid.SampledFrom([]*codec.MsgpackHandle{oldSpec, newSpec, wide}).Draw(t, "handle")
		name := genName(0)
		kind := rapid.SampledFrom([]Kind{Ping, IndirectPing, Ack, Nack, Suspect, Alive, Dead, User}).Draw(t, "kind")
		switch kind {
		case Ping:
			return pack(kind, enginePing{SeqNo: rapid.Uint32().Draw(t, "seq"), Node: name.Draw(t, "node"),
				SourceAddr: []byte{1, 2, 3, 4}, SourcePort: rapid.Uint16().Draw(t, "port")}, h)
		case IndirectPing:
			return pack(kind, engineIndirectPing{SeqNo: rapid.Uint32().Draw(t, "seq"), Target: []byte{1, 2, 3, 4},
				Node: name.Draw(t, "node"), Nack: rapid.Bool().Draw(t, "nack")}, h)
		case Ack:
			return pack(kind, engineAck{SeqNo: rapid.Uint32().Draw(t, "seq"),
				Payload: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")}, h)
		case Nack:
			return pack(kind, engineNack{SeqNo: rapid.Uint32().Draw(t, "seq")}, h)
		case User:
			return append([]byte{byte(User)}, rapid.SliceOf(rapid.Byte()).Draw(t, "user message")...)
		case Alive:
			return pack(kind, engineAlive{Incarnation: rapid.Uint32().Draw(t, "incarnation"), Node: name.Draw(t, "node"),
				Addr: rapid.SliceOfN(rapid.Byte(), 0, 17).Draw(t, "addr"), Port: rapid.Uint16().Draw(t, "port"),
				Meta: rapid.SliceOfN(rapid.Byte(), 0, MaxMeta).Draw(t, "meta"), Vsn: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "versions")}, h)
		default:
			fields := map[string]any{
				"Incarnation": rapid.Uint32().Draw(t, "incarnation"),
				"Node":        name.Draw(t, "node"),
				"From":        name.Draw(t, "from"),
			}
			for _, field := range []string{"Incarnation", "Node", "From"} {
				switch rapid.SampledFrom([]string{"value", "value", "value", "nil", "missing"}).Draw(t, field) {
				case "nil":
					fields[field] = nil
				case "missing":
					delete(fields, field)
				}
			}
			if rapid.Bool().Draw(t, "more fields") {
				fields["Later"] = rapid.SampledFrom([]any{1, -7, 1.5, float32(2), true, "s", []any{nil, []int{1}, "x"},
					map[string]any{"a": map[string]int{"b": 300, "c": -40000}}, strings.Repeat("s", 300),
					uint64(1 << 40), int64(-1 << 40), codec.RawExt{Tag: 5, Data: []byte("ext")}}).Draw(t, "later")
				for i := range rapid.IntRange(0, 20).Draw(t, "padding") {
					fields[strings.Repeat("x", i+1)] = i
				}
			}
			return pack(kind, fields, h)
		}
	})
}

// genPacket draws a packet with any layers that a peer may put around messages.
func genPacket(label string, by []byte) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		packet := genMessageBytes().Draw(t, "message")
		if rapid.Bool().Draw(t, "compound") {
			packet = compound(append(rapid.SliceOfN(genMessageBytes(), 0, 6).Draw(t, "more"), packet)...)
		}
		if rapid.Bool().Draw(t, "compressed") {
			packet = compress(packet)
		}
		if rapid.Bool().Draw(t, "checksum") {
			packet = checksum(packet)
		}
		if by != nil {
			packet = encrypt(1, packet, by, label)
		}
		return labelled(packet, label)
	})
}

func TestPeekSeesWhatTheEngineDecodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.SampledFrom([]string{"", "blue"}).Draw(t, "label")
		by := rapid.SampledFrom([][]byte{nil, key(1), key(2)}).Draw(t, "key")
		var keys [][]byte
		if by != nil {
			keys = [][]byte{key(1), key(2)}
		}
		packet := genPacket(label, by).Draw(t, "packet")
		want := twinRead(packet, label, keys)
		if want.failed || want.exotic {
			t.Fatalf("the twin cannot read what a peer may send: %+v", want)
		}
		got, err := peek(NewPeeker(label, static(keys...)), packet)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffSeen(want.seen, got); diff != "" {
			t.Fatalf("(-engine +peek)\n%s", diff)
		}
	})
}

// FuzzPeek feeds the input as it is, and as the content of an encrypted packet, and compares with the twin.
func FuzzPeek(f *testing.F) {
	for _, m := range sampleMessages {
		f.Add(m)
		f.Add(compress(m))
	}
	f.Add(compound(sampleMessages...))
	f.Add(compound(samples.ping, compress(compound(samples.suspect, samples.alive))))
	f.Add(checksum(compound(samples.ack, samples.dead)))
	f.Add(labelled(samples.suspect, "blue"))
	f.Add(pack(Suspect, engineAccusation{Incarnation: 1 << 31, Node: strings.Repeat("n", 300)}, newSpec))
	for i := range 20 {
		f.Add(genPacket("", nil).Example(i))
	}
	plain, blue := NewPeeker("", nil), NewPeeker("blue", nil)
	secret := NewPeeker("blue", static(key(1)))
	f.Fuzz(func(t *testing.T, input []byte) {
		compare(t, plain, input, "", nil)
		compare(t, blue, input, "blue", nil)
		compare(t, secret, labelled(encrypt(1, input, key(1), "blue"), "blue"), "blue", [][]byte{key(1)})
		padded := labelled(encrypt(0, input, key(1), "blue"), "blue")
		compare(t, secret, padded, "blue", [][]byte{key(1)})
	})
}

func compare(t *testing.T, p *Peeker, packet []byte, label string, keys [][]byte) {
	t.Helper()
	if len(packet) > maxExpanded {
		return
	}
	got, err := peek(p, packet)
	want := twinRead(packet, label, keys)
	if want.exotic {
		return
	}
	if want.failed {
		// Peek may have read more, of fields that it skips or does not get to, but never less.
		got = subsequence(want.seen, got)
	} else if err != nil {
		t.Fatalf("the engine reads %+v, Peek fails: %v", want.seen, err)
	}
	if diff := diffSeen(want.seen, got); diff != "" {
		t.Fatalf("(-engine +peek)\n%s", diff)
	}
}

// subsequence drops from got what stands between the elements of want.
func subsequence(want, got []Seen) []Seen {
	var kept []Seen
	for _, g := range got {
		if len(kept) < len(want) && diffSeen([]Seen{want[len(kept)]}, []Seen{g}) == "" {
			kept = append(kept, g)
		}
	}
	return kept
}
