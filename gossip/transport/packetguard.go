package transport

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The types of messages that the guards tell apart, as memberlist numbers them on the wire.
const (
	msgPing     = 0
	msgAck      = 2
	msgPushPull = 6
	msgCompound = 7
	msgUser     = 8
	msgCompress = 9
	msgEncrypt  = 10
	msgCRC      = 12
	msgErr      = 13
	msgLabel    = 244
)

// packetGuard decides about packets. It belongs to the receive goroutine.
type packetGuard struct {
	label  string
	expand *lzw.Reader // made for the first compressed packet: it has 20 KiB
}

// errForeign is the reason for which a packet or stream of another cluster is turned away.
var errForeign = errors.New("it belongs to another cluster")

// admit returns a copy of the packet for the engine. A compressed packet comes out expanded, without the checksum, which
// has been verified: the engine would expand it to as much as 40 MiB, and again what it found inside. When
// the error is not nil, the reason says how to count it.
//
// Encrypted packets begin with 0 or 1 and pass as they are; what they hold is authenticated before it is expanded.
func (g *packetGuard) admit(data []byte) ([]byte, Drop, error) {
	label, body, err := splitLabel(data)
	if err != nil {
		return nil, PacketMalformed, err
	}
	if string(label) != g.label {
		return nil, PacketForeignLabel, errForeign
	}
	head := len(data) - len(body)
	if len(body) >= 5 && body[0] == msgCRC {
		if crc32.ChecksumIEEE(body[5:]) != binary.BigEndian.Uint32(body[1:5]) {
			return nil, PacketMalformed, errors.New("its checksum is wrong")
		}
		body = body[5:]
	}
	if len(body) == 0 {
		return nil, PacketMalformed, errors.New("it holds no message")
	}
	switch body[0] {
	case msgCompound:
		err = checkCompound(body)
	case msgCompress:
		return g.expanded(data[:head], body[1:])
	}
	if err != nil {
		return nil, PacketTooLarge, err
	}
	return bytes.Clone(data), 0, nil
}

// expanded returns prefix followed by the expanded message.
func (g *packetGuard) expanded(prefix, msg []byte) ([]byte, Drop, error) {
	length, rest, err := compressHeader(msg)
	if err != nil {
		return nil, PacketMalformed, errors.New("its compressed part is not LZW as memberlist writes it")
	}
	if length > int64(len(rest)) {
		return nil, PacketMalformed, errors.New("its compressed part is truncated")
	}
	src := bytes.NewReader(rest[:length])
	if g.expand == nil {
		g.expand = lzw.NewReader(src, lzw.LSB, lzwLitWidth).(*lzw.Reader)
	} else {
		g.expand.Reset(src, lzw.LSB, lzwLitWidth)
	}
	out := bytes.NewBuffer(make([]byte, 0, len(prefix)+4*len(rest)))
	out.Write(prefix)
	n, err := io.Copy(out, io.LimitReader(g.expand, maxPacket+1))
	if err != nil {
		return nil, PacketMalformed, fmt.Errorf("its compressed part is broken: %w", err)
	}
	if n > maxPacket {
		return nil, PacketTooLarge, fmt.Errorf("it expands to more than %d bytes", maxPacket)
	}
	inner := out.Bytes()[len(prefix):]
	switch {
	case len(inner) == 0:
		return nil, PacketMalformed, errors.New("its compressed part is empty")
	case inner[0] == msgCompress:
		return nil, PacketTooLarge, errNested
	case inner[0] == msgCompound:
		if err := checkCompound(inner); err != nil {
			return nil, PacketTooLarge, err
		}
	}
	return out.Bytes(), 0, nil
}

var errNested = errors.New("it nests compressed or compound messages")

// checkCompound refuses a compound message whose parts are themselves compound or compressed. Peers never send such;
// the engine would unpack them without a limit. A truncated compound message is left to the engine.
func checkCompound(msg []byte) error {
	if len(msg) < 2 {
		return nil
	}
	count := int(msg[1])
	if len(msg) < 2+2*count {
		return nil
	}
	lengths, parts := msg[2:2+2*count], msg[2+2*count:]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		n := int(binary.BigEndian.Uint16(lengths))
		if n > len(parts) {
			return nil
		}
		if n > 0 && (parts[0] == msgCompound || parts[0] == msgCompress) {
			return errNested
		}
		parts = parts[n:]
	}
	return nil
}

// splitLabel parts a label header from what follows it. No header is the empty label.
func splitLabel(data []byte) (label, body []byte, err error) {
	if len(data) == 0 || data[0] != msgLabel {
		return nil, data, nil
	}
	if len(data) < 2 || len(data) < 2+int(data[1]) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := int(data[1])
	if n == 0 {
		return nil, nil, errors.New("its label header is empty")
	}
	return data[2 : 2+n], data[2+n:], nil
}
