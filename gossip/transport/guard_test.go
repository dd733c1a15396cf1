package transport

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func defaultLimits() limits {
	var cfg Config
	cfg.setDefaults()
	return newLimits(&cfg)
}

func TestInspectAccepts(t *testing.T) {
	l := defaultLimits()
	for _, c := range []struct {
		name string
		data []byte
		dir  direction
		want head
	}{
		{"ping", message(t, msgPing, pingBody{1, "n"}), inbound,
			head{kind: msgPing, body: 1 + smallBody, weight: leastWeight,
				members: memberScan{skip: 1, values: 1}, userState: smallBody}},
		{"ack", message(t, msgAck, struct{ SeqNo uint32 }{1}), outbound,
			head{kind: msgAck, body: 1 + smallBody, weight: leastWeight}},
		{"error", message(t, msgErr, struct{ Error string }{"no"}), outbound,
			head{kind: msgErr, body: 1 + smallBody, weight: leastWeight}},
		{"user message", message(t, msgUser, userHeader{5000}), inbound,
			head{kind: msgUser, body: 1 + 5000 + smallBody, weight: leastWeight + 5000}},
		{"push/pull", message(t, msgPushPull, pushPullHeader{10, 20, true}), inbound,
			head{kind: msgPushPull, body: 1 + 10*memberWire + 20 + smallBody, weight: leastWeight + 10*(memberWire+memberDecoded) + 20,
				members: memberScan{skip: 29, values: 10}, userState: 20}},
		{"labelled push/pull as an answer", withLabel("xyz", message(t, msgPushPull, pushPullHeader{1, 0, false})), outbound,
			head{label: "xyz", prefix: 5, kind: msgPushPull, body: 1 + memberWire + smallBody, weight: leastWeight + memberWire + memberDecoded,
				members: memberScan{skip: 34, values: 1}}},
		{"encrypted", encryptedHead(1000), inbound,
			head{kind: msgEncrypt, body: 1 + 1000 + smallBody, weight: leastWeight + encryptedCopies*1000}},
		{"the largest encrypted", encryptedHead(uint32(l.largest())), inbound,
			head{kind: msgEncrypt, body: 1 + l.largest() + smallBody, weight: l.budgets()[largeLane]}},
		{"compressed push/pull", pack(t, message(t, msgPushPull, pushPullHeader{1, 0, false}, aMember("n"))), inbound,
			head{kind: msgPushPull, packed: 1, start: 1, body: 1 + memberWire + smallBody, weight: leastWeight + memberWire + memberDecoded,
				members: memberScan{skip: 29, values: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := l.inspect(c.data, c.dir)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.packed > 0 { // how much LZW makes of it is not the point
				if int64(got.start)+got.packed != int64(len(c.data)) {
					t.Errorf("the compressed part goes from %d to %d of %d", got.start, int64(got.start)+got.packed, len(c.data))
				}
				got.packed, got.start = c.want.packed, c.want.start
			}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(head{}, memberScan{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	l := defaultLimits()
	for _, c := range []struct {
		name string
		data []byte
		dir  direction
		want string // in the error
	}{
		{"a million members", message(t, msgPushPull, pushPullHeader{1 << 20, 0, true}), inbound, "1048576 members, the limit of this node is 16384"},
		{"negative members", message(t, msgPushPull, pushPullHeader{-1, 0, true}), inbound, "-1 members"},
		{"user state of 20 MB", message(t, msgPushPull, pushPullHeader{1, 20 << 20, true}), inbound, "20971520 bytes of user state"},
		{"negative user state", message(t, msgPushPull, pushPullHeader{1, math.MinInt, true}), inbound, "bytes of user state"},
		{"the last of two fields counts", append([]byte{msgPushPull, 0x82}, "\xa5Nodes\x01\xa5Nodes\xce\x00\x0f\xff\xff"...), inbound, "1048575 members"},
		{"as an array", append([]byte{msgPushPull, 0x93, 0xce, 0, 0xf, 0xff, 0xff}, 0, 0xc2), inbound, "1048575 members"},
		{"a large user message", message(t, msgUser, userHeader{5 << 20}), inbound, "user message of 5242880 bytes"},
		{"a user message as an answer", message(t, msgUser, userHeader{5}), outbound, "type 8"},
		{"a ping as an answer", message(t, msgPing, pingBody{}), outbound, "type 0"},
		{"an ack as a question", message(t, msgAck, pingBody{}), inbound, "type 2"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), inbound, "type 71"},
		{"4 GB encrypted", encryptedHead(math.MaxUint32), inbound, "4294967295 encrypted bytes"},
		{"encrypted with padding", append(encryptedHead(1000)[:5], paddedVersion), inbound, "encryption is of version 0"},
		{"4 GB compressed", append([]byte{msgCompress}, "\x82\xa4Algo\x00\xa3Buf\xdb\xff\xff\xff\xff"...), inbound, "4294967295 compressed bytes"},
		{"another algorithm", append([]byte{msgCompress}, "\x82\xa4Algo\x01\xa3Buf\xa1x"...), inbound, "not LZW"},
		{"empty compressed part", append([]byte{msgCompress}, "\x82\xa4Algo\x00\xa3Buf\xa0"...), inbound, "empty or broken"},
		{"compressed twice", pack(t, pack(t, message(t, msgUser, userHeader{5}))), inbound, "type 9"},
		{"a million members, compressed", pack(t, message(t, msgPushPull, pushPullHeader{1 << 20, 0, true})), inbound, "1048576 members"},
		{"compressed and cut off", pack(t, message(t, msgPushPull, pushPullHeader{1, 0, true})[:6]), inbound, "truncated"},
		{"empty label", []byte{msgLabel, 0, msgPing}, inbound, "label header is empty"},
		{"a header that is a string", append([]byte{msgPushPull}, "\xa5Nodes"...), inbound, "not msgpack as memberlist writes it"},
		{"an endless unknown field", append(append([]byte{msgPushPull, 0x82}, "\xa1x\xdb\x7f\xff\xff\xff"...), make([]byte, maxHead)...), inbound, "more than 1024 bytes"},
		{"a deep unknown field", append(append([]byte{msgPushPull, 0x82}, "\xa1x"...), bytes.Repeat([]byte{0x91}, maxHead)...), inbound, "stream refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := l.inspect(c.data, c.dir)
			if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a refusal with %q", err, c.want)
			}
		})
	}
}

// A stream arrives in pieces. Every prefix must either ask for more or give the final answer.
func TestInspectNeedsNoMoreThanItTakes(t *testing.T) {
	l := defaultLimits()
	for _, data := range [][]byte{
		withLabel(strings.Repeat("l", 255), message(t, msgPushPull, pushPullHeader{10, 20, true})),
		message(t, msgUser, userHeader{5000}),
		encryptedHead(1000),
		withLabel("x", pack(t, message(t, msgPushPull, pushPullHeader{3, 0, true}, aMember("a"), aMember("b"), aMember("c")))),
	} {
		want, err := l.inspect(data, inbound)
		if err != nil {
			t.Fatal(err)
		}
		for n := range data {
			got, err := l.inspect(data[:n], inbound)
			if errors.Is(err, errMore) {
				continue
			}
			if d := cmp.Diff(want, got, cmp.AllowUnexported(head{}, memberScan{})); d != "" || err != nil {
				t.Errorf("after %d bytes: error %v, %s", n, err, d)
			}
		}
		if _, err := l.inspect(data[:len(data)-1], inbound); errors.Is(err, errMore) && data[0] != msgUser && data[0] != msgEncrypt && data[0] != msgLabel {
			t.Errorf("still asks for more one byte before the end")
		}
	}
}

func TestWeightFitsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := limits{members: rapid.IntRange(0, mostMembers).Draw(t, "members"), userState: rapid.IntRange(0, mostUserState).Draw(t, "userState")}
		var h head
		l.charge(&h, rapid.Int64Range(0, 1<<32).Draw(t, "size"), rapid.Int64Range(0, 1<<32).Draw(t, "extra"))
		if w := l.withReply(h, rapid.Int64Range(0, 1<<40).Draw(t, "reply")); w < leastWeight || w > l.budgets()[largeLane] {
			t.Fatalf("weight %d for a budget of %d", w, l.budgets()[largeLane])
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1"), true)
	f.Add(withLabel("xyz", message(f, msgPushPull, pushPullHeader{10, 20, true})), true)
	f.Add(pack(f, message(f, msgPushPull, pushPullHeader{10, 20, true})), false)
	f.Add(encryptedHead(77), true)
	f.Add(message(f, msgUser, userHeader{1 << 30}), true)
	l := defaultLimits()
	f.Fuzz(func(t *testing.T, data []byte, in bool) {
		dir := outbound
		if in {
			dir = inbound
		}
		data = data[:min(len(data), maxHead)]
		h, err := l.inspect(data, dir)
		if errors.Is(err, errMore) && len(data) >= maxHead {
			t.Fatal("asks for more than it may")
		}
		if err != nil {
			return
		}
		if h.weight < leastWeight || h.weight > l.budgets()[largeLane] || h.body <= 0 || h.body > 1+l.largest()+smallBody {
			t.Fatalf("out of bounds: %+v", h)
		}
		if h.prefix > len(data) || h.start > len(data) || h.packed < 0 || h.packed > l.largest() {
			t.Fatalf("impossible offsets: %+v", h)
		}
	})
}
