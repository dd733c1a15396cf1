package wire

import (
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-msgpack/v2/codec"
)

// pack encodes a message as the engine does; h is its handle, or one of the new specification.
func pack(kind Kind, body any, h *codec.MsgpackHandle) []byte {
	buf := bytes.NewBuffer([]byte{byte(kind)})
	if err := codec.NewEncoder(buf, h).Encode(body); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

var (
	oldSpec = &codec.MsgpackHandle{}
	newSpec = &codec.MsgpackHandle{WriteExt: true, PositiveIntUnsigned: true}
	wide    = &codec.MsgpackHandle{NoFixedNum: true}
)

func compound(messages ...[]byte) []byte {
	out := []byte{7, byte(len(messages))}
	for _, m := range messages {
		out = binary.BigEndian.AppendUint16(out, uint16(len(m)))
	}
	return append(out, bytes.Join(messages, nil)...)
}

func compress(message []byte) []byte {
	var buf bytes.Buffer
	w := lzw.NewWriter(&buf, lzw.LSB, 8)
	_, _ = w.Write(message)
	_ = w.Close()
	return pack(9, engineCompressed{Buf: buf.Bytes()}, oldSpec)
}

func checksum(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{12}, crc32.ChecksumIEEE(message)), message...)
}

// encrypt is the engine's encryption; nonces need not be random here.
func encrypt(version byte, message, key []byte, label string) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	if version == 0 {
		n := 16 - len(message)%16
		message = append(bytes.Clone(message), bytes.Repeat([]byte{byte(n)}, n)...)
	}
	nonce := []byte("twelve bytes")
	return gcm.Seal(append([]byte{version}, nonce...), nonce, message, []byte(label))
}

func labelled(packet []byte, label string) []byte {
	if label == "" {
		return packet
	}
	return append(append([]byte{244, byte(len(label))}, label...), packet...)
}

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, 16) }

func static(keys ...[]byte) func() [][]byte {
	return func() [][]byte { return keys }
}

// peek collects what p sees.
func peek(p *Peeker, packet []byte) ([]Seen, error) {
	var seen []Seen
	err := p.Peek(packet, func(s Seen) { seen = append(seen, s) })
	return seen, err
}

// differences between two lists of Seen; an empty Meta is as good as none.
func diffSeen(want, got []Seen) string {
	return cmp.Diff(want, got, compareAddrs, cmpopts.EquateEmpty())
}

var samples = struct{ ping, indirect, ack, nack, suspect, alive, dead, user []byte }{
	ping: pack(Ping, enginePing{SeqNo: 77, Node: "n2", SourceAddr: []byte{10, 0, 0, 1}, SourcePort: 7946,
		SourceNode: "n1"}, oldSpec),
	indirect: pack(IndirectPing, engineIndirectPing{SeqNo: 1 << 20, Target: []byte{10, 0, 0, 2}, Port: 7946, Node: "n3",
		Nack: true, SourceAddr: []byte{10, 0, 0, 1}, SourcePort: 7946, SourceNode: "n1"}, oldSpec),
	ack:     pack(Ack, engineAck{SeqNo: 77, Payload: []byte("digest..")}, oldSpec),
	nack:    pack(Nack, engineNack{SeqNo: 300}, oldSpec),
	suspect: pack(Suspect, engineAccusation{Incarnation: 5, Node: "n2", From: "n1"}, oldSpec),
	alive: pack(Alive, engineAlive{Incarnation: 6, Node: "n2", Addr: netip.MustParseAddr("::ffff:10.0.0.2").AsSlice(),
		Port: 7946, Meta: []byte("meta"), Vsn: []uint8{1, 5, 2, 0, 0, 0}}, oldSpec),
	dead: pack(Dead, engineAccusation{Incarnation: 7, Node: "n2", From: "n2"}, oldSpec),
	user: []byte{8, 1, 2, 3},
}

var sampleMessages = [][]byte{samples.ping, samples.indirect, samples.ack, samples.nack, samples.suspect, samples.alive,
	samples.dead, samples.user}

var sampleSeen = []Seen{
	{Kind: Ping, SeqNo: 77},
	{Kind: IndirectPing, SeqNo: 1 << 20},
	{Kind: Ack, SeqNo: 77},
	{Kind: Nack, SeqNo: 300},
	{Kind: Suspect, Node: "n2", From: "n1", Incarnation: 5},
	{Kind: Alive, Node: "n2", Incarnation: 6, Addr: netip.MustParseAddrPort("[::ffff:10.0.0.2]:7946"), Meta: []byte("meta"),
		Versions: [6]uint8{1, 5, 2}},
	{Kind: Dead, Node: "n2", From: "n2", Incarnation: 7},
	{Kind: User},
}
