package transport

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"
)

// However the bytes are cut, the members end where they end.
func TestMemberScanFindsTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var buf bytes.Buffer
		enc := codec.NewEncoder(&buf, &codec.MsgpackHandle{WriteExt: rapid.Bool().Draw(t, "new strings")})
		count := rapid.IntRange(0, 5).Draw(t, "members")
		for range count {
			m := memberState{
				Name:        rapid.StringN(0, 300, 1000).Draw(t, "name"),
				Addr:        rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "addr"),
				Port:        rapid.Uint16().Draw(t, "port"),
				Meta:        rapid.SliceOfN(rapid.Byte(), 0, 512).Draw(t, "meta"),
				Incarnation: rapid.Uint32().Draw(t, "incarnation"),
				State:       rapid.Int().Draw(t, "state"),
			}
			if err := enc.Encode(m); err != nil {
				t.Fatal(err)
			}
		}
		state := rapid.SliceOf(rapid.Byte()).Draw(t, "user state")
		header := rapid.IntRange(0, 40).Draw(t, "header")
		end := header + buf.Len()
		data := append(append(make([]byte, header), buf.Bytes()...), state...)

		scan := memberScan{skip: uint64(header), values: uint64(count)}
		for at := 0; at < len(data); {
			if scan.done() != (at >= end) {
				t.Fatalf("after %d bytes of %d: done is %v", at, end, scan.done())
			}
			n := rapid.IntRange(1, len(data)-at).Draw(t, "n")
			got, err := scan.feed(data[at : at+n])
			if want := min(n, max(end-at, 0)); err != nil || got != want {
				t.Fatalf("at %d of %d: %d of %d bytes belong to members, error %v", at, end, got, n, err)
			}
			at += n
		}
		if !scan.done() {
			t.Fatal("not done at the end")
		}
	})
}

func TestMemberScanRefuses(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"4 GB of meta", "\x81\xa4Meta\xdb\xff\xff\xff\xff", "4294967295 bytes or elements"},
		{"as the new type", "\x81\xa4Meta\xc6\x00\x01\x00\x00", "65536 bytes or elements"},
		{"as an array", "\x81\xa4Meta\xdd\xff\xff\xff\xff", "4294967295 bytes or elements"},
		{"as a map", "\xdf\x00\x10\x00\x00", "1048576 bytes or elements"},
		{"an extension", "\x81\xa4Meta\xc9\xff\xff\xff\xff", "type 0xc9"},
	} {
		for cut := range len(c.data) {
			scan := memberScan{values: 1}
			_, first := scan.feed([]byte(c.data[:cut]))
			_, err := scan.feed([]byte(c.data[cut:]))
			if err = errors.Join(first, err); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, cut at %d: error %v", c.name, cut, err)
			}
		}
	}
}

// The scan against the decoder it protects, which decodes into a struct like this one: where it sees the end of a member, the
// decoder does.
func FuzzMemberScan(f *testing.F) {
	f.Add(message(f, 0, aMember("n"))[1:])
	f.Add([]byte("\x93\x01\xa1x\xc4\x01y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		scan := memberScan{values: 1}
		n, err := scan.feed(data)
		if err != nil || !scan.done() {
			return
		}
		var v memberState
		dec := codec.NewDecoderBytes(data, &codec.MsgpackHandle{})
		if err := dec.Decode(&v); err == nil && dec.NumBytesRead() != n {
			t.Fatalf("the member has %d bytes, not %d", dec.NumBytesRead(), n)
		}
	})
}
