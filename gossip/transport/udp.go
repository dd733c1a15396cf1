package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// batchSize packets are read at once; more saves little, and each needs a buffer of maxPacket (untouched pages cost
	// address space only).
	batchSize = 16
	// maxPacket holds the largest UDP payload, 65507 bytes over IPv4.
	maxPacket = 64 << 10
	// receiveBuffer is what the kernel is asked to hold while the process is not scheduled: some 1500 full packets.
	receiveBuffer = 2 << 20
	// addrCacheSize is the size of a generation of the address caches; a cluster as large as that fits.
	addrCacheSize = 8192
	// The engine takes packets from the queue one by one and does little with each, so the queue only bridges moments in
	// which it is not scheduled. 1024 is 0.1 s of 10,000 packets a second; older ones would be acks that come too late
	// anyway. The bound in bytes keeps 1024 packets of 64 KiB from being 64 MiB.
	queuePackets = 1024
	queueBytes   = 8 << 20
)

// PacketCh returns the channel of received packets. Packet.From is shared between packets: read it only.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

func growReceiveBuffer(conn *net.UDPConn) {
	for size := receiveBuffer; size > 0; size /= 2 {
		if conn.SetReadBuffer(size) == nil {
			return
		}
	}
}

// receiver is the state of the receive goroutine, which alone uses it.
type receiver struct {
	t       *Transport
	guard   packetGuard
	sources *cache[netip.AddrPort, *net.UDPAddr]
	queue   queueMeter
}

// receive reads packets until the socket is closed. Errors that the socket reports for itself (an interface
// that went down, an ICMP answer to an earlier packet) do not end it.
func (t *Transport) receive(reader *batchReader) {
	r := receiver{t: t, sources: newCache[netip.AddrPort, *net.UDPAddr](addrCacheSize)}
	r.guard.label = t.cfg.Label
	var wait time.Duration
	for {
		n, err := reader.read()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			t.quiet.drop(PacketReceiveError).Err(err).Msg("receiving UDP packets failed, trying again")
			wait = t.pause(wait)
			continue
		}
		wait = 0
		now := time.Now()
		for i := range n {
			data, from := reader.packet(i)
			r.handle(data, from, now)
		}
	}
}

// handle takes one packet, whose bytes are valid during the call only, as far as the queue.
func (r *receiver) handle(data []byte, from netip.AddrPort, now time.Time) {
	t := r.t
	if len(data) == 0 {
		t.quiet.drop(PacketMalformed).Stringer("from", from).Msg("dropped an empty packet")
		return
	}
	if !r.queue.room(len(t.packets), len(data)) {
		// Dropping the newest, not waiting: a loss here is counted and looks to the engine like any other loss, one in
		// the kernel's full buffer would be invisible. And the newest rather than the oldest, because only the
		// engine takes from the channel.
		t.quiet.drop(PacketQueueFull).Stringer("from", from).Msg("dropped a packet: the node does not keep up")
		return
	}
	buf, why, err := r.guard.admit(data)
	if err != nil {
		t.quiet.drop(why).Stringer("from", from).Err(err).Msg("dropped a packet")
		return
	}
	p := &memberlist.Packet{Buf: buf, From: r.source(from), Timestamp: now}
	if tap := t.inbound.Load(); tap != nil {
		if p = (*tap)(p); p == nil {
			t.count.drops[PacketByTap].Add(1)
			return
		}
	}
	select {
	case t.packets <- p:
		count := &t.count.peers[t.peerOf(from)]
		count.packetsIn.Add(1)
		count.packetBytesIn.Add(uint64(len(data)))
		r.queue.add(len(p.Buf))
	default: // what Inject has queued in between took the last place
		t.count.drops[PacketQueueFull].Add(1)
	}
}

// SetInbound sets what sees each packet of this cluster before the engine and returns the packet to deliver, or nil to
// drop it. It runs on the receive goroutine: it must not block. It may keep the packet.
func (t *Transport) SetInbound(tap func(*memberlist.Packet) *memberlist.Packet) {
	t.inbound.Store(&tap)
}

// Inject queues a packet for the engine as if it had arrived, past all checks. It does not block: the packet is dropped
// and counted when the queue is full.
func (t *Transport) Inject(p *memberlist.Packet) {
	select {
	case t.packets <- p:
	default:
		t.count.drops[PacketQueueFull].Add(1)
	}
}

