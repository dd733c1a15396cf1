package transport

import "sync/atomic"

// Drop is a reason for which a packet or a stream was not delivered. It indexes [Stats].Drops.
type Drop uint8

// The reasons. Those named Packet count packets, those named Stream inbound streams.
const (
	PacketQueueFull    Drop = iota // the engine did not keep up: more than 1024 packets or 8 MiB were waiting
	PacketForeignLabel             // the packet carried another label than Config.Label, or none
	PacketMalformed                // truncated, wrong checksum, or compressed data that cannot be expanded
	PacketTooLarge                 // it would expand to more than 64 KiB, or nests what no peer nests
	PacketByTap                    // the tap returned nil
	PacketReceiveError             // the socket reported an error instead of a packet
	PacketSendLost                 // the kernel refused to send for a transient or local reason
	StreamFull                     // all MaxStreams places were taken
	StreamDisplaced                // it waited, and a newcomer from an address with fewer streams got its place
	StreamForeignLabel             // the stream carried another label than Config.Label, or none
	StreamRefused                  // its head claimed more than the limits allow, or made no sense
	StreamNoHead                   // it ended or stayed silent before saying what it wants
	StreamNoTurn                   // its time ended while it waited for memory or for the engine
	StreamAcceptError              // accept failed, for want of file descriptors for example
	NumDrops                       // how many reasons there are
)

var dropNames = [NumDrops]string{
	"packet queue full", "packet foreign label", "packet malformed", "packet too large", "packet by tap",
	"packet receive error", "packet send lost",
	"stream full", "stream displaced", "stream foreign label", "stream refused", "stream no head", "stream no turn",
	"stream accept error",
}

// String returns the reason in lower-case words, fit for a metric label.
func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}

// Stats is a snapshot of what a Transport has carried since New: all of it, and by class of peer.
type Stats struct {
	Traffic
	Peers       [NumPeers]Traffic
	StreamsOpen int // inbound streams open now
	Drops       [NumDrops]uint64
}

type counters struct {
	peers [NumPeers]traffic
	drops [NumDrops]atomic.Uint64
}

// Stats returns the counters. Each is read atomically, all of them together are not: a packet that arrives meanwhile may be in one
// and not yet in another. It is cheap enough for every scrape and safe for concurrent use.
func (t *Transport) Stats() Stats {
	s := Stats{StreamsOpen: t.gate.len()}
	for i := range s.Peers {
		s.Peers[i] = t.count.peers[i].load()
		s.Traffic.add(s.Peers[i])
	}
	for i := range s.Drops {
		s.Drops[i] = t.count.drops[i].Load()
	}
	return s
}
