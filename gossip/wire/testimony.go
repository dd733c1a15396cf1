package wire

import (
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// MaxWitnesses bounds the witnesses of a Testimony.
const MaxWitnesses = 16

// Testimony says that the subject did not answer the witnesses, though their control probes were answered. It carries
// all testimonies that the sender knows of, so that no node lacks one for having missed a packet.
//
// Each node sends several copies of each, so its body is an array and not a map: what a later version adds comes behind
// these fields, and readers of today skip it.
type Testimony struct {
	Subject     string   // 1 to MaxName bytes
	Incarnation uint32   // of the subject
	Age         uint16   // how long ago the subject was first accused, in hundredths of a second; what is longer is cut off
	Witnesses   []string // at most MaxWitnesses, of 1 to MaxName bytes each, none of them the subject; none only when Before is known
	Hearers     []string // where packets of the subject still arrive; at most MaxWitnesses names of 1 to MaxName bytes; older versions neither send nor read it
	Before      uint16   // how long before the accusation a packet of the subject arrived anywhere, in hundredths of a second and one more; 0 = not known
	Asked       uint16   // a bit for each witness, the lowest for the first: it asked other members who had heard of the subject; older versions neither send nor read it
}

// testimonyBody is a Testimony as it is encoded, in this order.
type testimonyBody struct {
	//lint:ignore U1000 The codec looks for it: the struct is written as an array.
	_struct     bool `codec:",toarray"`
	Subject     string
	Incarnation uint32
	Age         uint16
	Witnesses   []string
	Hearers     []string
	Before      uint16
	Asked       uint16
}

func (*Testimony) kind() byte { return typeTestimony }
func (*Testimony) limit() int { return MaxBroadcast }

func (t *Testimony) encode(enc *codec.Encoder) error {
	return enc.Encode(&testimonyBody{Subject: t.Subject, Incarnation: t.Incarnation, Age: t.Age, Witnesses: t.Witnesses, Hearers: t.Hearers, Before: t.Before, Asked: t.Asked})
}

func (t *Testimony) decode(dec *codec.Decoder) error {
	var body testimonyBody
	err := dec.Decode(&body)
	*t = Testimony{Subject: body.Subject, Incarnation: body.Incarnation, Age: body.Age, Witnesses: body.Witnesses, Hearers: body.Hearers, Before: body.Before, Asked: body.Asked}
	return err
}

func (t *Testimony) validate() error {
	if len(t.Subject) == 0 || len(t.Subject) > MaxName {
		return fmt.Errorf("%w: the subject has %d bytes, must be 1 to %d", ErrInvalid, len(t.Subject), MaxName)
	}
	if len(t.Witnesses) == 0 && t.Before == 0 || len(t.Witnesses) > MaxWitnesses {
		return fmt.Errorf("%w: %d witnesses, must be 1 to %d", ErrInvalid, len(t.Witnesses), MaxWitnesses)
	}
	if len(t.Hearers) > MaxWitnesses {
		return fmt.Errorf("%w: %d hearers, must be at most %d", ErrInvalid, len(t.Hearers), MaxWitnesses)
	}
	for _, h := range t.Hearers {
		if len(h) == 0 || len(h) > MaxName {
			return fmt.Errorf("%w: a hearer has %d bytes, must be 1 to %d", ErrInvalid, len(h), MaxName)
		}
	}
	for _, w := range t.Witnesses {
		switch {
		case len(w) == 0 || len(w) > MaxName:
			return fmt.Errorf("%w: a witness has %d bytes, must be 1 to %d", ErrInvalid, len(w), MaxName)
		case w == t.Subject:
			return fmt.Errorf("%w: a witness is the subject", ErrInvalid)
		}
	}
	return nil
}

// EncodeSuspect returns the engine's accusation of node by from. A node hands it to its own engine, put into a packet by
// Wrap, to make it refute a testimony about itself. Names may have up to MaxName bytes.
func EncodeSuspect(node, from string, incarnation uint32) []byte {
	return encodeClaim(Suspect, node, from, incarnation)
}

// EncodeDead returns the engine's message that from holds node dead. A node hands it to its own engine to make it give a
// member up. Names may have up to MaxName bytes.
func EncodeDead(node, from string, incarnation uint32) []byte {
	return encodeClaim(Dead, node, from, incarnation)
}

func encodeClaim(kind Kind, node, from string, incarnation uint32) []byte {
	b := append(make([]byte, 0, 48+len(node)+len(from)), byte(kind), 0x83)
	field := func(key string) {
		b = append(b, 0xa0|byte(len(key)))
		b = append(b, key...)
	}
	text := func(s string) { // raw16 of the old specification, which the engine speaks, and str16 of the new one
		b = append(b, 0xda, byte(len(s)>>8), byte(len(s)))
		b = append(b, s...)
	}
	field("Incarnation")
	b = append(b, mpUint32, byte(incarnation>>24), byte(incarnation>>16), byte(incarnation>>8), byte(incarnation))
	field("Node")
	text(node)
	field("From")
	text(from)
	return b
}
