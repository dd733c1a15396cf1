package kernelfault

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// The attributes of a queued packet's message (linux/netfilter/nfnetlink_queue.h).
const (
	nfqaPacketHeader = 1
	nfqaPayload      = 10
	nfqaCapLen       = 13
)

// Protocol numbers and extension headers of IP.
const (
	protoHopByHop    = 0
	protoTCP         = 6
	protoUDP         = 17
	protoRouting     = 43
	protoFragment    = 44
	protoDestOptions = 60
)

var errShort = errors.New("the packet's message is cut short")

// parseQueued reads the kernel's message about a queued packet, without the
// netlink header. The ID is 0 when there is none; else it is valid even when
// the error is not nil, so that the packet can be let go.
func parseQueued(body []byte) (packet, error) {
	if len(body) < 4 {
		return packet{}, errShort
	}
	var p packet
	var payload []byte
	size := -1
	for data := body[4:]; len(data) >= 4; {
		length := int(binary.NativeEndian.Uint16(data))
		if length < 4 || length > len(data) {
			return p, errShort
		}
		value := data[4:length]
		switch typ := binary.NativeEndian.Uint16(data[2:]) & 0x3fff; {
		case typ == nfqaPacketHeader && len(value) >= 4:
			p.id = binary.BigEndian.Uint32(value)
		case typ == nfqaPayload:
			payload = value
		case typ == nfqaCapLen && len(value) >= 4:
			size = int(binary.BigEndian.Uint32(value))
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	// The kernel tells the length only of a packet that it did not copy whole.
	return p, p.parseIP(payload, max(size, len(payload)))
}

// parseIP reads the beginning of a packet of the given size.
func (p *packet) parseIP(b []byte, size int) error {
	if len(b) == 0 {
		return errShort
	}
	var protocol byte
	var header int
	first := true // it is no later fragment of a packet
	switch b[0] >> 4 {
	case 4:
		header = int(b[0]&15) * 4
		if header < 20 || len(b) < header {
			return errShort
		}
		protocol = b[9]
		first = binary.BigEndian.Uint16(b[6:])&0x1fff == 0
		p.source = netip.AddrFrom4([4]byte(b[12:16]))
		p.flow.destinationEnd = b[19]
	case 6:
		if len(b) < 40 {
			return errShort
		}
		p.source = netip.AddrFrom16([16]byte(b[8:24]))
		p.flow.destinationEnd = b[39]
		protocol, header, first = skipExtensions(b)
	default:
		return errors.New("the packet is neither IPv4 nor IPv6")
	}
	p.flow.source = p.source
	return p.parseTransport(protocol, b[min(header, len(b)):], size-header, first)
}

// skipExtensions returns the protocol that an IPv6 packet carries, where its
// header begins, and whether the packet has it.
func skipExtensions(b []byte) (protocol byte, header int, first bool) {
	protocol, header, first = b[6], 40, true
	for len(b) >= header+8 {
		switch protocol {
		case protoHopByHop, protoRouting, protoDestOptions:
			protocol, header = b[header], header+int(b[header+1])*8+8
		case protoFragment:
			first = first && binary.BigEndian.Uint16(b[header+2:])>>3 == 0
			protocol, header = b[header], header+8
		default:
			return protocol, header, first
		}
	}
	return protocol, header, first
}

// parseTransport reads the header of UDP or TCP.
func (p *packet) parseTransport(protocol byte, b []byte, size int, first bool) error {
	header := 8
	switch protocol {
	case protoUDP:
		p.protocol = UDP
	case protoTCP:
		p.protocol = TCP
		if first && len(b) >= 13 {
			header = int(b[12]>>4) * 4
			p.flow.ports = binary.BigEndian.Uint32(b)
		}
	default:
		return errors.New("the packet is neither UDP nor TCP")
	}
	if !first {
		header = 0
	}
	p.size = max(0, size-header)
	return nil
}
