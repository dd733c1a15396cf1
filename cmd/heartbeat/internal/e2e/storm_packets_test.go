package e2e

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"heartbeat/gossip/wire"
)

// The engine's message types and messages, as they travel.
const (
	typePing = iota
	typeIndirectPing
	typeAck
	typeSuspect
	typeAlive
	typeDead
	typePushPull
	typeCompound
	typeUser
	typeCompress
	typeEncrypt
	typeNack
	typeCRC
	typeErr
	typeLabel = 244
)

type (
	pingMsg struct {
		SeqNo      uint32
		Node       string
		SourceAddr []byte
		SourcePort uint16
		SourceNode string
	}
	indirectPingMsg struct {
		SeqNo      uint32
		Target     []byte
		Port       uint16
		Node       string
		Nack       bool
		SourceAddr []byte
		SourcePort uint16
		SourceNode string
	}
	ackMsg struct {
		SeqNo   uint32
		Payload []byte
	}
	nackMsg       struct{ SeqNo uint32 }
	accusationMsg struct { // suspect and dead
		Incarnation uint32
		Node, From  string
	}
	aliveMsg struct {
		Incarnation uint32
		Node        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Vsn         []uint8
	}
	compressMsg struct {
		Algo uint8
		Buf  []byte
	}
	pushPullMsg struct {
		Nodes        int
		UserStateLen int
		Join         bool
	}
	userMsg struct{ UserMsgLen int }
)

// pack encodes a message as the engine does.
func pack(kind byte, body any) []byte {
	buf := bytes.NewBuffer([]byte{kind})
	if err := codec.NewEncoder(buf, &codec.MsgpackHandle{}).Encode(body); err != nil {
		panic(err) // the types above are all that is encoded
	}
	return buf.Bytes()
}

func compound(parts ...[]byte) []byte {
	out := []byte{typeCompound, byte(len(parts))}
	for _, p := range parts {
		out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
	}
	return append(out, bytes.Join(parts, nil)...)
}

func compress(data []byte) []byte {
	var buf bytes.Buffer
	w := lzw.NewWriter(&buf, lzw.LSB, 8)
	_, _ = w.Write(data) // a bytes.Buffer takes all
	_ = w.Close()
	return pack(typeCompress, compressMsg{Buf: buf.Bytes()})
}

func checksummed(data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typeCRC}, crc32.ChecksumIEEE(data)), data...)
}

func labelled(label string, data []byte) []byte {
	return append(append([]byte{typeLabel, byte(len(label))}, label...), data...)
}

// loopback is where every address in a packet points: whatever the storm
// forges, no packet leaves this machine.
var loopback = []byte{127, 0, 0, 1}

// keepOnLoopback puts the loopback address behind every name of a field that
// holds an address. Mutation may have changed it, and the engine answers pings
// and relays probes to whatever stands there.
func keepOnLoopback(packet []byte) []byte {
	field := append([]byte{0xa4}, loopback...) // msgpack: 4 bytes
	for _, name := range []string{"Addr", "Target"} {
		for at := 0; ; {
			i := bytes.Index(packet[at:], []byte(name))
			if i < 0 {
				break
			}
			at += i + len(name)
			copy(packet[at:], field)
		}
	}
	return packet
}

// storm makes packets. It belongs to one goroutine.
type storm struct {
	rng     *rand.Rand
	members []string // the true ones
	bombs   [][]byte
}

func newStorm(seed, stream uint64, members []string) *storm {
	s := &storm{rng: rand.New(rand.NewPCG(seed, stream)), members: members}
	zeros := compress(make([]byte, 60<<10))
	nest := pack(typeNack, nackMsg{1})
	for range 10 {
		nest = compress(nest)
	}
	s.bombs = [][]byte{
		compress(make([]byte, 8<<20)), // expands a thousand times
		compress(zeros),               // twice
		compound(zeros, zeros, zeros, zeros),
		compress(compound(slices.Repeat([][]byte{nest}, 50)...)),
	}
	return s
}

// name is mostly that of a true member, else a new one.
func (s *storm) name() string {
	if s.rng.IntN(3) > 0 {
		return s.members[s.rng.IntN(len(s.members))]
	}
	return fmt.Sprintf("forged-%d", s.rng.IntN(5000))
}

func (s *storm) bytes(most int) []byte {
	b := make([]byte, s.rng.IntN(most+1))
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return b
}

