//go:build !linux

package transport

import (
	"net"
	"net/netip"
)

// batchReader reads one packet a system call where there is no recvmmsg. Not safe for concurrent use.
type batchReader struct {
	conn *net.UDPConn
	buf  []byte
	n    int
	from netip.AddrPort
}

func newBatchReader(conn *net.UDPConn) (*batchReader, error) {
	return &batchReader{conn: conn, buf: make([]byte, maxPacket)}, nil
}

// read waits for a packet and returns how many it got: one.
func (r *batchReader) read() (int, error) {
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		return 0, err
	}
	r.n, r.from = n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

// packet returns the packet of the last read and where it came from, unmapped to IPv4 where it is IPv4. The bytes are
// valid until the next read.
func (r *batchReader) packet(int) ([]byte, netip.AddrPort) { return r.buf[:r.n], r.from }
