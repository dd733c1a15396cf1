package transport

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// lzwLitWidth is the literal width of memberlist's LZW.
const lzwLitWidth = 8

// paddedVersion of the encryption has padding. Nothing authenticates the version: anyone who has recorded a stream could
// change it, and the engine would panic on what it then takes for padding.
const paddedVersion = 0

const (
	// maxHead is how many bytes a head may have: a label header of 257, a message header of some 50, or as much of a compressed
	// one as is needed to see the header inside.
	maxHead = 1024
	// maxInner is how much of a compressed stream is expanded to see that header.
	maxInner = 256
	// memberWire is the most bytes that a member may take in a push/pull, on average over that push/pull: its meta has up to 512.
	memberWire = 1024
	// memberWireMean is the same over a push/pull of MaxMembers, where so much meta everywhere is not plausible.
	memberWireMean = 192
	// memberDecoded is what the engine allocates for each member announced, before it reads any.
	memberDecoded = 104
	// smallBody bounds pings, acks and errors, and is the slack given to the others.
	smallBody = 64 << 10
	// leastWeight is charged for every stream: goroutine, buffers, a decoder, an LZW decoder.
	leastWeight = 96 << 10
	// A stream of at most smallWeight takes its memory from smallBudget, which is enough for 85 with leastWeight. A push/pull
	// of 800 members is small.
	smallWeight = 1 << 20
	smallBudget = 8 << 20
	// encryptedCopies: the engine collects an encrypted stream in a buffer that doubles, and decrypts into another one.
	encryptedCopies = 3
)

// limits are the claims that a stream's head may make.
type limits struct {
	members   int
	userState int
}

func newLimits(cfg *Config) limits {
	return limits{members: cfg.MaxMembers, userState: cfg.MaxUserState}
}

// largest is the most bytes that a message may have, however it is wrapped.
func (l limits) largest() int64 {
	return max(int64(l.members)*memberWireMean+int64(l.userState), 2*smallWeight)
}

// budgets are the memory for the small and for the large streams being decoded. The garbage collector lets a process
// grow to more than twice what it holds, so they are kept small: a stream over the larger one is decoded with no other
// large one beside it.
func (l limits) budgets() [lanes]int64 {
	return [lanes]int64{smallLane: smallBudget, largeLane: l.largest()}
}

// direction tells which messages may begin a stream.
type direction int

const (
	inbound  direction = iota // a peer has opened the stream and asks
	outbound                  // this node has opened it, and a peer answers
)

// head is what the beginning of a stream says.
type head struct {
	label  string
	prefix int   // length of the label header
	kind   byte  // of the message, the inner one when compressed
	packed int64 // length of the compressed part, 0 when there is none
	start  int   // where the compressed part begins, counted from the start of the stream
	body   int64 // the most bytes that the engine may read behind the label header
	weight int64 // the most memory that the engine will need for it

	members   memberScan // of a push/pull: where they begin and how many there are; of a ping: its only value
	userState int64      // the most bytes that may follow them
}

var (
	// errMore: the bytes so far do not decide.
	errMore = errors.New("the beginning of the stream is incomplete")
	// errRefused is in the chain of every refusal whose text may be sent to the peer.
	errRefused = errors.New("stream refused")
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errRefused}, args...)...)
}

// inspect reads as much of the beginning of a stream as it takes to know what it claims to hold, and refuses claims over
// the limits. It returns errMore when it needs to see more than data, never for maxHead bytes. The label is reported, not judged.
func (l limits) inspect(data []byte, dir direction) (head, error) {
	more := errMore
	if len(data) >= maxHead {
		more = refuse("its header has more than %d bytes", maxHead)
	}
	label, msg, err := splitLabel(data)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return head{}, more
	}
	if err != nil {
		return head{}, refuse("%w", err)
	}
	h := head{label: string(label), prefix: len(data) - len(msg)}
	if len(msg) == 0 {
		return h, more
	}
	h.kind = msg[0]
	switch h.kind {
	case msgEncrypt:
		err = l.encrypted(&h, msg[1:])
	case msgCompress:
		h.start = h.prefix + 1
		err = l.compressed(&h, msg[1:], dir)
	default:
		err = l.plain(&h, msg[1:], dir)
	}
	if errors.Is(err, errMore) {
		return h, more
	}
	return h, err
}

// charge sets body and weight for a message of size bytes behind its type.
func (l limits) charge(h *head, size, extra int64) {
	h.body = 1 + min(size, l.largest()) + smallBody
	h.weight = min(leastWeight+min(size, l.largest())+extra, l.budgets()[largeLane])
}

