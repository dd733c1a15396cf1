package fabric

import (
	"net"
	"slices"
	"syscall"
	"time"
)

const (
	// segmentSize is the payload of a full segment on Ethernet.
	segmentSize = 1448

	// minRTO is the least time after which a segment is sent again, maxRTO the
	// most (Linux), and maxTries how often before the stream is given up
	// (Linux' tcp_retries2).
	minRTO   = 200 * time.Millisecond
	maxRTO   = 120 * time.Second
	maxTries = 15
)

// pieceKind tells data from the ends of a stream.
type pieceKind uint8

const (
	payload pieceKind = iota
	opening           // the last step of the handshake, by which the listener accepts
	closing           // FIN
)

// piece is something that a stream has to send, in order.
type piece struct {
	kind pieceKind
	data []byte
}

// transmit sends what the stream has to send until something stops it: a
// frozen node, a cut link or a lost segment. Then the rest waits for the thaw
// or the retransmission timer. Segments that arrive together travel as one.
func (c *conn) transmit() {
	if c.waiting || c.ep.thawed != nil || len(c.sending) == 0 {
		return
	}
	n, from, to := c.net, c.ep.host.node, c.peer.ep.host.node
	link, st := n.link(from, to, TCP)
	now := n.now()
	f := n.fate(from, to, TCP, st)
	delay := link.latency(f, drawDelay)
	var last *arrival
	for len(c.sending) > 0 {
		p := &c.sending[0]
		size := min(len(p.data), segmentSize)
		if link.Loss <= 0 && link.Rate <= 0 {
			size = len(p.data)
		}
		segments := uint64(max(1, (size+segmentSize-1)/segmentSize))
		c.ep.stats.SegmentsOut += segments
		if c.tries > 0 {
			c.ep.stats.Retransmits++
		}
		lost := link.Loss > 0 && f.chance(drawLoss) < link.Loss
		if lost || link.Cut || c.peer.ep.host.gone {
			c.retry(link.Delay)
			return
		}
		c.tries = 0
		f = n.fate(from, to, TCP, st)
		c.arrival = max(c.arrival, link.depart(st, now, size)+delay)
		if last != nil && last.at == c.arrival && last.kind == payload && p.kind == payload && !last.whole {
			last.data = last.data[:len(last.data)+size]
			last.segments += segments
		} else {
			last = &arrival{conn: c.peer, kind: p.kind, data: p.data[:size], at: c.arrival, segments: segments}
			n.schedule(last.at, last)
		}
		if p.data = p.data[size:]; len(p.data) == 0 {
			last.whole = true
			c.sending[0] = piece{}
			c.sending = c.sending[1:]
		}
	}
	if c.closed {
		c.forget()
	}
}

// retry has the first piece sent again later, or gives the stream up.
func (c *conn) retry(delay time.Duration) {
	c.tries++
	if c.tries > maxTries {
		c.fail(syscall.ETIMEDOUT)
		return
	}
	c.waiting = true
	c.net.schedule(c.net.now()+min((minRTO+2*delay)<<(c.tries-1), maxRTO), (*retransmission)(c))
}

type retransmission conn

func (r *retransmission) fire(*Network) {
	c := (*conn)(r)
	c.waiting = false
	c.transmit()
}

// fail breaks the stream at this end.
func (c *conn) fail(why syscall.Errno) {
	if c.err == 0 {
		c.err = why
	}
	c.sending, c.received = nil, nil
	c.cond.Broadcast()
	if c.closed {
		c.forget()
	}
}

// forget takes the stream off its endpoint's list.
func (c *conn) forget() {
	if i := slices.Index(c.ep.conns, c); i >= 0 {
		c.ep.conns = slices.Delete(c.ep.conns, i, i+1)
	}
}

// arrival is a piece on its way to an end of a stream.
type arrival struct {
	conn     *conn
	kind     pieceKind
	data     []byte
	at       time.Duration
	segments uint64
	whole    bool // data ends where its piece ends, so it cannot be extended
	stalled  bool // it waits for a stalled node
}

// fire has a piece arrive, or reach the node that reads late. Nobody there
// means a reset.
func (a *arrival) fire(n *Network) {
	c := a.conn
	switch {
	case c.ep.host.gone:
		return
	case !a.stalled:
		c.ep.stats.SegmentsIn += a.segments
		c.ep.stats.TCPBytesIn += uint64(len(a.data))
		if c.late = max(c.late, n.now()+c.ep.lateness(n)); c.late > n.now() {
			a.stalled = true
			n.schedule(c.late, a)
			return
		}
	}
	if c.err != 0 {
		return
	}
	if c.closed || a.kind == opening && c.ep.down {
		if a.kind != closing {
			c.closed = true
			c.reset()
		}
		return
	}
	switch a.kind {
	case opening:
		if c.ep.thawed != nil {
			c.ep.accepts = append(c.ep.accepts, c)
		} else {
			c.accept()
		}
	case payload:
		c.received = append(c.received, a.data)
	case closing:
		c.eof = true
	}
	c.cond.Broadcast()
}

// accept hands a new stream to the node, or resets it when too many wait.
func (c *conn) accept() {
	select {
	case c.ep.streams <- net.Conn(c):
		c.ep.stats.Accepts++
		c.ep.conns = append(c.ep.conns, c)
	default:
		c.abort()
	}
}

// abort closes this end without a FIN and resets the other.
func (c *conn) abort() {
	c.closed, c.sending = true, nil
	c.drop()
	c.forget()
	c.reset()
}

// reset tells the other end that nobody is here, if the machine is on and the
// link lets it pass.
func (c *conn) reset() {
	n := c.net
	if c.ep.host.gone {
		return
	}
	if after, ok := n.segment(c.ep.host.node, c.peer.ep.host.node); ok {
		n.schedule(n.now()+after, (*resetting)(c.peer))
	}
}

type resetting conn

func (r *resetting) fire(*Network) {
	if c := (*conn)(r); !c.ep.host.gone {
		c.fail(syscall.ECONNRESET)
	}
}
