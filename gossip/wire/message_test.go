package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"
)

// compareAddrs lets cmp compare addresses.
var compareAddrs = cmpopts.EquateComparable(netip.AddrPort{})

func genName(least int) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), least, 40), func(b []byte) string { return string(b) })
}

func genAddr() *rapid.Generator[netip.AddrPort] {
	return rapid.Custom(func(t *rapid.T) netip.AddrPort {
		n := rapid.SampledFrom([]int{4, 16}).Draw(t, "ip bytes")
		ip, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "ip"))
		return netip.AddrPortFrom(ip.Unmap(), rapid.Uint16().Draw(t, "port"))
	})
}

func genRecord() *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		pruned := rapid.Bool().Draw(t, "pruned")
		addr := genAddr().Draw(t, "addr")
		if pruned && rapid.Bool().Draw(t, "without address") {
			addr = netip.AddrPort{}
		}
		return Record{
			Name:        genName(1).Draw(t, "name"),
			Addr:        addr,
			Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			State:       rapid.SampledFrom([]uint8{StateFailed, StateLeft}).Draw(t, "state"),
			Meta:        rapid.SliceOfN(rapid.Byte(), 0, MaxMeta).Draw(t, "meta"),
			AgeMillis:   rapid.Int64Range(0, MaxAgeMillis).Draw(t, "age"),
			ForcedOut:   rapid.Bool().Draw(t, "forced out"),
			Pruned:      pruned,
		}
	})
}

func genMessage() *rapid.Generator[Message] {
	forcedOut := rapid.Custom(func(t *rapid.T) Message {
		return &ForcedOut{
			Subject:     genName(1).Draw(t, "subject"),
			Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			Prune:       rapid.Bool().Draw(t, "prune"),
			By:          genName(0).Draw(t, "by"),
			ID:          rapid.Uint64().Draw(t, "id"),
			At:          rapid.Int64().Draw(t, "at"),
		}
	})
	stateSync := rapid.Custom(func(t *rapid.T) Message {
		return &StateSync{Records: rapid.SliceOfN(genRecord(), 0, 5).Draw(t, "records")}
	})
	testimony := rapid.Custom(func(t *rapid.T) Message {
		return &Testimony{
			Subject:     "s" + genName(0).Draw(t, "subject"),
			Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			Age:         rapid.Uint16().Draw(t, "age"),
			Witnesses: rapid.SliceOfN(rapid.Map(genName(0), func(name string) string { return "w" + name }),
				1, MaxWitnesses).Draw(t, "witnesses"),
			Hearers: rapid.SliceOfN(rapid.Map(genName(0), func(name string) string { return "h" + name }),
				0, MaxWitnesses).Draw(t, "hearers"),
			Before: rapid.Uint16().Draw(t, "before"),
			Asked:  rapid.Uint16().Draw(t, "asked"),
		}
	})
	return rapid.OneOf(forcedOut, stateSync, testimony)
}

func TestMessagesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := genMessage().Draw(t, "message")
		b, err := Encode(sent)
		if err != nil {
			t.Fatal(err)
		}
		backup := bytes.Clone(b)
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, backup) {
			t.Fatal("decoding changed its input")
		}
		clear(b)
		if diff := cmp.Diff(sent, got, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-sent +got)\n%s", diff)
		}
	})
}

// The bytes are the protocol: what changes here does not talk to nodes of yesterday.
func TestMessageBytes(t *testing.T) {
	tests := []struct {
		m    Message
		want string
	}{
		{&ForcedOut{Subject: "n1", Incarnation: 7, Prune: true, By: "n2", ID: 300, At: -1},
			"\xb7\x01\x01\x86\xa1a\xff\xa1b\xa2n2\xa1d\xcd\x01\x2c\xa1i\x07\xa1p\xc3\xa1s\xa2n1"},
		{&StateSync{Records: []Record{{Name: "n1", Addr: netip.MustParseAddrPort("10.0.0.1:7946"), Incarnation: 1,
			State: StateLeft, AgeMillis: 1000, Meta: []byte{1, 2}, ForcedOut: true}}},
			"\xb7\x01\x02\x81\xa1n\x01" +
				"\x88\xa1a\xa4\x0a\x00\x00\x01\xa1f\xc3\xa1i\x01\xa1m\xa2\x01\x02\xa1n\xa2n1\xa1o\xcd\x1f\x0a\xa1s\x04\xa1t\xcd\x03\xe8"},
		{&Testimony{Subject: "n1", Incarnation: 7, Age: 50, Witnesses: []string{"n2", "n3"}}, "\xb7\x01\x03\x97\xa2n1\x07\x32\x92\xa2n2\xa2n3\xc0\x00\x00"},
		{&Testimony{Subject: "n1", Witnesses: []string{"n2"}, Hearers: []string{"n3"}}, "\xb7\x01\x03\x97\xa2n1\x00\x00\x91\xa2n2\x91\xa2n3\x00\x00"},
		{&Testimony{Subject: "n1", Before: 31}, "\xb7\x01\x03\x97\xa2n1\x00\x00\xc0\xc0\x1f\x00"},
		{&Testimony{Subject: "n1", Witnesses: []string{"n2", "n3"}, Asked: 2}, "\xb7\x01\x03\x97\xa2n1\x00\x00\x92\xa2n2\xa2n3\xc0\x00\x02"},
	}
	for _, tt := range tests {
		got, err := Encode(tt.m)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%T\n got %q\nwant %q", tt.m, got, tt.want)
		}
	}
}

