package transport

import (
	"net/netip"
	"sync/atomic"
)

// Peer is the class of whom a packet or stream comes from or goes to. It indexes [Stats].Peers.
type Peer uint8

// The classes.
const (
	PeerUnknown Peer = iota // nobody that the node holds a member: a seed, a newcomer, a member given up, or a stranger
	PeerMember              // a member
	PeerSelf                // the node itself
	NumPeers                // how many classes there are
)

var peerNames = [NumPeers]string{"unknown", "member", "self"}

// String returns the class in one word, fit for a metric label.
func (p Peer) String() string {
	if p < NumPeers {
		return peerNames[p]
	}
	return "unknown"
}

// SetClassify sets what tells the class of an address. Without it all are unknown. The port is 0 where only the host tells anything:
// a stream that a peer has opened comes from any port. It is called for every packet, from many goroutines, so it must be quick.
func (t *Transport) SetClassify(classify func(netip.AddrPort) Peer) { t.classify.Store(&classify) }

func (t *Transport) peerOf(addr netip.AddrPort) Peer {
	if classify := t.classify.Load(); classify != nil {
		if p := (*classify)(addr); p < NumPeers {
			return p
		}
	}
	return PeerUnknown
}

// traffic counts what a class of peers has sent and got.
type traffic struct {
	packetsIn, packetBytesIn   atomic.Uint64
	packetsOut, packetBytesOut atomic.Uint64
	streamsIn, streamBytesIn   atomic.Uint64
	streamsOut, streamBytesOut atomic.Uint64
}

func (c *traffic) load() Traffic {
	return Traffic{
		PacketsIn: c.packetsIn.Load(), PacketBytesIn: c.packetBytesIn.Load(),
		PacketsOut: c.packetsOut.Load(), PacketBytesOut: c.packetBytesOut.Load(),
		StreamsIn: c.streamsIn.Load(), StreamBytesIn: c.streamBytesIn.Load(),
		StreamsOut: c.streamsOut.Load(), StreamBytesOut: c.streamBytesOut.Load(),
	}
}

// Traffic is what was carried. Bytes are payload, without IP, UDP and TCP headers. Packets in are those that reached the
// queue; packets out those that the kernel took.
type Traffic struct {
	PacketsIn, PacketBytesIn   uint64
	PacketsOut, PacketBytesOut uint64
	StreamsIn, StreamBytesIn   uint64 // streams accepted; bytes read from streams of both directions
	StreamsOut, StreamBytesOut uint64 // streams dialled; bytes written to streams of both directions
}

func (t *Traffic) add(o Traffic) {
	t.PacketsIn += o.PacketsIn
	t.PacketBytesIn += o.PacketBytesIn
	t.PacketsOut += o.PacketsOut
	t.PacketBytesOut += o.PacketBytesOut
	t.StreamsIn += o.StreamsIn
	t.StreamBytesIn += o.StreamBytesIn
	t.StreamsOut += o.StreamsOut
	t.StreamBytesOut += o.StreamBytesOut
}