func (r *receiver) source(from netip.AddrPort) *net.UDPAddr {
	addr, ok := r.sources.get(from)
	if !ok {
		addr = net.UDPAddrFromAddrPort(from)
		r.sources.put(from, addr)
	}
	return addr
}

// queueMeter knows how many bytes wait in a channel without its reader's help: packets leave in the order in which they came,
// so those waiting are the last ones added.
type queueMeter struct {
	totals [queuePackets]uint64 // totals[i%len]: bytes added before packet i
	added  uint64               // packets
	bytes  uint64
}

// room reports whether a packet of size fits behind the waiting ones.
func (q *queueMeter) room(waiting, size int) bool {
	waiting = min(waiting, int(q.added)) // injected packets wait too, but are few and not metered
	if waiting == 0 {
		return true
	}
	if waiting >= queuePackets {
		return false
	}
	oldest := q.added - uint64(waiting)
	return q.bytes-q.totals[oldest%queuePackets]+uint64(size) <= queueBytes
}

func (q *queueMeter) add(size int) {
	q.totals[q.added%queuePackets] = q.bytes
	q.added++
	q.bytes += uint64(size)
}

// WriteTo sends a packet to "ip:port" (or "host:port", which is resolved first) and returns the time right after.
//
// It returns an error only for what the caller did wrong: an address that cannot be parsed, a packet too large for UDP, a
// transport that is shut down. Everything else is a lost packet, counted as PacketSendLost. The failure detector must
// learn of a peer's fate from the peer's silence: of a *net.OpError for a UDP write the engine concludes that the
// peer has failed, without waiting for an ack, though the fault is this machine's (full buffers, a firewall rule, an ICMP
// message about an earlier packet); on any other error it skips the probe, so that a peer behind a missing or blackholed
// route (ENETUNREACH, EINVAL) would be held alive for ever. So what is returned is never a *net.OpError.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := t.resolve(addr)
	if err != nil {
		return time.Time{}, err
	}
	if ip := t.bound.Addr(); ip != netip.IPv6Unspecified() && ip.Is4() != to.Addr().Is4() {
		err = syscall.EAFNOSUPPORT // Go would send nothing either, and say it with an error of its own
	} else {
		_, err = t.udp.WriteToUDPAddrPort(b, to)
	}
	now := time.Now()
	if err == nil {
		count := &t.count.peers[t.peerOf(to)]
		count.packetsOut.Add(1)
		count.packetBytesOut.Add(uint64(len(b)))
		return now, nil
	}
	if t.ctx.Err() != nil {
		return time.Time{}, fmt.Errorf("cannot send a packet to %s: %w", addr, errDown)
	}
	return now, t.sendFailed(len(b), addr, err)
}

// WriteToAddress is WriteTo; the name of the node is of no use to it.
func (t *Transport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, addr.Addr)
}

// sendFailed turns the error of a UDP write into what WriteTo promises.
func (t *Transport) sendFailed(size int, addr string, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("cannot send a packet to %s: %s", addr, err.Error())
	}
	if errno == syscall.EMSGSIZE {
		return fmt.Errorf("cannot send a packet of %d bytes to %s: it is too large for UDP: %w", size, addr, errno)
	}
	t.quiet.drop(PacketSendLost).Str("to", addr).Err(errno).Msg("a packet was lost before it left this machine")
	return nil
}

// resolve returns the address to send to, from the cache where possible. Only addresses are cached, not names: what a name
// stands for may change.
func (t *Transport) resolve(addr string) (netip.AddrPort, error) {
	t.resolveMu.Lock()
	to, ok := t.resolved.get(addr)
	t.resolveMu.Unlock()
	if ok {
		return to, nil
	}
	to, err := netip.ParseAddrPort(addr)
	literal := err == nil
	if !literal {
		udpAddr, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("cannot send a packet to %q: %s", addr, err.Error())
		}
		to = udpAddr.AddrPort()
	}
	if to.Port() == 0 || !to.Addr().IsValid() || to.Addr().IsUnspecified() {
		return netip.AddrPort{}, fmt.Errorf("cannot send a packet to %q: a host and a port other than 0 are needed", addr)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if literal {
		t.resolveMu.Lock()
		t.resolved.put(addr, to)
		t.resolveMu.Unlock()
	}
	return to, nil
}
