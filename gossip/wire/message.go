package wire

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// The header of our messages. Metadata has magic and version only.
const (
	magic      = 0xb7
	version    = 1
	headerSize = 3
)

// The types of our messages. Their numbers are part of the protocol: never reuse one.
const (
	typeForcedOut = 1
	typeStateSync = 2
	typeTestimony = 3
)

const (
	// MaxBroadcast bounds a message that travels by itself, in bytes. (A broadcast must fit into a packet to be sent
	// at all, which is less by the engine's defaults.)
	MaxBroadcast = 2048
	// MaxStateSync bounds a StateSync, in bytes.
	MaxStateSync = 1 << 20
	// MaxRecords bounds the records of a StateSync.
	MaxRecords = 4096
)

var (
	// ErrUnknown: the bytes are not ours, or of a version or type that this node does not know. Ignore them.
	ErrUnknown = errors.New("not a message of heartbeat that is known here")
	// ErrTooLarge: the message or the tags exceed their limit.
	ErrTooLarge = errors.New("too large")
	// ErrInvalid: the bytes cannot be decoded, or a field is out of its bounds.
	ErrInvalid = errors.New("invalid")
)

// Message is one of ours: *ForcedOut, *StateSync or *Testimony.
type Message interface {
	kind() byte
	// limit is how many bytes the encoded message may have.
	limit() int
	encode(*codec.Encoder) error
	decode(*codec.Decoder) error
	validate() error
}

// ForcedOut says that an operator forced a failed member out.
type ForcedOut struct {
	Subject     string `codec:"s"` // 1 to MaxName bytes
	Incarnation uint32 `codec:"i"` // of the subject, when it was forced out
	Prune       bool   `codec:"p"` // forget the member altogether
	By          string `codec:"b"` // the node where it was ordered, at most MaxName bytes
	ID          uint64 `codec:"d"` // tells this order from others
	At          int64  `codec:"a"` // when it was ordered by the clock of By: milliseconds since 1970 in UTC, to be shown only
}

func (*ForcedOut) kind() byte { return typeForcedOut }
func (*ForcedOut) limit() int { return MaxBroadcast }

func (f *ForcedOut) encode(enc *codec.Encoder) error { return enc.Encode(f) }
func (f *ForcedOut) decode(dec *codec.Decoder) error { return dec.Decode(f) }

func (f *ForcedOut) validate() error {
	if len(f.Subject) == 0 || len(f.Subject) > MaxName {
		return fmt.Errorf("%w: the subject has %d bytes, must be 1 to %d", ErrInvalid, len(f.Subject), MaxName)
	}
	if len(f.By) > MaxName {
		return fmt.Errorf("%w: who forced it out has %d bytes, at most %d fit", ErrInvalid, len(f.By), MaxName)
	}
	return nil
}

// msgpack is how all our bodies are encoded. Canonical sorts maps; the limits keep a length that the input merely
// claims from costing memory, and nesting from costing stack.
var msgpack = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true, PositiveIntUnsigned: true}
	h.RawToString = true
	h.Canonical = true
	h.MaxInitLen = 1024
	h.MaxDepth = 16
	return h
}()

// Encode returns m with its header. It fails with ErrInvalid if a field is out of its bounds, with ErrTooLarge if the
// message as a whole is.
func Encode(m Message) ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	var buf bytes.Buffer
	buf.Write([]byte{magic, version, m.kind()})
	if err := m.encode(codec.NewEncoder(&buf, msgpack)); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	if buf.Len() > m.limit() {
		return nil, fmt.Errorf("encode %T: %w: it takes %d bytes, at most %d are allowed", m, ErrTooLarge, buf.Len(), m.limit())
	}
	return buf.Bytes(), nil
}

// Decode returns the message that b holds; it shares no memory with b. The errors are ErrUnknown, ErrTooLarge and
// ErrInvalid. Whatever b is, the memory taken is proportional to its length.
func Decode(b []byte) (Message, error) {
	if len(b) < headerSize || b[0] != magic || b[1] != version {
		return nil, ErrUnknown
	}
	var m Message
	switch b[2] {
	case typeForcedOut:
		m = new(ForcedOut)
	case typeStateSync:
		m = new(StateSync)
	case typeTestimony:
		m = new(Testimony)
	default:
		return nil, fmt.Errorf("message of type %d: %w", b[2], ErrUnknown)
	}
	if len(b) > m.limit() {
		return nil, fmt.Errorf("decode %T: %w: it has %d bytes, at most %d are allowed", m, ErrTooLarge, len(b), m.limit())
	}
	body := b[headerSize:]
	dec := codec.NewDecoderBytes(body, msgpack)
	if err := m.decode(dec); err != nil {
		return nil, fmt.Errorf("decode %T of %d bytes: %w: %w", m, len(b), ErrInvalid, err)
	}
	if rest := len(body) - dec.NumBytesRead(); rest != 0 {
		return nil, fmt.Errorf("decode %T of %d bytes: %w: %d bytes are left over", m, len(b), ErrInvalid, rest)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("decode %T of %d bytes: %w", m, len(b), err)
	}
	return m, nil
}
