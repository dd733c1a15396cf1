package kernelfault

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"
)

// hold takes packets in and returns after how long each is let go; a negative
// time means that it was dropped.
func hold(h *holder, begin time.Time, packets ...packet) []time.Duration {
	out := make([]time.Duration, len(packets))
	for i, p := range packets {
		p.id = uint32(i + 1)
		if !h.add(p, begin) {
			out[i] = -1
		}
	}
	for now := begin; len(h.held) > 0; now = now.Add(time.Millisecond) {
		ids, _ := h.due(now)
		for _, id := range ids {
			out[id-1] = now.Sub(begin)
		}
	}
	return out
}

func TestHolder(t *testing.T) {
	begin := time.Now()
	peer, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	fault := func(only Protocol, e Effect) *standing {
		return &standing{Fault: Fault{Peers: []netip.Addr{peer}, Only: only, Effect: e}, ends: begin.Add(time.Minute)}
	}
	udp := packet{source: peer, protocol: UDP, size: 1000}
	tcp := packet{source: peer, protocol: TCP, size: 1000, flow: flow{source: peer, ports: 1}}
	tcp2 := tcp
	tcp2.flow.ports = 2
	ended := fault("", Effect{Delay: time.Second})
	ended.ends = begin
	for _, c := range []struct {
		name    string
		faults  []*standing
		packets []packet
		want    []int // milliseconds
	}{
		{"nothing", nil, []packet{udp}, []int{0}},
		{"delay", []*standing{fault("", Effect{Delay: 5e6})}, []packet{udp, tcp, {source: other, protocol: UDP}}, []int{5, 5, 0}},
		{"delays add up", []*standing{fault("", Effect{Delay: 5e6}), fault(UDP, Effect{Delay: 7e6})}, []packet{udp, tcp}, []int{12, 5}},
		{"one has ended", []*standing{ended, fault("", Effect{Delay: 5e6})}, []packet{udp}, []int{5}},
		{"reorder spares streams", []*standing{fault("", Effect{Delay: 5e6, Reorder: 1})}, []packet{udp, tcp}, []int{0, 5}},
		{"rate", []*standing{fault("", Effect{Rate: 800_000})}, []packet{udp, tcp, udp}, []int{10, 20, 30}},
		{"rate and delay", []*standing{fault("", Effect{Rate: 800_000, Delay: 5e6})}, []packet{udp, udp}, []int{15, 25}},
		{"the lowest rate", []*standing{fault("", Effect{Rate: 800_000}), fault("", Effect{Rate: 8_000_000})}, []packet{udp, udp}, []int{10, 20}},
		{"a rate for streams", []*standing{fault(TCP, Effect{Rate: 800_000})}, []packet{udp, tcp, tcp}, []int{0, 10, 20}},
		{"a full line drops packets, not streams", []*standing{fault("", Effect{Rate: 8_000_000})},
			[]packet{{source: peer, protocol: UDP, size: 70_000}, udp, tcp}, []int{70, -1, 71}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHolder()
			h.set(c.faults)
			for i, got := range hold(h, begin, c.packets...) {
				if want := time.Duration(c.want[i]) * time.Millisecond; c.want[i] < 0 && got >= 0 || c.want[i] >= 0 && got != want {
					t.Errorf("packet %d is let go after %v, want %v", i, got, want)
				}
			}
		})
	}
	t.Run("streams keep their order", func(t *testing.T) {
		h := newHolder()
		h.set([]*standing{fault("", Effect{Delay: 50e6, Jitter: 50e6})})
		packets := make([]packet, 400)
		for i := range packets {
			if packets[i] = tcp; i%2 == 1 {
				packets[i] = tcp2
			}
		}
		took := hold(h, begin, packets...)
		overtaken := 0
		for i := 1; i < len(took); i++ {
			if i > 1 && took[i] < took[i-2] {
				t.Fatalf("packet %d of a stream is let go after %v, the one before after %v", i, took[i], took[i-2])
			}
			if took[i] < took[i-1] {
				overtaken++
			}
		}
		if overtaken == 0 {
			t.Error("streams wait for each other")
		}
	})
	t.Run("bounded", func(t *testing.T) {
		h := newHolder()
		h.set([]*standing{fault("", Effect{Delay: time.Second})})
		taken := 0
		for i := range 3 * maxHeld {
			p := tcp
			p.flow.ports = uint32(i)
			if h.add(p, begin) {
				taken++
			}
		}
		if taken != maxHeld || len(h.last) > 3*maxHeld {
			t.Errorf("%d packets and %d streams are held, want %d packets", taken, len(h.last), maxHeld)
		}
		h.due(begin.Add(time.Hour))
		for range 3 * maxHeld { // one stream goes on, the others are forgotten
			h.add(tcp, begin.Add(time.Hour))
		}
		if h.due(begin.Add(2 * time.Hour)); len(h.last) > 2*maxHeld+65 {
			t.Errorf("%d streams are remembered", len(h.last))
		}
	})
}

