package wire

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPeekThroughEachLayer(t *testing.T) {
	all := compound(sampleMessages...)
	tests := []struct {
		name   string
		packet []byte
		label  string
		keys   [][]byte
	}{
		{"plain", all, "", nil},
		{"checksum", checksum(all), "", nil},
		{"compressed", compress(all), "", nil},
		{"compressed within compound", compound(compress(all)), "", nil},
		{"compressed twice", compress(compress(all)), "", nil},
		{"label", labelled(all, "blue"), "blue", nil},
		{"longest label", labelled(all, strings.Repeat("b", 255)), strings.Repeat("b", 255), nil},
		{"encrypted", encrypt(1, all, key(1), ""), "", [][]byte{key(1)}},
		{"encrypted with AES-256", encrypt(1, all, bytes.Repeat([]byte{1}, 32), ""), "", [][]byte{bytes.Repeat([]byte{1}, 32)}},
		{"encrypted with the second key", encrypt(1, all, key(2), ""), "", [][]byte{key(1), key(2)}},
		{"a key that is none", encrypt(1, all, key(2), ""), "", [][]byte{{1, 2, 3}, key(2)}},
		{"everything", labelled(encrypt(1, checksum(compress(all)), key(2), "blue"), "blue"), "blue", [][]byte{key(2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPeeker(tt.label, static(tt.keys...))
			before := bytes.Clone(tt.packet)
			got, err := peek(p, tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			if diff := diffSeen(sampleSeen, got); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
			if !bytes.Equal(before, tt.packet) {
				t.Fatal("peeking changed the packet")
			}
		})
	}
}

func TestPeekRefuses(t *testing.T) {
	everything := make([]byte, 70000)
	deep := samples.suspect
	for range maxDepth + 1 {
		deep = compound(deep)
	}
	wrongSum := checksum(samples.suspect)
	wrongSum[4]++
	unknown := pack(9, engineCompressed{Algo: 1}, oldSpec)
	longName := pack(Suspect, engineAccusation{Node: strings.Repeat("n", MaxName+1)}, oldSpec)
	changed := encrypt(1, samples.suspect, key(1), "")
	changed[0] = 0
	tests := []struct {
		name   string
		packet []byte
		label  string
		keys   [][]byte
		text   string
	}{
		{"nothing", nil, "", nil, "empty"},
		{"a label that we have not", labelled(samples.suspect, "blue"), "", nil, "label"},
		{"no label", samples.suspect, "blue", nil, "label"},
		{"another label", labelled(samples.suspect, "blues"), "blue", nil, "label"},
		{"an empty label", []byte{244, 0, 3}, "", nil, "label"},
		{"label cut off", []byte{244, 5, 'b', 'l'}, "blue", nil, "too early"},
		{"only a label", labelled(nil, "blue"), "blue", nil, "empty"},
		{"plain text in spite of a key", samples.suspect, "", [][]byte{key(1)}, "not encrypted"},
		{"encrypted, cut off", encrypt(1, samples.suspect, key(1), "")[:20], "", [][]byte{key(1)}, "too early"},
		{"encrypted with another key", encrypt(1, samples.suspect, key(3), ""), "", [][]byte{key(1), key(2)}, "no installed key"},
		{"encrypted for another label", labelled(encrypt(1, samples.suspect, key(1), "red"), "blue"), "blue", [][]byte{key(1)}, "no installed key"},
		{"encrypted nothing", encrypt(1, nil, key(1), ""), "", [][]byte{key(1)}, "empty"},
		{"encrypted, and we have no key", encrypt(1, samples.suspect, key(1), ""), "", nil, ""},
		{"checksum", wrongSum, "", nil, "checksum"},
		{"checksum within compound", compound(checksum(samples.suspect)), "", nil, "kind 12"},
		{"compressed otherwise", unknown, "", nil, "compression"},
		{"compressed nonsense", pack(9, engineCompressed{Buf: []byte{1, 2, 3}}, oldSpec), "", nil, "compressed message"},
		{"compressed too well", compress(everything), "", nil, "65536"},
		{"nested too deep", deep, "", nil, "nested"},
		{"compound without count", []byte{7}, "", nil, "too early"},
		{"compound without lengths", []byte{7, 2, 0, 1}, "", nil, "too early"},
		{"unknown type", []byte{200, 1}, "", nil, "kind 200"},
		{"no body", []byte{byte(Suspect)}, "", nil, "suspect message: it ends too early"},
		{"not a map", []byte{byte(Ping), 0x01}, "", nil, "ping message: it is not a map"},
		{"long name", longName, "", nil, "longer than"},
		{"large meta", pack(Alive, engineAlive{Meta: make([]byte, MaxMeta+1)}, oldSpec), "", nil, "longer than"},
		{"negative incarnation", pack(Dead, map[string]int{"Incarnation": -1}, oldSpec), "", nil, "number"},
		{"incarnation out of range", pack(Dead, map[string]int64{"Incarnation": 1 << 32}, oldSpec), "", nil, "number"},
		{"a name that is a number", pack(Dead, map[string]int{"Node": 1}, oldSpec), "", nil, "string"},
		{"msgpack has no 0xc1", append([]byte{byte(Dead)}, "\x81\xa1x\xc1"...), "", nil, "not msgpack"},
		{"an extension of 4 GB in an array that is cut off", append([]byte{byte(Nack)}, "\x81\xa1x\xdc\xff\xff\xc9\xff\xff\xff\xff\xff..."...), "", nil, errOverlong.Error()},
		{"an extension of 4 GB in a map that is cut off", append([]byte{byte(Nack)}, "\xdf\xff\xff\xff\xff\xa1x\xc9\xff\xff\xff\xff\xff..."...), "", nil, errOverlong.Error()},
		{"an extension of 4 GB", append([]byte{byte(Nack)}, "\x81\xa1x\xc9\xff\xff\xff\xff\xff..."...), "", nil, errOverlong.Error()},
		{"an extension of 4 GB, in an array", append([]byte{byte(Ping)}, "\x92\x01\xc9\xff\xff\xff\xff\xff..."...), "", nil, errOverlong.Error()},
		{"an extension of 4 GB behind something unknown", compound([]byte{200}, append([]byte{byte(Alive)}, "\x81\xa1x\xc9\xff\xff\xff\xff\xff..."...)), "", nil, errOverlong.Error()},
		{"encrypted, padded", encrypt(0, samples.suspect, key(1), ""), "", [][]byte{key(1)}, errPadded.Error()},
		{"encrypted, version changed", changed, "", [][]byte{key(1)}, errPadded.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPeeker(tt.label, static(tt.keys...))
			seen, err := peek(p, tt.packet)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want an error with %q", err, tt.text)
			}
			for _, s := range seen {
				if s.Kind != User { // ciphertext may look like one
					t.Fatalf("and it saw %+v", s)
				}
			}
			if s := p.Stats(); s.Packets != 1 || s.Unreadable != 1 {
				t.Fatalf("counted %+v", s)
			}
		})
	}
}

