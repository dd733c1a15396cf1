package fabric

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxPayload is the largest payload of a UDP packet over IPv4.
	maxPayload = 65507

	// packetBacklog is how many packets may wait for the node to take them. A
	// running node takes them at once in virtual time; the limit is above what
	// a full receive buffer can release in one instant.
	packetBacklog = 1024

	// streamBacklog is how many streams may wait to be accepted.
	streamBacklog = 512

	// bufferBytes bounds the packets that are held for a node that does not
	// read, and those that a frozen node sends: Linux' default rmem_max,
	// doubled as the kernel does to allow for its bookkeeping.
	bufferBytes = 2 * 212992

	// packetCharge is what the kernel charges a socket buffer for a small
	// packet besides its payload.
	packetCharge = 768
)

// Endpoint is one process's transport: a UDP socket and a TCP listener at one
// address. It is safe for concurrent use.
type Endpoint struct {
	net     *Network
	host    *host
	addr    netip.AddrPort
	from    *net.UDPAddr
	inbound atomic.Pointer[func(*memberlist.Packet) *memberlist.Packet]
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{} // closed by Shutdown and Kill

	// The rest is guarded by net.mu.
	down     bool // shut down or killed
	stats    *Stats
	conns    []*conn // those that are open here or have something left to send
	nextPort uint16  // the local port of the next stream dialled

	thawed  chan struct{} // nil unless frozen; closed by Thaw
	inHeld  []*delivery   // packets that arrived while frozen
	outHeld []outgoing    // packets sent while frozen
	accepts []*conn       // streams that arrived while frozen

	stall          stallRange
	released       time.Duration // when the last stalled packet reaches the node
	inSize, outLen int           // bytes charged for what is held
}

var _ memberlist.NodeAwareTransport = (*Endpoint)(nil)

// delivery is one packet on its way; the packet that memberlist gets is part
// of it to save an allocation.
type delivery struct {
	memberlist.Packet
	dst     *host
	ep      *Endpoint // set on arrival
	stalled bool      // it waits for a stalled node; its charge is in inSize
}

// outgoing is a packet that a frozen node has sent.
type outgoing struct {
	to  netip.AddrPort
	buf []byte
}

// newEndpoint is called with the network's lock held.
func newEndpoint(n *Network, h *host, addr netip.AddrPort) *Endpoint {
	e := &Endpoint{
		net:      n,
		host:     h,
		addr:     addr,
		from:     net.UDPAddrFromAddrPort(addr),
		packets:  make(chan *memberlist.Packet, packetBacklog),
		streams:  make(chan net.Conn, streamBacklog),
		done:     make(chan struct{}),
		stats:    new(Stats),
		nextPort: firstEphemeral,
	}
	n.stats = append(n.stats, e.stats)
	return e
}

// FinalAdvertiseAddr returns the endpoint's address, or the given one when it
// is not empty. It fails when ip is not an IP address.
func (e *Endpoint) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip == "" {
		return e.addr.Addr().AsSlice(), int(e.addr.Port()), nil
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, 0, &net.AddrError{Err: "the address to advertise is not an IP address", Addr: ip}
	}
	return a.Unmap().AsSlice(), port, nil
}

// PacketCh returns the channel of packets; it is never closed.
func (e *Endpoint) PacketCh() <-chan *memberlist.Packet { return e.packets }

// StreamCh returns the channel of accepted streams; it is never closed.
func (e *Endpoint) StreamCh() <-chan net.Conn { return e.streams }

// Stats returns the counters of this endpoint since it was opened.
func (e *Endpoint) Stats() Stats {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	return *e.stats
}

// WriteTo sends a packet to addr, an IP:port. It copies b, never blocks, and
// fails only when the endpoint is closed, the packet is larger than 65507
// bytes or addr cannot be read.
func (e *Endpoint) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := parseAddr(addr)
	if err != nil {
		return time.Time{}, e.udpError(nil, err)
	}
	if len(b) > maxPayload {
		return time.Time{}, e.udpError(net.UDPAddrFromAddrPort(to), os.NewSyscallError("sendto", syscall.EMSGSIZE))
	}
	if err := e.send(to, b); err != nil {
		return time.Time{}, e.udpError(net.UDPAddrFromAddrPort(to), err)
	}
	return time.Now(), nil
}

// WriteToAddress is WriteTo; the fabric has no use for node names.
func (e *Endpoint) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return e.WriteTo(b, a.Addr)
}

func (e *Endpoint) udpError(to net.Addr, err error) error {
	return &net.OpError{Op: "write", Net: "udp", Source: e.from, Addr: to, Err: err}
}

// send puts a packet on its way, or holds it when the node is frozen.
func (e *Endpoint) send(to netip.AddrPort, b []byte) error {
	n := e.net
	n.mu.Lock()
	if e.down {
		n.mu.Unlock()
		return net.ErrClosed
	}
	if e.thawed != nil {
		defer n.mu.Unlock()
		if e.outLen+len(b)+packetCharge > bufferBytes {
			e.stats.Drops[DropSend]++
			return nil
		}
		e.outLen += len(b) + packetCharge
		e.outHeld = append(e.outHeld, outgoing{to, append([]byte(nil), b...)})
		return nil
	}
	e.stats.PacketsOut++
	e.stats.UDPBytesOut += uint64(len(b))
	node := -1
	if dst := n.hosts[to]; dst != nil {
		node = dst.node
		n.transmitPacket(e, dst, b)
	} else {
		e.stats.Drops[DropClosed]++
	}
	n.mu.Unlock()
	if n.tap != nil {
		n.tap(e.host.node, node, UDP, b)
	}
	return nil
}

