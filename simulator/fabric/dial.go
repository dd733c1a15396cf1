package fabric

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// firstEphemeral is where the local ports of dialled streams begin.
	firstEphemeral = 32768

	// synTimeout is how long a dial waits for the answer to its first SYN; it
	// doubles with each of synTries (RFC 6298 and Linux' tcp_syn_retries).
	synTimeout = time.Second
	synTries   = 7
)

// DialTimeout opens a stream to addr, an IP:port. It returns within timeout;
// 0 means the 127 s of unanswered SYNs, and less than 0 that time is up
// already. Errors are *net.OpError as package net returns them.
func (e *Endpoint) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := parseAddr(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	c, err := e.dial(to, timeout)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return c, nil
}

// DialAddressTimeout is DialTimeout; the fabric has no use for node names.
func (e *Endpoint) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return e.DialTimeout(a.Addr, timeout)
}

// answer is what becomes of a SYN.
type answer int

const (
	unanswered answer = iota
	refused
	accepted
)

func (e *Endpoint) dial(to netip.AddrPort, timeout time.Duration) (*conn, error) {
	if timeout < 0 {
		return nil, os.ErrDeadlineExceeded
	}
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	for try := range synTries {
		if err := e.pass(0, expired); err != nil {
			return nil, err
		}
		e.net.mu.Lock()
		ans, rtt := e.knock(to, try > 0)
		e.net.mu.Unlock()
		if ans == unanswered {
			rtt = synTimeout << try
		}
		if err := e.pass(rtt, expired); err != nil {
			return nil, err
		}
		if ans == accepted {
			if c := e.connect(to); c != nil {
				return c, nil
			}
			ans = refused
		}
		if ans == refused {
			return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		}
	}
	return nil, os.NewSyscallError("connect", syscall.ETIMEDOUT)
}

// pass lets the duration go by and then waits until the node is not frozen.
// It fails when time is up or the endpoint closes.
func (e *Endpoint) pass(wait time.Duration, expired <-chan time.Time) error {
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-e.done:
		}
	}
	e.net.mu.Lock()
	thawed, down := e.thawed, e.down
	e.net.mu.Unlock()
	if thawed != nil {
		select {
		case <-thawed:
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-e.done:
			down = true
		}
	}
	if down {
		return net.ErrClosed
	}
	return nil
}

// knock sends a SYN and returns the answer and the round trip that it takes.
func (e *Endpoint) knock(to netip.AddrPort, again bool) (answer, time.Duration) {
	n := e.net
	e.stats.SegmentsOut++
	if again {
		e.stats.Retransmits++
	}
	dst := n.hosts[to]
	if dst == nil || dst.gone {
		return unanswered, 0
	}
	there, ok := n.segment(e.host.node, dst.node)
	if !ok || dst.ep != nil && (dst.ep.thawed != nil || len(dst.ep.streams) == cap(dst.ep.streams)) {
		return unanswered, 0
	}
	if dst.ep != nil {
		dst.ep.stats.SegmentsIn++
		dst.ep.stats.SegmentsOut++
	}
	back, ok := n.segment(dst.node, e.host.node)
	if !ok {
		return unanswered, 0
	}
	e.stats.SegmentsIn++
	if dst.ep == nil {
		return refused, there + back
	}
	return accepted, there + back
}

// segment draws for a lone segment without payload: how long it takes, and
// whether it arrives.
func (n *Network) segment(from, to int) (time.Duration, bool) {
	link, st := n.link(from, to, TCP)
	f := n.fate(from, to, TCP, st)
	if link.Cut || link.Loss > 0 && f.chance(drawLoss) < link.Loss {
		return 0, false
	}
	return link.latency(f, drawDelay), true
}

// connect makes both ends of a stream whose handshake is done. It returns nil
// when nobody listens at the address any more. The other end hears of the
// stream through its first segment.
func (e *Endpoint) connect(to netip.AddrPort) *conn {
	n := e.net
	n.mu.Lock()
	defer n.mu.Unlock()
	dst := n.hosts[to]
	if dst.ep == nil || e.down {
		return nil
	}
	local := netip.AddrPortFrom(e.addr.Addr(), e.nextPort)
	if e.nextPort++; e.nextPort == 0 {
		e.nextPort = firstEphemeral
	}
	near := newConn(e, local, to)
	far := newConn(dst.ep, to, local)
	near.peer, far.peer = far, near
	e.stats.Dials++
	e.conns = append(e.conns, near)
	near.sending = append(near.sending, piece{kind: opening})
	near.transmit()
	return near
}
