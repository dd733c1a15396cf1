// Package transport carries the packets and streams of a node over UDP and TCP. [Transport] is a
// memberlist.NodeAwareTransport; the engine above it never opens a socket itself.
//
// # The way of a packet in
//
// One goroutine reads up to 16 packets a system call (recvmmsg), copies each into a buffer of its own size, because
// the engine keeps slices of it for as long as it likes, and passes it on in this order:
//
//  1. the label: a packet of another cluster is dropped before the engine would log a line for it;
//  2. the guard: a compressed packet is expanded here, to at most 64 KiB, so that a bomb never reaches the engine;
//  3. the tap, see [Transport.SetInbound];
//  4. the queue behind PacketCh: at most 1024 packets and 8 MiB. A full queue drops the packet that has just come.
//
// That goroutine never waits for anybody, so the kernel's buffer is always being emptied.
//
// # The way of a packet out
//
// The address is looked up in a bounded cache, parsed on a miss, and the packet is written. What the network or this
// machine does to it on its way is a lost packet, never an error: see [Transport.WriteTo].
//
// # The way of a stream in
//
//  1. Admission. At most MaxStreams inbound streams are open. When all places are taken a newcomer gets the place of
//     the longest waiting stream of the address that holds the most, so nobody can lock the others out by holding
//     connections; see gate.
//  2. The head. A goroutine waits at most 5 s for the first bytes: label, message type, and what the message claims
//     to hold. A foreign label, a claim over MaxMembers or MaxUserState, or an unknown type is answered with an
//     error in words, which a joining memberlist prints, and the stream is closed.
//  3. The queue for memory. Each stream needs as much of a fixed budget as the engine will allocate for it, 96 KiB
//     at least; there is one budget of 8 MiB for small streams, joins and pings, and one of 7 MiB for large ones. So at
//     most 85 small streams are decoded at once, fewer than the 128 push/pulls beyond which the engine turns peers
//     away: a thousand nodes that join through one seed wait here for some milliseconds instead of being refused.
//  4. The engine. The stream it gets from StreamCh ends after the bytes its head announced, or where a member claims a
//     field of more than 4 KiB; it stalls for at most 3 s, and is
//     cut off at a deadline that no SetDeadline can move. Compressed streams are expanded on the way, 20 KiB of memory
//     each, so the engine's own expansion of up to 40 MiB in one piece is never used.
//
// Streams dialled from here pass the same guard on the way back: a peer's answer may not claim more than its
// question. They are not queued, because this node decides itself how many it has.
//
// What an authenticated but hostile member can still do is bounded by the same limits. Without encryption anybody who reaches the
// port is such a member.
package transport
