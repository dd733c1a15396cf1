package wire

import (
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// The twin reads packets slowly, and as the engine does: with go-msgpack into structs of the engine's shape. It is the
// oracle for Peek.

type (
	enginePing struct {
		SeqNo      uint32
		Node       string
		SourceAddr []byte `codec:",omitempty"`
		SourcePort uint16 `codec:",omitempty"`
		SourceNode string `codec:",omitempty"`
	}
	engineIndirectPing struct {
		SeqNo      uint32
		Target     []byte
		Port       uint16
		Node       string
		Nack       bool
		SourceAddr []byte `codec:",omitempty"`
		SourcePort uint16 `codec:",omitempty"`
		SourceNode string `codec:",omitempty"`
	}
	engineAck struct {
		SeqNo   uint32
		Payload []byte
	}
	engineNack struct {
		SeqNo uint32
	}
	engineAccusation struct {
		Incarnation uint32
		Node        string
		From        string
	}
	engineAlive struct {
		Incarnation uint32
		Node        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Vsn         []uint8
	}
	engineCompressed struct {
		Algo uint8
		Buf  []byte
	}
)

// twin is one reading of a packet.
type twin struct {
	seen []Seen
	// failed: the engine would have dropped some of it.
	failed bool
	// exotic: go-msgpack accepts it, but no peer sends it, and Peek need not read it: structs as arrays or nil, bytes as
	// arrays or maps of numbers, more than Peek's limits.
	exotic bool
	depth  int
	grown  int
}

func twinRead(packet []byte, label string, keys [][]byte) *twin {
	t := &twin{}
	body, found, err := memberlist.RemoveLabelHeaderFromPacket(packet)
	if err != nil || found != label {
		t.failed = true
		return t
	}
	if len(keys) > 0 {
		body, err = twinDecrypt(body, label, keys)
		if err != nil {
			t.failed = true
			return t
		}
	}
	if len(body) >= 5 && body[0] == 12 {
		if crc32.ChecksumIEEE(body[5:]) != binary.BigEndian.Uint32(body[1:5]) {
			t.failed = true
			return t
		}
		body = body[5:]
	}
	t.message(body)
	return t
}

func twinDecrypt(body []byte, label string, keys [][]byte) ([]byte, error) {
	if len(body) < 29 || body[0] > 1 {
		return nil, errors.New("too short or not encrypted")
	}
	for _, key := range keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		plain, err := gcm.Open(nil, body[1:13], body[13:], []byte(label))
		if err != nil {
			continue
		}
		if body[0] == 0 {
			return nil, errors.New("padded") // the engine may panic
		}
		return plain, nil
	}
	return nil, errors.New("no key fits")
}

func (t *twin) message(b []byte) {
	if len(b) == 0 {
		t.failed = true
		return
	}
	switch b[0] {
	case 7:
		t.nested(func() { t.compound(b[1:]) })
	case 9:
		t.nested(func() { t.compressed(b[1:]) })
	default:
		t.single(b[0], b[1:])
	}
}

func (t *twin) nested(read func()) {
	t.depth++
	if t.depth > maxDepth {
		t.exotic = true
	} else {
		read()
	}
	t.depth--
}

func (t *twin) compound(b []byte) {
	if len(b) < 1 || len(b)-1 < 2*int(b[0]) {
		t.failed = true
		return
	}
	rest := b[1+2*int(b[0]):]
	for i := range int(b[0]) {
		n := int(b[1+2*i])<<8 | int(b[2+2*i])
		if n > len(rest) {
			t.failed = true
			return
		}
		t.message(rest[:n])
		rest = rest[n:]
	}
}

func (t *twin) compressed(b []byte) {
	var c engineCompressed
	if !t.decode(b, &c, "Buf") {
		return
	}
	if c.Algo != 0 {
		t.failed = true
		return
	}
	plain, err := io.ReadAll(io.LimitReader(lzw.NewReader(bytes.NewReader(c.Buf), lzw.LSB, 8), 4*maxExpanded))
	t.grown += len(plain)
	if t.grown > maxExpanded {
		t.exotic = true
		return
	}
	if err != nil {
		t.failed = true
		return
	}
	t.message(plain)
}

