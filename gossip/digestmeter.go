package gossip

import (
	"net"
	"sync/atomic"
)

// meter counts the bytes of one exchange of state. Of the engine's streams, those dialled to the exchange's address while it runs are
// counted; a probe over TCP to the same member at that moment is taken in, which is a few bytes.
type meter struct {
	addr  string
	bytes atomic.Uint64
}

// metered returns conn, or one that counts when it belongs to the exchange under way.
func (d *digests) metered(conn net.Conn, addr string) net.Conn {
	if m := d.exchange.Load(); m != nil && m.addr == addr {
		return &meteredConn{Conn: conn, bytes: &m.bytes}
	}
	return conn
}

type meteredConn struct {
	net.Conn
	bytes *atomic.Uint64
}

func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(uint64(n))
	return n, err
}

func (c *meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(uint64(n))
	return n, err
}
