package fabric

// Header bytes of a packet and of a segment on the wire (IPv4 without options;
// TCP with timestamps), for those who want to add them to the payload.
const (
	UDPOverhead = 28
	TCPOverhead = 52
)

// Drop is the reason why a packet did not reach its node.
type Drop int

// The reasons. Those of the way are counted at the sender, those of the
// receiving node at the receiver, when there is one.
const (
	DropCut    Drop = iota // the link was cut
	DropLoss               // the link lost it
	DropQueue              // the queue of a throttled link was full
	DropClosed             // nobody listened at the address
	DropBuffer             // the receiver's socket buffer was full
	DropSend               // the send buffer of a frozen node was full
	DropHook               // the Inbound hook took it
	DropEmpty              // it was empty, and no transport shows the engine such
	numDrops
)

// String names the reason in one word.
func (d Drop) String() string {
	names := [numDrops]string{"cut", "loss", "queue", "closed", "buffer", "send", "hook", "empty"}
	if d < 0 || d >= numDrops {
		return "unknown"
	}
	return names[d]
}

// Stats counts what an endpoint or a whole network has sent and received.
// Bytes are payload. Once nothing is under way or held,
// PacketsOut + Duplicates = PacketsIn + the sum of Drops but DropSend and
// DropHook, over the whole network.
type Stats struct {
	PacketsOut, PacketsIn   uint64 // packets sent; packets that reached the node
	UDPBytesOut, UDPBytesIn uint64
	Duplicates              uint64 // extra copies of packets that the link made
	Drops                   [numDrops]uint64

	Dials, Accepts          uint64 // streams opened and accepted
	SegmentsOut, SegmentsIn uint64 // SYN, data and FIN; pure acknowledgements are not counted
	Retransmits             uint64 // segments sent again; part of SegmentsOut
	TCPBytesOut, TCPBytesIn uint64 // bytes of streams, each counted once
}

func (s *Stats) add(o *Stats) {
	s.PacketsOut += o.PacketsOut
	s.PacketsIn += o.PacketsIn
	s.UDPBytesOut += o.UDPBytesOut
	s.UDPBytesIn += o.UDPBytesIn
	s.Duplicates += o.Duplicates
	for i, v := range o.Drops {
		s.Drops[i] += v
	}
	s.Dials += o.Dials
	s.Accepts += o.Accepts
	s.SegmentsOut += o.SegmentsOut
	s.SegmentsIn += o.SegmentsIn
	s.Retransmits += o.Retransmits
	s.TCPBytesOut += o.TCPBytesOut
	s.TCPBytesIn += o.TCPBytesIn
}