func goodRecord() Record {
	return Record{Name: "n1", Addr: netip.MustParseAddrPort("[2001:db8::1]:7946"), State: StateFailed}
}

func TestEncodeRefuses(t *testing.T) {
	record := func(change func(*Record)) Message {
		r := goodRecord()
		change(&r)
		return &StateSync{Records: []Record{goodRecord(), r}}
	}
	fat := goodRecord()
	fat.Meta = make([]byte, MaxMeta)
	tests := []struct {
		name string
		m    Message
		want error
		text string
	}{
		{"no subject", &ForcedOut{By: "n1"}, ErrInvalid, "0 bytes"},
		{"long subject", &ForcedOut{Subject: strings.Repeat("n", 513)}, ErrInvalid, "513 bytes"},
		{"long by", &ForcedOut{Subject: "n", By: strings.Repeat("n", 513)}, ErrInvalid, "513 bytes"},
		{"no name", record(func(r *Record) { r.Name = "" }), ErrInvalid, "0 bytes"},
		{"long name", record(func(r *Record) { r.Name = strings.Repeat("n", 513) }), ErrInvalid, "513 bytes"},
		{"no address", record(func(r *Record) { r.Addr = netip.AddrPort{} }), ErrInvalid, "address"},
		{"zone", record(func(r *Record) { r.Addr = netip.MustParseAddrPort("[fe80::1%eth0]:1") }), ErrInvalid, "zone"},
		{"mapped", record(func(r *Record) { r.Addr = netip.MustParseAddrPort("[::ffff:10.0.0.1]:1") }), ErrInvalid, "mapped"},
		{"alive", record(func(r *Record) { r.State = 1 }), ErrInvalid, "state 1"},
		{"large meta", record(func(r *Record) { r.Meta = make([]byte, 513) }), ErrInvalid, "513 bytes"},
		{"negative age", record(func(r *Record) { r.AgeMillis = -1 }), ErrInvalid, "-1 ms"},
		{"absurd age", record(func(r *Record) { r.AgeMillis = MaxAgeMillis + 1 }), ErrInvalid, "ms"},
		{"many records", &StateSync{Records: make([]Record, 4097)}, ErrInvalid, "4097 records"},
		{"testimony without subject", &Testimony{Witnesses: []string{"n1"}}, ErrInvalid, "subject has 0 bytes"},
		{"testimony without witness", &Testimony{Subject: "n1"}, ErrInvalid, "0 witnesses"},
		{"many witnesses", &Testimony{Subject: "n1", Witnesses: make([]string, 17)}, ErrInvalid, "17 witnesses"},
		{"nameless witness", &Testimony{Subject: "n1", Witnesses: []string{"n2", ""}}, ErrInvalid, "witness has 0 bytes"},
		{"long witness", &Testimony{Subject: "n1", Witnesses: []string{strings.Repeat("n", 513)}}, ErrInvalid, "513 bytes"},
		{"many hearers", &Testimony{Subject: "n1", Witnesses: []string{"n2"}, Hearers: make([]string, 17)}, ErrInvalid, "17 hearers"},
		{"nameless hearer", &Testimony{Subject: "n1", Witnesses: []string{"n2"}, Hearers: []string{""}}, ErrInvalid, "hearer has 0 bytes"},
		{"against oneself", &Testimony{Subject: "n1", Witnesses: []string{"n1"}}, ErrInvalid, "is the subject"},
		{"long witnesses", &Testimony{Subject: "n1", Witnesses: slices.Repeat([]string{strings.Repeat("n", 512)}, 4)}, ErrTooLarge, "2048"},
		{"large", &StateSync{Records: repeat(fat, 2000)}, ErrTooLarge, "1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Encode(tt.m)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func repeat(r Record, n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = r
		records[i].Name = fmt.Sprint("n", i)
	}
	return records
}

// A sync of what Fit returns can always be sent, and takes the first of what can be sent at all.
func TestFitTakesWhatOneSyncCanCarry(t *testing.T) {
	fat, bad := goodRecord(), goodRecord()
	fat.Meta, fat.Incarnation, fat.AgeMillis, fat.ForcedOut, fat.Pruned = make([]byte, MaxMeta), 1<<31, MaxAgeMillis, true, true
	bad.State = 0
	tests := []struct {
		name    string
		records []Record
		least   int // of this many it takes all or more
		most    int
	}{
		{"none", nil, 0, 0},
		{"few", repeat(goodRecord(), 10), 10, 10},
		{"too many", repeat(goodRecord(), 5000), 4096, 4096},
		{"too large", repeat(fat, 4096), 1700, 2000},
		{"some are bad", append(repeat(bad, 3), repeat(goodRecord(), 2)...), 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fit := Fit(tt.records)
			if len(fit) < tt.least || len(fit) > tt.most {
				t.Fatalf("%d of %d fit, want %d to %d", len(fit), len(tt.records), tt.least, tt.most)
			}
			b, err := Encode(&StateSync{Records: fit})
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fit, got.(*StateSync).Records, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-sent +got)\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name  string
		input string
		want  error
	}{
		{"nothing", "", ErrUnknown},
		{"header cut off", "\xb7\x01", ErrUnknown},
		{"of someone else", "\x00\x01\x01\x80", ErrUnknown},
		{"of a later version", "\xb7\x02\x01\x80", ErrUnknown},
		{"of a later type", "\xb7\x01\x7f\x80", ErrUnknown},
		{"no body", "\xb7\x01\x01", ErrInvalid},
		{"nil body", "\xb7\x01\x01\xc0", ErrInvalid},
		{"no fields", "\xb7\x01\x01\x80", ErrInvalid},
		{"a number as subject", "\xb7\x01\x01\x81\xa1s\x01", ErrInvalid},
		{"incarnation out of range", "\xb7\x01\x01\x82\xa1s\xa1n\xa1i\xcf\x00\x00\x00\x01\x00\x00\x00\x00", ErrInvalid},
		{"cut off", "\xb7\x01\x01\x82\xa1s\xa2n", ErrInvalid},
		{"with something behind", "\xb7\x01\x01\x81\xa1s\xa1n\x00", ErrInvalid},
		{"string claims four billion", "\xb7\x01\x01\x81\xa1s\xdb\xff\xff\xff\xff", ErrInvalid},
		{"too large", "\xb7\x01\x01" + strings.Repeat("\x00", MaxBroadcast), ErrTooLarge},
		{"sync too large", "\xb7\x01\x02" + strings.Repeat("\x00", MaxStateSync), ErrTooLarge},
		{"too many records", "\xb7\x01\x02\x81\xa1n\xcd\x10\x01", ErrInvalid},
		{"fewer records than claimed", "\xb7\x01\x02\x81\xa1n\x02\x80", ErrInvalid},
		{"empty record", "\xb7\x01\x02\x81\xa1n\x01\x80", ErrInvalid},
		{"address of 5 bytes, pruned", "\xb7\x01\x02\x81\xa1n\x01\x84\xa1n\xa1x\xa1s\x03\xa1p\xc3\xa1a\xa5abcde", ErrInvalid},
		{"testimony of a number", "\xb7\x01\x03\x01", ErrInvalid},
		{"testimony cut short", "\xb7\x01\x03\x91\xa2n1", ErrInvalid},
		{"testimony at no incarnation", "\xb7\x01\x03\x94\xa2n1\xff\x01\x91\xa2n2", ErrInvalid},
		{"testimony of four billion", "\xb7\x01\x03\x94\xa2n1\x01\x01\xdd\xff\xff\xff\xff", ErrInvalid},
		{"address of 5 bytes", "\xb7\x01\x02\x81\xa1n\x01\x83\xa1n\xa1x\xa1s\x03\xa1a\xa5abcde", ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := Decode([]byte(tt.input)); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, %v; want %v", m, err, tt.want)
			}
		})
	}
}