// message is a valid message of any type that travels in packets.
func (s *storm) message() []byte {
	port := uint16(1 + s.rng.IntN(65535))
	small := s.rng.Uint32N(20)
	switch s.rng.IntN(9) {
	case 0:
		return pack(typePing, pingMsg{s.rng.Uint32(), s.name(), loopback, port, s.name()})
	case 1:
		return pack(typeIndirectPing, indirectPingMsg{s.rng.Uint32(), loopback, port, s.name(), s.rng.IntN(2) == 0, loopback, port, s.name()})
	case 2:
		return pack(typeAck, ackMsg{small, s.bytes(40)})
	case 3:
		return pack(typeNack, nackMsg{small})
	case 4:
		return pack(typeSuspect, accusationMsg{small, s.name(), s.name()})
	case 5:
		return pack(typeAlive, aliveMsg{small, s.name(), loopback, port, s.bytes(60), []uint8{1, 5, 2, 0, 0, 0}})
	case 6:
		return pack(typeDead, accusationMsg{small, s.name(), s.name()})
	case 7:
		order := &wire.ForcedOut{ID: s.rng.Uint64(), Subject: s.name(), Incarnation: small, Prune: s.rng.IntN(2) == 0, By: s.name()}
		b, err := wire.Encode(order)
		if err != nil {
			panic(err)
		}
		return append([]byte{typeUser}, b...)
	default:
		return append([]byte{typeUser}, s.bytes(200)...)
	}
}

// packet is a valid packet: one message or several, wrapped in all ways that
// the engine knows.
func (s *storm) packet() []byte {
	p := s.message()
	if s.rng.IntN(3) == 0 {
		parts := make([][]byte, 1+s.rng.IntN(6))
		for i := range parts {
			parts[i] = s.message()
		}
		p = compound(parts...)
	}
	// What is compressed is not looked through by keepOnLoopback, so only what
	// holds no address is.
	if s.rng.IntN(6) == 0 && !bytes.Contains(p, []byte("Addr")) {
		p = compress(p)
	}
	if s.rng.IntN(3) == 0 {
		p = checksummed(p)
	}
	return p
}

// mutate damages a packet in one of many ways.
func (s *storm) mutate(p []byte) []byte {
	at := func() int { return s.rng.IntN(len(p)) }
	switch s.rng.IntN(9) {
	case 0: // flip bits
		for range 1 + s.rng.IntN(8) {
			p[at()] ^= 1 << s.rng.IntN(8)
		}
	case 1: // truncate
		p = p[:at()+1]
	case 2: // extend
		p = append(p, s.bytes(300)...)
	case 3: // splice with another
		other := s.packet()
		p = slices.Concat(p[:at()], other[s.rng.IntN(len(other)):])
	case 4: // repeat a part
		i := at()
		p = slices.Insert(p, i, bytes.Clone(p[i:])...)
	case 5: // wrong lengths: msgpack's and the compound's
		for range 1 + s.rng.IntN(3) {
			copy(p[at():], [][]byte{{0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0x7f, 0xff, 0xff, 0xff}, {0xda, 0xff, 0xff}, {0x8f}, {0x00}}[s.rng.IntN(6)])
		}
	case 6: // nest
		for range 1 + s.rng.IntN(20) {
			p = compound(p, p[:at()])
			if len(p) > 8<<10 {
				break
			}
		}
	case 7: // a wrong checksum, or none of a kind
		p = append([]byte{typeCRC}, p...)
	case 8: // another type
		p[0] = byte(s.rng.Uint32N(20))
	}
	if len(p) == 0 || len(p) > 60<<10 {
		return []byte{typeCompound}
	}
	return p
}

// random is noise of any length.
func (s *storm) random() []byte {
	p := s.bytes(1400)
	if len(p) > 0 && s.rng.IntN(2) == 0 {
		p[0] = byte(s.rng.Uint32N(16)) // a type that exists
	}
	return p
}

// broken is what nobody can take for a message: noise and bombs.
func (s *storm) broken() []byte {
	if s.rng.IntN(20) == 0 {
		return bytes.Clone(s.bombs[s.rng.IntN(len(s.bombs))])
	}
	return s.random()
}

// mutated is a damaged packet; without a key some of them are believed.
func (s *storm) mutated() []byte {
	if s.rng.IntN(100) == 0 {
		return s.broken()
	}
	return keepOnLoopback(s.mutate(s.packet()))
}

// sealed is a packet that was encrypted with the cluster's key and then
// damaged, as an attacker could who has recorded it.
func (s *storm) sealed(label string, key []byte) []byte {
	whole, err := wire.Wrap(s.packet(), label, key)
	if err != nil {
		panic(err)
	}
	body := len(whole) - len(labelled(label, nil)) // all but the label's header
	sealed := bytes.Clone(whole[len(whole)-body:])
	switch s.rng.IntN(10) {
	case 0: // the version byte is the only one that nothing protects
		sealed[0] = 0
	default:
		before := bytes.Clone(sealed)
		if sealed = s.mutate(sealed); bytes.Equal(before, sealed) {
			return s.random()
		}
	}
	return labelled(label, sealed)
}
