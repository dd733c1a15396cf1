package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchReader reads several packets with one recvmmsg(2). golang.org/x/net can do that too, but makes two heap objects
// for the source address of every packet, as many as all the rest of the way of a packet needs. Not safe for concurrent use.
type batchReader struct {
	raw   syscall.RawConn
	call  func(fd uintptr) bool // bound once: a closure a read would be an allocation a read
	hdrs  [batchSize]mmsghdr
	iovs  [batchSize]unix.Iovec
	names [batchSize]unix.RawSockaddrInet6
	bufs  []byte
	n     int
	errno syscall.Errno
}

// mmsghdr is the kernel's struct mmsghdr; Go pads its end as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func newBatchReader(conn *net.UDPConn) (*batchReader, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("getting at the UDP socket: %w", err)
	}
	r := &batchReader{raw: raw, bufs: make([]byte, batchSize*maxPacket)}
	r.call = r.recvmmsg
	for i := range r.hdrs {
		r.iovs[i].Base = &r.bufs[i*maxPacket]
		r.iovs[i].SetLen(maxPacket)
		h := &r.hdrs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	}
	return r, nil
}

// read waits for at least one packet and returns how many it got.
func (r *batchReader) read() (int, error) {
	for i := range r.hdrs {
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6 // the kernel has overwritten it
	}
	if err := r.raw.Read(r.call); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	return r.n, nil
}

func (r *batchReader) recvmmsg(fd uintptr) bool {
	for {
		n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0])), batchSize, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno == syscall.EAGAIN {
			return false
		}
		r.n, r.errno = int(n), errno
		return true
	}
}

// packet returns the i-th packet of the last read and where it came from, unmapped to IPv4 where it is IPv4. The bytes
// are valid until the next read.
func (r *batchReader) packet(i int) ([]byte, netip.AddrPort) {
	data := r.bufs[i*maxPacket:][:r.hdrs[i].len]
	name := &r.names[i]
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return data, netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(&v4.Port))
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.Is6() {
		addr = addr.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
	}
	return data, netip.AddrPortFrom(addr, networkOrder(&name.Port))
}

func networkOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}