// plain judges a message that is neither encrypted nor compressed.
func (l limits) plain(h *head, body []byte, dir direction) error {
	switch {
	case h.kind == msgPushPull:
		var claim struct {
			Nodes, UserStateLen int
			Join                bool
		}
		read, err := decodePrefix(body, &claim)
		if err != nil {
			return err
		}
		if claim.Nodes < 0 || claim.Nodes > l.members {
			return refuse("it announces %d members, the limit of this node is %d", claim.Nodes, l.members)
		}
		if claim.UserStateLen < 0 || claim.UserStateLen > l.userState {
			return refuse("it announces %d bytes of user state, the limit of this node is %d", claim.UserStateLen, l.userState)
		}
		nodes := int64(claim.Nodes)
		l.charge(h, nodes*memberWire+int64(claim.UserStateLen), nodes*memberDecoded)
		h.members = memberScan{skip: uint64(h.prefix + 1 + read), values: uint64(nodes)}
		h.userState = int64(claim.UserStateLen)
		return nil
	case h.kind == msgUser && dir == inbound:
		var claim struct{ UserMsgLen int }
		if _, err := decodePrefix(body, &claim); err != nil {
			return err
		}
		if claim.UserMsgLen < 0 || claim.UserMsgLen > l.userState {
			return refuse("it announces a user message of %d bytes, the limit of this node is %d", claim.UserMsgLen, l.userState)
		}
		l.charge(h, int64(claim.UserMsgLen), 0)
		return nil
	case h.kind == msgPing && dir == inbound:
		l.charge(h, 0, 0)
		h.members = memberScan{skip: uint64(h.prefix + 1), values: 1}
		h.userState = smallBody
		return nil
	case (h.kind == msgAck || h.kind == msgErr) && dir == outbound:
		l.charge(h, 0, 0)
		return nil
	}
	return refuse("no stream begins with a message of type %d", h.kind)
}

// encrypted judges the length of an encrypted message; what is in it is authenticated before it is believed.
func (l limits) encrypted(h *head, body []byte) error {
	if len(body) < 5 {
		return errMore
	}
	if body[4] == paddedVersion {
		return refuse("its encryption is of version %d, which no node of today uses", paddedVersion)
	}
	n := int64(binary.BigEndian.Uint32(body))
	if n > l.largest() {
		return refuse("it announces %d encrypted bytes, the limit of this node is %d", n, l.largest())
	}
	l.charge(h, n, (encryptedCopies-1)*n)
	return nil
}

// compressed judges the message inside a compressed one by expanding its beginning.
func (l limits) compressed(h *head, body []byte, dir direction) error {
	n, rest, err := compressHeader(body)
	if err != nil {
		return err
	}
	if n > l.largest() {
		return refuse("it announces %d compressed bytes, the limit of this node is %d", n, l.largest())
	}
	h.start += len(body) - len(rest)
	h.packed = n

	complete := int64(len(rest)) >= n
	inner := expandPrefix(rest[:min(int64(len(rest)), n)])
	if len(inner) == 0 {
		if complete {
			return refuse("its compressed part is empty or broken")
		}
		return errMore
	}
	h.kind = inner[0]
	err = l.plain(h, inner[1:], dir)
	if errors.Is(err, errMore) && (complete || len(inner) >= maxInner) {
		return refuse("the message in its compressed part is truncated")
	}
	return err
}

// compressHeader parses the msgpack map {Algo, Buf} of a compressed message up to the bytes of Buf. Every version of memberlist
// writes the fields in this order.
func compressHeader(data []byte) (length int64, rest []byte, err error) {
	const algo, buf = "\x82\xa4Algo\x00", "\xa3Buf"
	for _, want := range []string{algo, buf} {
		n := min(len(data), len(want))
		if string(data[:n]) != want[:n] {
			return 0, nil, refuse("its compressed part is not LZW as memberlist writes it")
		}
		if n < len(want) {
			return 0, nil, errMore
		}
		data = data[n:]
	}
	if len(data) == 0 {
		return 0, nil, errMore
	}
	tag := data[0]
	size := map[byte]int{0xd9: 1, 0xda: 2, 0xdb: 4, 0xc4: 1, 0xc5: 2, 0xc6: 4}[tag]
	switch {
	case tag&0xe0 == 0xa0:
		return int64(tag & 0x1f), data[1:], nil
	case size == 0:
		return 0, nil, refuse("its compressed part is not LZW as memberlist writes it")
	case len(data) < 1+size:
		return 0, nil, errMore
	}
	var wide [8]byte
	copy(wide[8-size:], data[1:1+size])
	return int64(binary.BigEndian.Uint64(wide[:])), data[1+size:], nil
}

var expanders = sync.Pool{New: func() any { return lzw.NewReader(bytes.NewReader(nil), lzw.LSB, lzwLitWidth) }}

// expandPrefix returns the beginning of what an incomplete LZW stream holds.
func expandPrefix(packed []byte) []byte {
	r := expanders.Get().(*lzw.Reader)
	defer expanders.Put(r)
	r.Reset(bytes.NewReader(packed), lzw.LSB, lzwLitWidth)
	out := make([]byte, maxInner)
	n, _ := io.ReadFull(r, out) // an error only says that there is no more
	return out[:n]
}

// msgpack is memberlist's encoding: all its options have their zero values.
var msgpack codec.MsgpackHandle

// decodePrefix decodes the value at the start of data in the way the engine will, so that both see the same.
// It returns how many bytes that took.
func decodePrefix(data []byte, into any) (int, error) {
	dec := codec.NewDecoderBytes(data, &msgpack)
	err := dec.Decode(into)
	switch {
	case err == nil:
		return dec.NumBytesRead(), nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return 0, errMore
	}
	return 0, refuse("its header is not msgpack as memberlist writes it: %w", err)
}

// refusal encodes an error message as memberlist's dialers expect it in place of an answer.
func refusal(text string) ([]byte, error) {
	out := []byte{msgErr}
	var body []byte
	err := codec.NewEncoderBytes(&body, &msgpack).Encode(struct{ Error string }{text})
	return append(out, body...), err
}