// transmitPacket decides the fate of a packet.
func (n *Network) transmitPacket(e *Endpoint, dst *host, b []byte) {
	link, st := n.link(e.host.node, dst.node, UDP)
	f := n.fate(e.host.node, dst.node, UDP, st)
	now := n.now()
	switch {
	case link.Cut:
		e.stats.Drops[DropCut]++
		return
	case link.Loss > 0 && f.chance(drawLoss) < link.Loss:
		e.stats.Drops[DropLoss]++
		return
	case link.full(st, now):
		e.stats.Drops[DropQueue]++
		return
	}
	arrive := func(after time.Duration) {
		d := &delivery{dst: dst}
		d.Buf, d.From = append([]byte(nil), b...), e.from
		n.schedule(link.depart(st, now, len(b))+after, d)
	}
	if link.Reorder > 0 && f.chance(drawReorder) < link.Reorder {
		arrive(0)
	} else {
		arrive(link.latency(f, drawDelay))
	}
	if link.Duplicate > 0 && f.chance(drawDuplicate) < link.Duplicate {
		e.stats.Duplicates++
		arrive(link.latency(f, drawCopyDelay))
	}
}

// fire has a packet arrive at its host, or reach the node that reads late.
func (d *delivery) fire(n *Network) {
	if d.stalled {
		n.release(d)
		return
	}
	e := d.dst.ep
	if e == nil {
		n.nobody.Drops[DropClosed]++
		return
	}
	d.ep = e
	late := e.late(n)
	if late <= n.now() && e.thawed == nil {
		n.hand(d)
		return
	}
	if e.inSize+len(d.Buf)+packetCharge > bufferBytes {
		e.stats.Drops[DropBuffer]++
		return
	}
	e.inSize += len(d.Buf) + packetCharge
	if late > n.now() {
		d.stalled, e.released = true, late
		n.schedule(late, d)
		return
	}
	e.inHeld = append(e.inHeld, d)
}

// release ends a packet's wait for a stalled node.
func (n *Network) release(d *delivery) {
	e := d.ep
	switch {
	case e.down:
		e.stats.Drops[DropClosed]++
	case e.thawed != nil:
		e.inHeld = append(e.inHeld, d)
	default:
		e.inSize -= len(d.Buf) + packetCharge
		n.hand(d)
	}
}

// hand queues a packet for the node; run delivers it.
func (n *Network) hand(d *delivery) {
	d.ep.stats.PacketsIn++
	d.ep.stats.UDPBytesIn += uint64(len(d.Buf))
	n.sched.ready = append(n.sched.ready, d)
}

// deliver gives a packet to the node. It is called without the lock.
func (e *Endpoint) deliver(d *delivery) {
	why := e.offer(&d.Packet)
	if why == delivered {
		return
	}
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.stats.Drops[why]++
	if why != DropHook {
		e.stats.PacketsIn--
		e.stats.UDPBytesIn -= uint64(len(d.Buf))
	}
}

// delivered is offer's answer when nothing was dropped.
const delivered Drop = -1

func (e *Endpoint) offer(p *memberlist.Packet) Drop {
	select {
	case <-e.done:
		return DropClosed
	default:
	}
	if len(p.Buf) == 0 {
		return DropEmpty
	}
	p.Timestamp = time.Now()
	if hook := e.inbound.Load(); hook != nil {
		if p = (*hook)(p); p == nil {
			return DropHook
		}
	}
	select {
	case e.packets <- p:
		return delivered
	default:
		return DropBuffer
	}
}

// SetInbound sets a hook that sees each packet before the node does, in order.
// What it returns is delivered in the packet's place; nil drops it. It is
// called with no lock held, and every packet of the network waits while it
// runs, so it must not block. It may send.
func (e *Endpoint) SetInbound(hook func(*memberlist.Packet) *memberlist.Packet) {
	e.inbound.Store(&hook)
}

// Inject queues a packet for the node as if it had arrived, past the hook and
// past faults. It does not block: the packet is dropped when 1024 wait already
// or the endpoint is closed.
func (e *Endpoint) Inject(p *memberlist.Packet) {
	select {
	case <-e.done:
		return
	default:
	}
	select {
	case e.packets <- p:
	default:
		e.net.mu.Lock()
		e.stats.Drops[DropBuffer]++
		e.net.mu.Unlock()
	}
}

// Shutdown closes the packet socket and the listener; its address can be
// listened at again. Streams that the node has accepted or dialled stay open,
// those not accepted yet are reset. It does not fail and may be called again.
func (e *Endpoint) Shutdown() error {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.close()
	return nil
}

// close ends everything but open streams, and takes back what the node has not
// fetched yet.
func (e *Endpoint) close() {
	if e.down {
		return
	}
	e.down = true
	close(e.done)
	e.host.ep = nil
	if e.thawed != nil {
		close(e.thawed)
		e.thawed = nil
	}
	e.stats.Drops[DropClosed] += uint64(len(e.inHeld))
	e.inHeld, e.outHeld = nil, nil
	for _, c := range e.accepts {
		c.abort()
	}
	e.accepts = nil
	for {
		select {
		case <-e.packets:
		case c := <-e.streams:
			if c, ok := c.(*conn); ok {
				c.abort()
			}
		default:
			return
		}
	}
}
