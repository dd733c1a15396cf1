package wire

import (
	"bytes"
	"compress/lzw"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
)

// overlong tells whether an extension within the msgpack value claims to be longer than the bytes that there are.
func overlong(body []byte) bool {
	c := cursor{b: body}
	c.skip()
	return errors.Is(c.err, errOverlong)
}

// read reads the body of a message that holds no others.
func read(kind Kind, body []byte) (Seen, error) {
	seen := Seen{Kind: kind}
	c := cursor{b: body}
	switch kind {
	case Ping, IndirectPing, Ack, Nack:
		readSeqNo(&c, &seen)
	case Suspect, Dead:
		readAccusation(&c, &seen)
	case Alive:
		readAlive(&c, &seen)
	case User: // The engine hands its content to the delegate.
	default:
		return Seen{}, fmt.Errorf("a message of %s: it is unknown", kind)
	}
	if c.err != nil {
		return Seen{}, fmt.Errorf("%s message: %w", kind, c.err)
	}
	return seen, nil
}

// readSeqNo reads no further than to the sequence number: most packets are probes and acks, and nobody needs the rest.
func readSeqNo(c *cursor, seen *Seen) {
	for range c.mapLen() {
		if string(c.bytes()) == "SeqNo" {
			seen.SeqNo = uint32(c.uint(math.MaxUint32))
			return
		}
		c.skip()
		if c.err != nil {
			return
		}
	}
}

// readAccusation reads a suspect or dead message.
func readAccusation(c *cursor, seen *Seen) {
	for range c.mapLen() {
		switch string(c.bytes()) {
		case "Incarnation":
			seen.Incarnation = uint32(c.uint(math.MaxUint32))
		case "Node":
			seen.Node = string(c.bounded(MaxName))
		case "From":
			seen.From = string(c.bounded(MaxName))
		default:
			c.skip()
		}
		if c.err != nil {
			return
		}
	}
}

func readAlive(c *cursor, seen *Seen) {
	var ip, meta, versions []byte
	var port uint16
	for range c.mapLen() {
		switch string(c.bytes()) {
		case "Incarnation":
			seen.Incarnation = uint32(c.uint(math.MaxUint32))
		case "Node":
			seen.Node = string(c.bounded(MaxName))
		case "Addr":
			ip = c.bytes()
		case "Port":
			port = uint16(c.uint(math.MaxUint16))
		case "Meta":
			meta = c.bounded(MaxMeta)
		case "Vsn":
			versions = c.bytes()
		default:
			c.skip()
		}
		if c.err != nil {
			return
		}
	}
	addr, _ := netip.AddrFromSlice(ip)
	seen.Addr = netip.AddrPortFrom(addr, port)
	seen.Meta = bytes.Clone(meta)
	if len(versions) >= len(seen.Versions) {
		seen.Versions = [6]uint8(versions)
	}
}

// readCompressed returns what a compressed layer holds, still packed.
func readCompressed(body []byte) ([]byte, error) {
	c := cursor{b: body}
	var algorithm uint64
	var packed []byte
	for range c.mapLen() {
		switch string(c.bytes()) {
		case "Algo":
			algorithm = c.uint(math.MaxUint8)
		case "Buf":
			packed = c.bytes()
		default:
			c.skip()
		}
		if c.err != nil {
			break
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("compressed message: %w", c.err)
	}
	if algorithm != 0 {
		return nil, errAlgorithm
	}
	return packed, nil
}

// scratch is what one call of Peek needs of memory beyond the packet.
type scratch struct {
	plain []byte // the decrypted packet
	// expanded holds what the packet's compressed layers expand to, one behind the other: an outer one is still read
	// while an inner one is added, so it must never move.
	expanded []byte
	packed   bytes.Reader
	lzw      lzw.Reader
}

// expand unpacks packed behind what is in expanded already.
func (s *scratch) expand(packed []byte) ([]byte, error) {
	if s.expanded == nil {
		s.expanded = make([]byte, 0, maxExpanded+1)
	}
	s.packed.Reset(packed)
	s.lzw.Reset(&s.packed, lzw.LSB, 8)
	start, room := len(s.expanded), s.expanded[:cap(s.expanded)]
	end := start
	for {
		n, err := s.lzw.Read(room[end:])
		end += n
		s.expanded = room[:end] // what fails later counts too: its cost was the same
		switch {
		case end > maxExpanded:
			return nil, errExpanded
		case errors.Is(err, io.EOF):
			return room[start:end:end], nil
		case err != nil:
			return nil, fmt.Errorf("compressed message: %w", err)
		}
	}
}