// So is one that a later release adds to a testimony.
func TestDecodeSkipsMoreOfATestimony(t *testing.T) {
	got, err := Decode([]byte("\xb7\x01\x03\x99\xa2n1\x07\x32\x91\xa2n2\xc0\x00\x00\x92\x01\x02\xa1x"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Testimony{Subject: "n1", Incarnation: 7, Age: 50, Witnesses: []string{"n2"}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A release that knew no hearers sent none.
func TestDecodeTestimonyWithoutHearers(t *testing.T) {
	got, err := Decode([]byte("\xb7\x01\x03\x94\xa2n1\x07\x32\x91\xa2n2"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Testimony{Subject: "n1", Incarnation: 7, Age: 50, Witnesses: []string{"n2"}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEncodeSuspect(t *testing.T) {
	long := strings.Repeat("x", MaxName)
	for _, want := range []Seen{
		{Kind: Suspect, Node: "n1", From: "n2", Incarnation: 1<<32 - 1},
		{Kind: Suspect, Node: long, From: long},
	} {
		dead := want
		dead.Kind = Dead
		if got, err := peek(NewPeeker("", nil), EncodeDead(want.Node, want.From, want.Incarnation)); err != nil || diffSeen([]Seen{dead}, got) != "" {
			t.Errorf("got %+v, %v; want %+v", got, err, dead)
		}
		got, err := peek(NewPeeker("", nil), EncodeSuspect(want.Node, want.From, want.Incarnation))
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffSeen([]Seen{want}, got); diff != "" {
			t.Error(diff)
		}
	}
}

// A field that a later release adds does no harm.
func TestDecodeSkipsFieldsItDoesNotKnow(t *testing.T) {
	var buf bytes.Buffer
	buf.WriteString("\xb7\x01\x01")
	body := map[string]any{"s": "n1", "i": 3, "new": map[string]any{"deep": []int{1, 2, 3}}, "x": "y"}
	if err := codec.NewEncoder(&buf, msgpack).Encode(body); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&ForcedOut{Subject: "n1", Incarnation: 3}, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// hostile are messages that claim much and hold little, or nest deep.
func hostile() map[string][]byte {
	pad := func(head, unit string) []byte {
		b := []byte(head)
		for len(b)+len(unit) <= MaxStateSync {
			b = append(b, unit...)
		}
		return b
	}
	return map[string][]byte{
		"nil records":       pad("\xb7\x01\x02\x81\xa1n\xcd\x10\x00", "\xc0"),
		"deep arrays":       pad("\xb7\x01\x02\x81\xa1z", "\x91"),
		"wide arrays":       pad("\xb7\x01\x02\x81\xa1z", "\xdd\x7f\xff\xff\xff"),
		"maps in extension": pad("\xb7\x01\x02\x81\xa1z", "\xc7\x00\x05\xdf\x7f\xff\xff\xff"),
		"one long string":   pad("\xb7\x01\x02\x81\xa1n\x01\x81\xa1n\xdb\x00\x0f\xff\xef", "x"),
		"meta of numbers":   pad("\xb7\x01\x02\x81\xa1n\x01\x81\xa1m\xdd\x00\x0f\xff\xef", "\x01"),
		"testimonies":       pad("\xb7\x01\x03\x94\xa1x\x01\x01\xdd\x7f\xff\xff\xff", "\xa1y")[:MaxBroadcast],
		"fields again":      pad("\xb7\x01\x02\x81\xa1n\x01\xdf\x00\x0f\xff\xff", "\xa1m\xa1x"),
	}
}

func TestDecodeTakesBoundedMemory(t *testing.T) {
	for name, input := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := Decode(input)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatalf("decoded to %v", m)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 64*uint64(len(input)) {
				t.Fatalf("%d bytes made it take %d", len(input), taken)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for i := range 20 {
		b, err := Encode(genMessage().Example(i))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, input := range hostile() {
		f.Add(input[:64])
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		m, err := Decode(input)
		if err != nil {
			return
		}
		again, err := Encode(m)
		if errors.Is(err, ErrTooLarge) {
			return // our encoding is longer than the sender's
		}
		if err != nil {
			t.Fatalf("decoded to %v, which cannot be encoded: %v", m, err)
		}
		got, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got, compareAddrs); diff != "" {
			t.Fatalf("(-first +again)\n%s", diff)
		}
	})
}

func TestEncodeUsers(t *testing.T) {
	for _, count := range []int{1, 2, 255, 300} {
		var messages [][]byte
		for i := range count {
			messages = append(messages, bytes.Repeat([]byte{byte(i)}, i))
		}
		got, err := peek(NewPeeker("", nil), EncodeUsers(messages))
		if err != nil || len(got) != min(count, 255) {
			t.Errorf("of %d messages %d are seen, error %v", count, len(got), err)
		}
		for _, s := range got {
			if s.Kind != User {
				t.Errorf("%v", s)
			}
		}
	}
}
