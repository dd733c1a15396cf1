package kernelfault

import (
	"encoding/binary"
	"fmt"
	"net"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// conn is a netlink socket to netfilter in one namespace. It is read and
// written with plain system calls, since neither transactions nor queues are
// one answer to one request.
type conn struct {
	*netlink.Conn
	raw syscall.RawConn
	buf []byte
}

func dial(namespace int) (*conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: entered(namespace)})
	if err != nil {
		return nil, err
	}
	raw, err := nl.SyscallConn()
	if err != nil {
		_ = nl.Close()
		return nil, err
	}
	// A large transaction must fit into the socket. Without the right to more
	// the kernel gives what it allows.
	_ = nl.SetWriteBuffer(4 << 20)
	_ = nl.SetReadBuffer(4 << 20)
	return &conn{Conn: nl, raw: raw, buf: make([]byte, 64<<10)}, nil
}

func (c *conn) send(data []byte) error {
	var err error
	if e := c.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), data, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return err != unix.EAGAIN
	}); e != nil {
		return e
	}
	return err
}

// drain reads all messages that are there; when there are none it waits for
// some, if told to. That some were lost, ENOBUFS, it says after it has read the
// others.
func (c *conn) drain(wait bool, each func(typ uint16, seq uint32, body []byte)) error {
	var err, lost error
	e := c.raw.Read(func(fd uintptr) bool {
		for read := false; ; read = true {
			var n int
			n, _, err = unix.Recvfrom(int(fd), c.buf, unix.MSG_DONTWAIT)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.ENOBUFS:
				lost = err
				continue
			case err == unix.EAGAIN:
				err = lost
				return read || !wait || err != nil
			case err != nil:
				return true
			}
			if err = messages(c.buf[:n], each); err != nil {
				return true
			}
		}
	})
	if e != nil {
		return fmt.Errorf("%w: %w", net.ErrClosed, e) // what else ends the wait is not used
	}
	return err
}

// messages cuts a datagram into its netlink messages.
func messages(data []byte, each func(typ uint16, seq uint32, body []byte)) error {
	for len(data) >= headerLen {
		length := int(binary.NativeEndian.Uint32(data))
		if length < headerLen || length > len(data) {
			return fmt.Errorf("a netlink message of %d bytes in %d", length, len(data))
		}
		each(binary.NativeEndian.Uint16(data[4:]), binary.NativeEndian.Uint32(data[8:]), data[headerLen:length])
		data = data[min((length+3)&^3, len(data)):]
	}
	if len(data) > 0 {
		return fmt.Errorf("%d bytes are no netlink message", len(data))
	}
	return nil
}
