package fabric

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window bounds the bytes that were written and not yet read at the other
// end, as socket buffers do.
const window = 256 << 10

// conn is one end of a stream. All of it is guarded by net.mu.
type conn struct {
	net           *Network
	ep            *Endpoint
	peer          *conn
	local, remote *net.TCPAddr
	cond          *sync.Cond // on net.mu; told of every change that may end a wait

	// The receiving side.
	received [][]byte // never holds an empty slice
	eof      bool     // the other end has closed and everything before it arrived
	late     time.Duration

	// The sending side; see transmit.
	sending []piece
	unread  int           // bytes written that the other end has not read
	arrival time.Duration // of the segment sent last
	tries   int           // how often the first piece was sent in vain
	waiting bool          // for the retransmission timer

	err         syscall.Errno // why the stream broke; 0 when it did not
	closed      bool
	read, write deadline
}

// deadline wakes a stream's waiters when it passes.
type deadline struct {
	at    time.Time // zero means none
	timer *time.Timer
}

func newConn(e *Endpoint, local, remote netip.AddrPort) *conn {
	return &conn{
		net:    e.net,
		ep:     e,
		local:  net.TCPAddrFromAddrPort(local),
		remote: net.TCPAddrFromAddrPort(remote),
		cond:   sync.NewCond(&e.net.mu),
	}
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Read implements net.Conn. A frozen node reads nothing until it has thawed.
func (c *conn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.read.passed():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case c.ep.thawed != nil:
		case len(b) == 0:
			return 0, nil
		case len(c.received) > 0:
			return c.take(b), nil
		case c.err != 0:
			return 0, c.opError("read", os.NewSyscallError("read", c.err))
		case c.eof:
			return 0, io.EOF
		}
		c.cond.Wait()
	}
}

// take moves what has arrived to b and opens the window for as much.
func (c *conn) take(b []byte) int {
	total := 0
	for len(c.received) > 0 && total < len(b) {
		k := copy(b[total:], c.received[0])
		total += k
		if c.received[0] = c.received[0][k:]; len(c.received[0]) == 0 {
			c.received[0] = nil
			c.received = c.received[1:]
		}
	}
	c.peer.unread -= total
	c.peer.cond.Broadcast()
	return total
}

// Write implements net.Conn. It returns when all of b fits into the window.
func (c *conn) Write(b []byte) (int, error) {
	total, err := c.fill(b)
	if c.net.tap != nil && total > 0 {
		c.net.tap(c.ep.host.node, c.peer.ep.host.node, TCP, b[:total])
	}
	return total, err
}

func (c *conn) fill(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	total := 0
	for {
		switch {
		case c.closed:
			return total, c.opError("write", net.ErrClosed)
		case c.err != 0:
			return total, c.opError("write", os.NewSyscallError("write", c.err))
		case c.write.passed():
			return total, c.opError("write", os.ErrDeadlineExceeded)
		case total == len(b):
			return total, nil
		case c.unread < window:
			k := min(window-c.unread, len(b)-total)
			c.unread += k
			c.ep.stats.TCPBytesOut += uint64(k)
			c.sending = append(c.sending, piece{data: append([]byte(nil), b[total:total+k]...)})
			c.transmit()
			if total += k; total == len(b) {
				return total, nil
			}
			continue
		}
		c.cond.Wait()
	}
}

// Close implements net.Conn. What was written is still sent, and then the end
// of the stream. What arrived and was not read is lost.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.drop()
	if c.err == 0 {
		c.sending = append(c.sending, piece{kind: closing})
		c.transmit()
	} else {
		c.forget()
	}
	return nil
}

// drop ends every wait and forgets what was received.
func (c *conn) drop() {
	c.received = nil
	c.read.set(c, time.Time{})
	c.write.set(c, time.Time{})
	c.cond.Broadcast()
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.read, &c.write)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *conn) setDeadlines(t time.Time, ds ...*deadline) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range ds {
		d.set(c, t)
	}
	c.cond.Broadcast()
	return nil
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set changes the deadline; waiters look at it when they are woken.
func (d *deadline) set(c *conn, t time.Time) {
	d.at = t
	switch {
	case t.IsZero():
		if d.timer != nil {
			d.timer.Stop()
		}
	case d.timer == nil:
		d.timer = time.AfterFunc(time.Until(t), c.wake)
	default:
		d.timer.Reset(time.Until(t))
	}
}

func (c *conn) wake() {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.cond.Broadcast()
}
