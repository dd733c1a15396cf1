package wire

import "encoding/binary"

// Digest is what a node says of its view in the payload of each ack: equal digests mean that two nodes hold the same
// members (see membership.Digest).
type Digest struct {
	Sum  uint64
	Held uint32 // how many members the node holds; at most MaxHeld
}

// MaxHeld is how many members a Digest may claim.
const MaxHeld = 1 << 24

// The payload is the version, the sum (8 bytes, big endian) and the count as a varint. Every probe is answered by one, so it has
// a byte of its own for its version and no more. It is none that others use: the first byte of Serf's payload is 1.
const (
	digestVersion = 0xd1
	minDigest     = 1 + 8 + 1
)

// Encode returns the payload. Held must be in its bounds.
func (d Digest) Encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{digestVersion}, d.Sum)
	return binary.AppendUvarint(b, uint64(d.Held))
}

// DecodeDigest reads the payload of an ack. It is false for one that is not ours, as that of plain memberlist (none), of
// another version, or malformed. It allocates nothing.
func DecodeDigest(payload []byte) (Digest, bool) {
	if len(payload) < minDigest || payload[0] != digestVersion {
		return Digest{}, false
	}
	held, n := binary.Uvarint(payload[minDigest-1:])
	if n <= 0 || n != len(payload)-minDigest+1 || held > MaxHeld {
		return Digest{}, false
	}
	return Digest{Sum: binary.BigEndian.Uint64(payload[1:]), Held: uint32(held)}, true
}

// readDigest reads the digest in the body of an ack, if there is one.
func readDigest(body []byte) (Digest, bool) {
	c := cursor{b: body}
	for range c.mapLen() {
		if string(c.bytes()) == "Payload" {
			return DecodeDigest(c.bytes())
		}
		c.skip()
		if c.err != nil {
			break
		}
	}
	return Digest{}, false
}
