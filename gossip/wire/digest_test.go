package wire

import (
	"bytes"
	"math"
	"testing"
)

func TestDigestPayload(t *testing.T) {
	for _, d := range []Digest{{}, {1, 1}, {math.MaxUint64, 127}, {0x0102030405060708, 128}, {7, MaxHeld}} {
		b := d.Encode()
		if got, ok := DecodeDigest(b); !ok || got != d {
			t.Errorf("%+v came back as %+v %v", d, got, ok)
		}
		for n := range b {
			if got, ok := DecodeDigest(b[:n]); ok {
				t.Errorf("%d of %d bytes were read as %+v", n, len(b), got)
			}
		}
		if _, ok := DecodeDigest(append(b, 0)); ok {
			t.Error("a payload with a byte left over was read")
		}
	}
	if got, want := (Digest{0x0102030405060708, 300}).Encode(), []byte{0xd1, 1, 2, 3, 4, 5, 6, 7, 8, 0xac, 2}; !bytes.Equal(got, want) {
		t.Errorf("the payload is % x, want % x", got, want)
	}
	for name, payload := range map[string][]byte{
		"none":            nil,
		"another version": {0xd2, 1, 2, 3, 4, 5, 6, 7, 8, 1},
		"Serf's":          append([]byte{1}, make([]byte, 60)...),
		"a huge count":    (Digest{1, MaxHeld + 1}).Encode(),
		"an endless one":  append([]byte{0xd1, 1, 2, 3, 4, 5, 6, 7, 8}, bytes.Repeat([]byte{0xff}, 12)...),
	} {
		if got, ok := DecodeDigest(payload); ok {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func FuzzDecodeDigest(f *testing.F) {
	f.Add([]byte(nil))
	f.Add((Digest{1, 1}).Encode())
	f.Add((Digest{math.MaxUint64, MaxHeld}).Encode())
	f.Fuzz(func(t *testing.T, payload []byte) {
		d, ok := DecodeDigest(payload)
		if !ok {
			if d != (Digest{}) {
				t.Errorf("refused, but %+v", d)
			}
			return
		}
		if d.Held > MaxHeld {
			t.Errorf("%+v is over the bound", d)
		}
		if again, ok := DecodeDigest(d.Encode()); !ok || again != d {
			t.Errorf("%+v came back as %+v %v", d, again, ok)
		}
	})
}
