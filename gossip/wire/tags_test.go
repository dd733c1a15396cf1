package wire

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"
)

func TestMetaLimitIsTheEngines(t *testing.T) {
	if MaxMeta != memberlist.MetaMaxSize {
		t.Fatalf("MaxMeta is %d, the engine's limit is %d", MaxMeta, memberlist.MetaMaxSize)
	}
}

func genTags() *rapid.Generator[map[string]string] {
	key := rapid.StringMatching(`[a-zA-Z0-9_./-]{1,12}`)
	value := rapid.StringMatching(`[a-zäöü€0-9 =:"{}]{0,20}`)
	return rapid.MapOfN(key, value, 0, 6)
}

func TestTagsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := genTags().Draw(t, "tags")
		meta, err := EncodeTags(tags)
		if errors.Is(err, ErrTooLarge) {
			t.Skip("larger than metadata")
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeTags(meta)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tags, got); diff != "" {
			t.Fatalf("(-sent +got)\n%s", diff)
		}
		// The same tags, put in in another order.
		again := make(map[string]string)
		for _, key := range slices.Backward(slices.Sorted(maps.Keys(tags))) {
			again[key] = tags[key]
		}
		other, err := EncodeTags(again)
		if err != nil || !bytes.Equal(meta, other) {
			t.Fatalf("equal tags give %x and %x (%v)", meta, other, err)
		}
	})
}

// What tells one process from the next travels with the tags, where they leave room for it.
func TestMetaSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags, life := genTags().Draw(t, "tags"), rapid.Uint32().Draw(t, "life")
		meta, err := EncodeMeta(tags, life)
		if _, plainErr := EncodeTags(tags); (err == nil) != (plainErr == nil) {
			t.Fatalf("with a life: %v, without: %v", err, plainErr)
		}
		if err != nil {
			return
		}
		got, gotLife, err := DecodeMeta(meta)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(tags, got) || len(meta) > MaxMeta {
			t.Errorf("%q became %q in %d bytes", tags, got, len(meta))
		}
		if gotLife != life && !(gotLife == 0 && len(meta)+lifeBytes > MaxMeta) {
			t.Errorf("life %d became %d", life, gotLife)
		}
	})
	if _, life, err := DecodeMeta([]byte("plain memberlist")); err == nil {
		t.Errorf("metadata that is not ours has life %d", life)
	}
}