func TestJitterIsEven(t *testing.T) {
	begin := time.Now()
	peer := netip.MustParseAddr("10.0.0.1")
	h := newHolder()
	h.set([]*standing{{Fault: Fault{Peers: []netip.Addr{peer}, Effect: Effect{Delay: 100e6, Jitter: 50e6}}, ends: begin.Add(time.Minute)}})
	const packets = 8000
	for i := range packets {
		h.add(packet{id: uint32(i), source: peer, protocol: UDP}, begin)
	}
	// Each tenth of the range gets its share, within five standard deviations.
	before := 0
	for i := range 11 {
		ids, _ := h.due(begin.Add(time.Duration(50+10*i) * time.Millisecond))
		if i > 0 && math.Abs(float64(len(ids))-packets/10) > 5*math.Sqrt(packets*0.1*0.9) {
			t.Errorf("%d of %d packets are delayed by %d to %d ms", len(ids), packets, 40+10*i, 50+10*i)
		}
		before += len(ids)
	}
	if before != packets {
		t.Errorf("%d of %d packets are within the bounds", before, packets)
	}
}

// queued writes the kernel's message about a packet.
func queued(id uint32, size int, payload []byte) []byte {
	out := []byte{2, 0, 0, 7}
	attr := func(typ uint16, value []byte) {
		out = binary.NativeEndian.AppendUint16(out, uint16(len(value)+4))
		out = binary.NativeEndian.AppendUint16(out, typ)
		out = append(append(out, value...), make([]byte, -len(value)&3)...)
	}
	attr(nfqaPacketHeader, append(binary.BigEndian.AppendUint32(nil, id), 8, 0, 0))
	if size > 0 {
		attr(nfqaCapLen, binary.BigEndian.AppendUint32(nil, uint32(size)))
	}
	attr(nfqaPayload, payload)
	return out
}

func ipv4(protocol byte, fragment uint16, rest ...byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	binary.BigEndian.PutUint16(b[6:], fragment)
	return append(b, rest...)
}

func ipv6(next byte, rest ...byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[23], b[39] = 0x60, next, 1, 2
	return append(b, rest...)
}

var tcpHeader = []byte{1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0}

func TestParseQueued(t *testing.T) {
	four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")
	for _, c := range []struct {
		name string
		data []byte
		want packet
		bad  bool
	}{
		{"UDP", queued(9, 0, ipv4(17, 0, make([]byte, 108)...)), packet{id: 9, source: four, protocol: UDP, size: 100, flow: flow{source: four, destinationEnd: 2}}, false},
		{"long UDP", queued(9, 1028, ipv4(17, 0, make([]byte, 108)...)), packet{id: 9, source: four, protocol: UDP, size: 1000, flow: flow{source: four, destinationEnd: 2}}, false},
		{"later fragment", queued(9, 0, ipv4(17, 100, make([]byte, 100)...)), packet{id: 9, source: four, protocol: UDP, size: 100, flow: flow{source: four, destinationEnd: 2}}, false},
		{"TCP", queued(9, 60000, ipv4(6, 0, tcpHeader...)), packet{id: 9, source: four, protocol: TCP, size: 60000 - 52, flow: flow{four, 0x01020304, 2}}, false},
		{"UDP6", queued(9, 148, ipv6(17)), packet{id: 9, source: six, protocol: UDP, size: 100, flow: flow{source: six, destinationEnd: 2}}, false},
		{"UDP6 behind extensions", queued(9, 0, ipv6(0, append([]byte{44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 0}, make([]byte, 108)...)...)),
			packet{id: 9, source: six, protocol: UDP, size: 100, flow: flow{source: six, destinationEnd: 2}}, false},
		{"ICMP", queued(9, 0, ipv4(1, 0)), packet{id: 9}, true},
		{"short", queued(9, 0, []byte{0x45}), packet{id: 9}, true},
		{"long header", queued(9, 0, append([]byte{0x4f}, ipv4(17, 0)[1:]...)), packet{id: 9}, true},
		{"short IPv6", queued(9, 0, []byte{0x60, 0}), packet{id: 9}, true},
		{"no IP", queued(9, 0, []byte{0}), packet{id: 9}, true},
		{"no payload", queued(9, 0, nil), packet{id: 9}, true},
		{"nothing", nil, packet{}, true},
		{"a bad length", []byte{2, 0, 0, 0, 3, 0, 1, 0}, packet{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parseQueued(c.data)
			if (err != nil) != c.bad || p.id != c.want.id || err == nil && p != c.want {
				t.Errorf("got %+v, %v; want %+v", p, err, c.want)
			}
		})
	}
}

func FuzzQueued(f *testing.F) {
	f.Add(queued(9, 60000, ipv4(6, 0, tcpHeader...)))
	f.Add(queued(1, 0, ipv6(0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 0)))
	f.Add(queued(1, 0, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseQueued(data)
		if err == nil && (p.size < 0 || !p.source.IsValid() || p.protocol == "") {
			t.Errorf("%x is read as %+v", data, p)
		}
	})
}
