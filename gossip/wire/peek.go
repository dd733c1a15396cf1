package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Kind is the type of one of the engine's messages; its value is the engine's type byte.
type Kind uint8

// The kinds that a Peeker shows.
const (
	Ping         Kind = 0
	IndirectPing Kind = 1
	Ack          Kind = 2
	Suspect      Kind = 3
	Alive        Kind = 4
	Dead         Kind = 5
	User         Kind = 8
	Nack         Kind = 11

	kindEnd = Nack + 1
)

var kindNames = [kindEnd]string{
	Ping: "ping", IndirectPing: "indirect ping", Ack: "ack", Suspect: "suspect",
	Alive: "alive", Dead: "dead", User: "user", Nack: "nack",
}

// String returns the kind in words, as in "indirect ping".
func (k Kind) String() string {
	if k < kindEnd && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// The type bytes of the layers around a message.
const (
	typeCompound = 7
	typeCompress = 9
	typeChecksum = 12
	typeLabel    = 244
)

const (
	// MaxName is how long the name of a node may be, in bytes. The engine itself knows no limit.
	MaxName = 512
	// MaxMeta is how much metadata the engine lets a node have, in bytes.
	MaxMeta = 512

	maxLabel = 255
	// maxDepth bounds compound and compressed layers within each other. The engine nests two of them.
	maxDepth = 4
	// maxExpanded bounds what all compressed layers of one packet expand to: as much as a UDP packet can hold.
	maxExpanded = 64 << 10
)

// Seen is one message of the engine, as it passed. All of it is the visitor's to keep.
type Seen struct {
	Kind Kind
	// SeqNo of a Ping or IndirectPing, and of the Ack or Nack that answers it. These kinds have no other field but Digest.
	SeqNo uint32
	// Digest in the payload of an Ack, if Told; both only while ReadDigests is on.
	Digest Digest
	Told   bool
	// Node is whom a Suspect, Alive or Dead is about.
	Node string
	// From is who says it, for Suspect and Dead. A Dead about a node from itself means that it leaves.
	From string
	// Incarnation of Node, for Suspect, Alive and Dead.
	Incarnation uint32
	// Addr of an Alive, as it was sent: IPv4 that is mapped into IPv6 stays so, for it is another address to the engine,
	// and port 0 stands for the port that the receiver is bound to. It is not valid if the sender sent none or nonsense.
	Addr netip.AddrPort
	// Meta of an Alive, at most MaxMeta bytes.
	Meta []byte
	// Versions of an Alive: the lowest, highest and current one of the engine's protocol, and the same of the delegate's.
	// All are 0 if the sender sent fewer; a protocol of 0 does not exist.
	Versions [6]uint8
}

// Stats counts what a Peeker has read since it was made.
type Stats struct {
	Packets    uint64 // all that were handed to Peek
	Unreadable uint64 // those of them for which Peek returned an error
	Messages   map[Kind]uint64
}

// Peeker reads the engine's messages off its packets. Safe for concurrent use.
type Peeker struct {
	label      []byte
	keys       func() [][]byte
	plainToo   bool // with keys, packets in plain text are read as well
	opener     opener
	scratch    sync.Pool   // of *scratch
	digests    atomic.Bool // read the payload of acks
	packets    atomic.Uint64
	unreadable atomic.Uint64
	messages   [kindEnd]atomic.Uint64
}

// NewPeeker returns a Peeker for packets that carry label (none if it is empty). keys returns the installed keys, the
// primary one first, and none without encryption; it is called for each packet, so that a rotation takes effect at
// once. It may be nil. With keys a packet in plain text is refused, as the engine does under GossipVerifyIncoming:
// else who has no key could make the tap see accusations. See [AcceptPlain].
func NewPeeker(label string, keys func() [][]byte, options ...PeekerOption) *Peeker {
	p := &Peeker{
		label:   []byte(label),
		keys:    keys,
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}
	for _, option := range options {
		option(p)
	}
	return p
}

// PeekerOption changes what NewPeeker returns.
type PeekerOption func(*Peeker)

// AcceptPlain lets a Peeker with keys read packets in plain text, too, as the engine does without GossipVerifyIncoming:
// what no key opens is taken for plain.
func AcceptPlain() PeekerOption { return func(p *Peeker) { p.plainToo = true } }

// ReadDigests says whether digests are to be read off acks, which are every other packet; at first they are not.
func (p *Peeker) ReadDigests(on bool) { p.digests.Store(on) }

// Stats returns the counts so far.
func (p *Peeker) Stats() Stats {
	s := Stats{
		Packets:    p.packets.Load(),
		Unreadable: p.unreadable.Load(),
		Messages:   make(map[Kind]uint64),
	}
	for kind := range kindEnd {
		if kindNames[kind] != "" {
			s.Messages[kind] = p.messages[kind].Load()
		}
	}
	return s
}

// ErrUnsafe is in the chain of an error of Peek when the engine, given that packet, could crash or ask for gigabytes.
var ErrUnsafe = errors.New("it must not reach the engine")

var (
	errEmpty    = errors.New("it is empty")
	errLabel    = errors.New("its label is not ours")
	errChecksum = errors.New("its checksum is wrong")
	// errOverlong: the engine's decoder allocates whatever length an extension of msgpack claims, before it looks for the
	// bytes. What claims more than there is cannot be read anyhow.
	errOverlong  = fmt.Errorf("%w: an extension in it is cut off (%w)", ErrUnsafe, errTruncated)
	errDepth     = errors.New("its layers are nested too deep")
	errAlgorithm = errors.New("its compression is unknown")
	errExpanded  = fmt.Errorf("it expands to more than %d bytes", maxExpanded)
)

// Peek calls visit, before it returns, for each message in a packet as it came from or goes to the network, in the
// packet's order. It neither keeps nor changes packet.
//
// An error says why the packet, or some message of it, could not be read; all others have been visited then. The
// engine's own judgement is not affected: hand the packet on as it is, unless the error is [ErrUnsafe].
func (p *Peeker) Peek(packet []byte, visit func(Seen)) error {
	p.packets.Add(1)
	w := walk{p: p, visit: visit}
	w.packet(packet)
	if w.scratch != nil {
		w.scratch.expanded = w.scratch.expanded[:0]
		p.scratch.Put(w.scratch)
	}
	if w.err != nil {
		p.unreadable.Add(1)
		return fmt.Errorf("peek into a packet of %d bytes: %w", len(packet), w.err)
	}
	return nil
}

// walk is one call of Peek.
type walk struct {
	p       *Peeker
	visit   func(Seen)
	scratch *scratch // taken from the pool when first needed
	err     error    // the first, or one that is ErrUnsafe
}

func (w *walk) fail(err error) {
	if w.err == nil || errors.Is(err, ErrUnsafe) {
		w.err = err
	}
}

func (w *walk) buffers() *scratch {
	if w.scratch == nil {
		w.scratch = w.p.scratch.Get().(*scratch)
	}
	return w.scratch
}

// packet removes the layers that occur once, outside: label, encryption, checksum.
func (w *walk) packet(packet []byte) {
	body, err := w.unlabel(packet)
	if err != nil {
		w.fail(err)
		return
	}
	if w.p.keys != nil {
		if keys := w.p.keys(); len(keys) > 0 {
			s := w.buffers()
			s.plain = slices.Grow(s.plain[:0], len(body))
			opened, err := w.p.opener.open(s.plain, body, w.p.label, keys)
			switch {
			case err == nil:
				body = opened
			case !w.p.plainToo || errors.Is(err, errPadded):
				w.fail(err)
				return
			}
		}
	}
	if len(body) >= 5 && body[0] == typeChecksum {
		if crc32.ChecksumIEEE(body[5:]) != binary.BigEndian.Uint32(body[1:5]) {
			w.fail(errChecksum)
			return
		}
		body = body[5:]
	}
	w.message(body, 0)
}

func (w *walk) unlabel(packet []byte) ([]byte, error) {
	if len(packet) == 0 {
		return nil, errEmpty
	}
	if packet[0] != typeLabel {
		if len(w.p.label) != 0 {
			return nil, errLabel
		}
		return packet, nil
	}
	if len(packet) < 2 || len(packet) < 2+int(packet[1]) {
		return nil, errTruncated
	}
	end := 2 + int(packet[1])
	// No label is written as no header at all, never as an empty one.
	if end == 2 || string(packet[2:end]) != string(w.p.label) {
		return nil, errLabel
	}
	return packet[end:], nil
}

// message reads one message, which may hold others.
func (w *walk) message(message []byte, depth int) {
	if len(message) == 0 {
		w.fail(errEmpty)
		return
	}
	kind, body := message[0], message[1:]
	switch kind {
	case typeCompound:
		w.compound(body, depth+1)
	case typeCompress:
		w.compressed(body, depth+1)
	default:
		if Kind(kind) != User && overlong(body) {
			w.fail(errOverlong)
			return
		}
		seen, err := read(Kind(kind), body)
		if err != nil {
			w.fail(err)
			return
		}
		if seen.Kind == Ack && w.p.digests.Load() {
			seen.Digest, seen.Told = readDigest(body)
		}
		w.p.messages[kind].Add(1)
		w.visit(seen)
	}
}

// compound reads messages that travel together. One that cannot be read does not affect the others.
func (w *walk) compound(body []byte, depth int) {
	if depth > maxDepth {
		w.fail(errDepth)
		return
	}
	if len(body) == 0 || len(body) < 1+2*int(body[0]) {
		w.fail(errTruncated)
		return
	}
	count := int(body[0])
	lengths, rest := body[1:1+2*count], body[1+2*count:]
	for i := range count {
		n := int(binary.BigEndian.Uint16(lengths[2*i:]))
		if n > len(rest) {
			w.fail(errTruncated)
			return
		}
		w.message(rest[:n], depth)
		rest = rest[n:]
	}
}

func (w *walk) compressed(body []byte, depth int) {
	if depth > maxDepth {
		w.fail(errDepth)
		return
	}
	packed, err := readCompressed(body)
	if err != nil {
		w.fail(err)
		return
	}
	message, err := w.buffers().expand(packed)
	if err != nil {
		w.fail(err)
		return
	}
	w.message(message, depth)
}