func TestTagsAreSortedBytes(t *testing.T) {
	got, err := EncodeTags(map[string]string{"role": "db", "dc": "eu", "zone": ""})
	if err != nil {
		t.Fatal(err)
	}
	want := "\xb7\x01\x83\xa2dc\xa2eu\xa4role\xa2db\xa4zone\xa0"
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestNoTagsAreOursToo(t *testing.T) {
	meta, err := EncodeTags(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range [][]byte{meta, {magic, version, mpNil}} {
		tags, _, err := DecodeMeta(meta)
		if err != nil || tags == nil || len(tags) != 0 {
			t.Fatalf("%x is decoded to %v, %v; want an empty map", meta, tags, err)
		}
	}
}

func manyTags(n int) map[string]string {
	tags := make(map[string]string)
	for i := range n {
		tags[string(rune('A'+i/26))+string(rune('a'+i%26))] = ""
	}
	return tags
}

func TestEncodeTagsRefuses(t *testing.T) {
	tests := []struct {
		name string
		tags map[string]string
		want error
		text string
	}{
		{"empty key", map[string]string{"": "v"}, ErrInvalid, `key ""`},
		{"long key", map[string]string{strings.Repeat("k", 65): "v"}, ErrInvalid, "1 to 64"},
		{"key with a space", map[string]string{"a b": "v"}, ErrInvalid, `"a b"`},
		{"key that is not ASCII", map[string]string{"ä": "v"}, ErrInvalid, `"ä"`},
		{"key that is not UTF-8", map[string]string{"\xff": "v"}, ErrInvalid, `"\xff"`},
		{"long value", map[string]string{"k": strings.Repeat("v", 257)}, ErrInvalid, "257 bytes"},
		{"value with a line feed", map[string]string{"k": "a\nb"}, ErrInvalid, "control characters"},
		{"value with a C1 control", map[string]string{"k": "a\u0085b"}, ErrInvalid, "control characters"},
		{"value that is not UTF-8", map[string]string{"k": "\xff"}, ErrInvalid, "UTF-8"},
		{"too many", manyTags(65), ErrInvalid, "65 tags"},
		{"too large", map[string]string{"a": strings.Repeat("v", 256), "b": strings.Repeat("v", 256)}, ErrTooLarge,
			"2 tags take 525 bytes, and there are 512"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := EncodeTags(tt.tags)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestEncodeTagsTakesWhatIsJustAllowed(t *testing.T) {
	for name, tags := range map[string]map[string]string{
		"key":   {strings.Repeat("k", 64): ""},
		"value": {"k": strings.Repeat("v", 256)},
		"count": manyTags(64),
		// 2 header, 1 map, 2+3 keys and headers of 256, 2+2 of 244: 512 bytes.
		"size": {"a": strings.Repeat("v", 256), "b": strings.Repeat("v", 244)},
	} {
		t.Run(name, func(t *testing.T) {
			meta, err := EncodeTags(tags)
			if err != nil {
				t.Fatal(err)
			}
			if name == "size" && len(meta) != MaxMeta {
				t.Fatalf("%d bytes, the test meant %d", len(meta), MaxMeta)
			}
			if got, err := DecodeTags(meta); err != nil || !maps.Equal(got, tags) {
				t.Fatalf("decoded to %v, %v", got, err)
			}
		})
	}
}

func TestDecodeTagsRefuses(t *testing.T) {
	tests := []struct {
		name string
		meta string
		want error
	}{
		{"none", "", ErrUnknown},
		{"magic only", "\xb7", ErrUnknown},
		{"of someone else", "{\"role\":\"db\"}", ErrUnknown},
		{"of a later version", "\xb7\x02\x80", ErrUnknown},
		{"no body", "\xb7\x01", ErrInvalid},
		{"not a map", "\xb7\x01\x91\xa1a", ErrInvalid},
		{"cut off", "\xb7\x01\x82\xa1a\xa1b", ErrInvalid},
		{"with something behind", "\xb7\x01\x80\x80", ErrInvalid},
		{"a number as value", "\xb7\x01\x81\xa1a\x01", ErrInvalid},
		{"bad key", "\xb7\x01\x81\xa1 \xa1b", ErrInvalid},
		{"bad value", "\xb7\x01\x81\xa1a\xa1\x00", ErrInvalid},
		{"claims four billion", "\xb7\x01\xdf\xff\xff\xff\xff", ErrInvalid},
		{"too large", "\xb7\x01\x81\xa1a\xda\x02\x00" + strings.Repeat("v", 512), ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tags, err := DecodeTags([]byte(tt.meta)); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, %v; want %v", tags, err, tt.want)
			}
		})
	}
}

func FuzzDecodeTags(f *testing.F) {
	for _, tags := range []map[string]string{nil, {"role": "db"}, {"a": "b", "c": "€"}, manyTags(64)} {
		meta, err := EncodeTags(tags)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(meta)
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		tags, _, err := DecodeMeta(meta)
		if err != nil {
			return
		}
		// What is decoded is legal, though perhaps longer in our own encoding than in the sender's.
		again, err := EncodeTags(tags)
		if errors.Is(err, ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatalf("%q was decoded to %q, which cannot be encoded: %v", meta, tags, err)
		}
		if got, err := DecodeTags(again); err != nil || !maps.Equal(got, tags) {
			t.Fatalf("%q comes back as %q, %v", tags, got, err)
		}
	})
}