func (t *twin) single(kind byte, b []byte) {
	seen := Seen{Kind: Kind(kind)}
	ok := false
	switch Kind(kind) {
	case Ping:
		var m enginePing
		ok = t.decode(b, &m)
		seen.SeqNo = m.SeqNo
	case IndirectPing:
		var m engineIndirectPing
		ok = t.decode(b, &m)
		seen.SeqNo = m.SeqNo
	case Ack:
		var m engineAck
		ok = t.decode(b, &m)
		seen.SeqNo = m.SeqNo
	case Nack:
		var m engineNack
		ok = t.decode(b, &m)
		seen.SeqNo = m.SeqNo
	case Suspect, Dead:
		var m engineAccusation
		ok = t.decode(b, &m, "Node", "From")
		seen.Incarnation, seen.Node, seen.From = m.Incarnation, m.Node, m.From
		t.exotic = t.exotic || len(m.Node) > MaxName || len(m.From) > MaxName
	case Alive:
		var m engineAlive
		ok = t.decode(b, &m, "Node", "Addr", "Meta", "Vsn")
		seen.Incarnation, seen.Node, seen.Meta = m.Incarnation, m.Node, m.Meta
		addr, _ := netip.AddrFromSlice(m.Addr)
		seen.Addr = netip.AddrPortFrom(addr, m.Port)
		if len(m.Vsn) > 5 {
			copy(seen.Versions[:], m.Vsn)
		}
		t.exotic = t.exotic || len(m.Node) > MaxName || len(m.Meta) > MaxMeta
	case User:
		ok = true
	default:
		t.failed = true
	}
	if ok {
		t.seen = append(t.seen, seen)
	}
}

// decode decodes as the engine does, into a fresh struct. The values of bytes, the fields that hold strings or bytes,
// are looked at for exotic encodings.
func (t *twin) decode(b []byte, into any, stringy ...string) bool {
	if err := codec.NewDecoder(bytes.NewReader(b), &codec.MsgpackHandle{}).Decode(into); err != nil {
		t.failed = true
		return false
	}
	pairs, err := twinPairs(b)
	if err != nil {
		t.exotic = true
		return true
	}
	keys := map[string]bool{}
	for _, p := range pairs {
		// Peek takes the first sequence number and go-msgpack the last; no peer sends two of a field.
		t.exotic = t.exotic || keys[p.key]
		keys[p.key] = true
		for _, field := range stringy {
			switch p.value.(type) {
			case nil, string, []byte:
			default:
				t.exotic = t.exotic || field == p.key
			}
		}
	}
	return true
}

type twinPair struct {
	key   string
	value any
}

// twinPairs decodes a map of strings to anything, in its order.
func twinPairs(b []byte) ([]twinPair, error) {
	if len(b) == 0 {
		return nil, io.EOF
	}
	n, width := 0, 0
	switch {
	case b[0]&0xf0 == 0x80:
		n, width = int(b[0]&0x0f), 1
	case b[0] == 0xde && len(b) >= 3:
		n, width = int(binary.BigEndian.Uint16(b[1:])), 3
	case b[0] == 0xdf && len(b) >= 5:
		n, width = int(binary.BigEndian.Uint32(b[1:])), 5
	default:
		return nil, fmt.Errorf("not a map: %#x", b[0])
	}
	dec := codec.NewDecoderBytes(b[width:], &codec.MsgpackHandle{})
	var pairs []twinPair
	for range n {
		var key, value any
		if err := dec.Decode(&key); err != nil {
			return nil, err
		}
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		switch key := key.(type) {
		case []byte:
			pairs = append(pairs, twinPair{string(key), value})
		case string:
			pairs = append(pairs, twinPair{key, value})
		case nil:
			pairs = append(pairs, twinPair{"", value})
		default:
			return nil, fmt.Errorf("a key of type %T", key)
		}
	}
	return pairs, nil
}