// What is malformed costs nothing but itself.
func TestPeekReadsOnBehindAMalformedMessage(t *testing.T) {
	cut := samples.suspect[:len(samples.suspect)-1]
	packet := compound(samples.ping, nil, cut, []byte{99}, compress(cut), samples.dead, samples.alive)
	got, err := peek(NewPeeker("", nil), packet[:len(packet)-1])
	if err == nil {
		t.Fatal("no error")
	}
	if diff := diffSeen([]Seen{sampleSeen[0], sampleSeen[6]}, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// One packet may not expand to more than the limit by holding many compressed messages either.
func TestPeekBoundsWhatAllCompressedMessagesExpandTo(t *testing.T) {
	user := compress(append([]byte{byte(User)}, make([]byte, 20000)...))
	got, err := peek(NewPeeker("", nil), compound(user, user, user, user, user, samples.ping))
	if err == nil || !strings.Contains(err.Error(), "expands") {
		t.Fatalf("got %v", err)
	}
	if diff := diffSeen([]Seen{{Kind: User}, {Kind: User}, {Kind: User}, sampleSeen[0]}, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestPeekFollowsRotation(t *testing.T) {
	var mu sync.Mutex
	keys := [][]byte{key(1)}
	p := NewPeeker("", func() [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return keys
	})
	install := func(installed ...[]byte) {
		mu.Lock()
		defer mu.Unlock()
		keys = installed
	}
	check := func(by []byte, readable bool) {
		t.Helper()
		if _, err := peek(p, encrypt(1, samples.suspect, by, "")); (err == nil) != readable {
			t.Fatalf("key %d: %v", by[0], err)
		}
	}
	check(key(1), true)
	check(key(2), false)
	install(key(1), key(2))
	check(key(1), true)
	check(key(2), true)
	install(key(2), key(1))
	check(key(1), true)
	check(key(2), true)
	install(key(2))
	check(key(1), false)
	check(key(2), true)

	// Rotation under way, with readers.
	install(key(1), key(2))
	packets := [][]byte{encrypt(1, samples.suspect, key(1), ""), encrypt(1, samples.suspect, key(2), "")}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				if got, err := peek(p, packets[i%2]); err != nil || len(got) != 1 {
					t.Errorf("saw %v, %v", got, err)
					return
				}
			}
		})
	}
	for i := range 500 {
		if i%2 == 0 {
			install(key(2), key(1))
		} else {
			install(key(1), key(2))
		}
	}
	wg.Wait()
}

func TestPeekKeepsNothingOfThePacket(t *testing.T) {
	for name, packet := range map[string][]byte{
		"plain":     compound(sampleMessages...),
		"encrypted": encrypt(1, compress(compound(sampleMessages...)), key(1), ""),
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPeeker("", nil)
			if name == "encrypted" {
				p = NewPeeker("", static(key(1)))
			}
			got, err := peek(p, packet)
			if err != nil {
				t.Fatal(err)
			}
			other := compound(bytes.Repeat([]byte{byte(User)}, 300))
			if name == "encrypted" {
				other = encrypt(1, compress(other), key(1), "")
			}
			if _, err := peek(p, other); err != nil {
				t.Fatal(err)
			}
			clear(packet)
			if diff := diffSeen(sampleSeen, got); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestStats(t *testing.T) {
	p := NewPeeker("", nil)
	for _, packet := range [][]byte{samples.ping, compound(sampleMessages...), {99}} {
		_, _ = peek(p, packet)
	}
	want := Stats{Packets: 3, Unreadable: 1, Messages: map[Kind]uint64{
		Ping: 2, IndirectPing: 1, Ack: 1, Nack: 1, Suspect: 1, Alive: 1, Dead: 1, User: 1}}
	if diff := cmp.Diff(want, p.Stats()); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// While a cluster moves to encryption packets of both kinds come, and the engine takes for plain what it cannot open.
func TestPeekAcceptsPlain(t *testing.T) {
	all := compound(samples.ping, samples.suspect, samples.alive, samples.dead)
	changed := encrypt(1, samples.suspect, key(1), "")
	changed[0] = 0
	for _, tt := range []struct {
		name   string
		packet []byte
		seen   int
	}{
		{"plain", all, 4},
		{"plain with a checksum", checksum(all), 4},
		{"plain, whose type looks like an encryption's version", samples.ping, 1},
		{"encrypted", encrypt(1, all, key(1), ""), 4},
		{"encrypted with a key that is not installed", encrypt(1, all, key(2), ""), 0},
		{"encrypted, version changed", changed, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := peek(NewPeeker("", static(key(1)), AcceptPlain()), tt.packet)
			if len(got) != tt.seen || (err != nil) != (tt.seen == 0) {
				t.Errorf("saw %d messages, want %d; error: %v", len(got), tt.seen, err)
			}
		})
	}
}
