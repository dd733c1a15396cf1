package transport

import (
	"bufio"
	"bytes"
	"compress/lzw"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// stallTimeout is how long an inbound stream that the engine is reading may deliver nothing: three retransmissions of TCP.
	stallTimeout = 3 * time.Second
	// leastRate, in bytes a second, is how fast such a stream must be on the whole.
	leastRate = 256 << 10
	// decodeTime is what it gets on top of that.
	decodeTime = 5 * time.Second
)

// stream is a TCP connection of either direction with its bounds. It is what StreamCh and DialTimeout hand out.
type stream struct {
	net.Conn
	t     *Transport
	dir   direction
	pass  *pass    // nil when outbound
	count *traffic // of the peer's class

	src  *bufio.Reader // the connection, for looking ahead
	body io.Reader     // what Read delivers; nil until the head has been inspected
	left int64         // bytes that body may still deliver
	scan memberScan    // of a push/pull or ping
	user int64         // the most bytes that may follow what scan follows
	raw  int64         // bytes read from the connection

	mu         sync.Mutex
	hard       time.Time // guarded by mu: no deadline is later; zero when outbound
	readHard   time.Time // guarded by mu: the same for reading
	stall      bool      // guarded by mu: whether stallTimeout holds
	readUntil  time.Time // guarded by mu: as set by the user
	writeUntil time.Time // guarded by mu: as set by the user
	written    int64     // guarded by mu
	kind       byte      // guarded by mu: of the message, once body is set

	close    sync.Once
	closed   chan struct{}
	closeErr error
}

func (t *Transport) newStream(conn net.Conn, dir direction) *stream {
	peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	peer = netip.AddrPortFrom(peer.Addr().Unmap().WithZone(""), peer.Port())
	if dir == inbound {
		peer = netip.AddrPortFrom(peer.Addr(), 0)
	}
	s := &stream{Conn: conn, t: t, dir: dir, count: &t.count.peers[t.peerOf(peer)], closed: make(chan struct{})}
	s.src = bufio.NewReaderSize((*rawReader)(s), maxHead)
	if dir == inbound {
		s.hard = time.Now().Add(t.cfg.StreamTimeout)
		s.readHard = s.hard
	}
	return s
}

// earliest returns the earlier of two deadlines, of which zero means none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// rawReader is the connection below a stream's buffer: it keeps the deadlines, counts, and stops at MaxStreamBytes.
type rawReader stream

func (r *rawReader) Read(p []byte) (int, error) {
	s := (*stream)(r)
	if s.raw >= s.t.cfg.MaxStreamBytes {
		return 0, fmt.Errorf("reading from %v: the stream exceeds %d bytes", s.RemoteAddr(), s.t.cfg.MaxStreamBytes)
	}
	p = p[:min(int64(len(p)), s.t.cfg.MaxStreamBytes-s.raw)]
	s.mu.Lock()
	err := s.armRead()
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(p)
	s.raw += int64(n)
	s.count.streamBytesIn.Add(uint64(n))
	return n, err
}

// armRead sets the deadline for the next read. s.mu is held.
func (s *stream) armRead() error {
	until := earliest(s.readUntil, s.readHard)
	if s.stall {
		until = earliest(until, time.Now().Add(stallTimeout))
	}
	return s.Conn.SetReadDeadline(until)
}

// peek returns what the beginning of the stream says, waiting for as many bytes as that takes.
func (s *stream) peek() (head, error) {
	for n := 1; ; {
		data, err := s.src.Peek(n)
		if err == nil {
			data, _ = s.src.Peek(s.src.Buffered())
			var h head
			if h, err = s.t.limits.inspect(data, s.dir); !errors.Is(err, errMore) {
				return h, err
			}
			n = len(data) + 1
			continue
		}
		if err == io.EOF && len(data) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return head{}, err
	}
}

// admit lets Read deliver the stream as its head describes it: label header and message, the latter expanded if it was
// compressed.
func (s *stream) admit(h head) error {
	s.mu.Lock()
	s.kind = h.kind
	s.mu.Unlock()
	s.left = int64(h.prefix) + h.body
	s.scan, s.user = h.members, h.userState
	if h.packed == 0 {
		s.body = s.src
		return nil
	}
	prefix := make([]byte, h.start)
	if _, err := io.ReadFull(s.src, prefix); err != nil {
		return err
	}
	packed := &packedReader{src: s.src, left: h.packed}
	s.body = io.MultiReader(bytes.NewReader(prefix[:h.prefix]), lzw.NewReader(packed, lzw.LSB, lzwLitWidth))
	return nil
}

// handOver starts the time that the engine has for reading the stream.
func (s *stream) handOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall = true
	s.readUntil = time.Time{}
	s.readHard = earliest(s.hard, time.Now().Add(decodeTime+time.Duration(s.left)*time.Second/leastRate))
}

// handedOver reports whether the engine may be answering the stream.
func (s *stream) handedOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir == inbound && s.stall
}

// packedReader reads the compressed part of a stream. It is an io.ByteReader, so that lzw does not read beyond it.
type packedReader struct {
	src  *bufio.Reader
	left int64
}

func (r *packedReader) ReadByte() (byte, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	return r.src.ReadByte()
}

func (r *packedReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.src.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// Read delivers at most what the head of the stream has announced.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.body == nil {
		h, err := s.peek()
		if err == nil {
			err = s.admit(h)
		}
		if err != nil {
			return 0, s.answerError(err)
		}
	}
	if s.left <= 0 {
		return 0, fmt.Errorf("reading from %v: the stream is longer than it announced", s.RemoteAddr())
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if !s.scan.done() {
		members, bad := s.scan.feed(p[:n])
		if bad != nil {
			s.left = 0
			s.t.quiet.drop(StreamRefused).Stringer("from", s.RemoteAddr()).Err(bad).Msg("cut a stream off")
			return 0, fmt.Errorf("reading from %v: %w", s.RemoteAddr(), bad)
		}
		if s.scan.done() {
			s.left = max(s.user-int64(n-members), 0)
		}
	}
	return n, err
}

// answerError words a refusal of an answer; what the connection says is passed on as it is.
func (s *stream) answerError(err error) error {
	if errors.Is(err, errRefused) {
		return fmt.Errorf("reading the answer of %v: %w", s.RemoteAddr(), err)
	}
	return err
}

// Write sends p before the deadline set, or within StreamTimeout when none is set. After an error the stream is closed: its peer
// cannot make sense of what would follow.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	until := s.writeUntil
	if until.IsZero() {
		until = time.Now().Add(s.t.cfg.StreamTimeout)
	}
	err := s.Conn.SetWriteDeadline(earliest(until, s.hard))
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(p)
	s.count.streamBytesOut.Add(uint64(n))
	s.mu.Lock()
	s.written += int64(n)
	s.mu.Unlock()
	if err != nil {
		s.Close()
	}
	return n, err
}

// SetDeadline sets both deadlines.
func (s *stream) SetDeadline(until time.Time) error {
	return errors.Join(s.SetReadDeadline(until), s.SetWriteDeadline(until))
}

// SetReadDeadline can only shorten what an inbound stream has; zero gives it all of that back.
func (s *stream) SetReadDeadline(until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readUntil = until
	return s.armRead()
}

// SetWriteDeadline is like SetReadDeadline; after zero each write has StreamTimeout.
func (s *stream) SetWriteDeadline(until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeUntil = until
	return s.Conn.SetWriteDeadline(earliest(until, s.hard))
}

// Close closes the connection and gives back what the stream holds. It may be called more than once, from any goroutine.
func (s *stream) Close() error {
	s.close.Do(func() {
		s.closeErr = s.Conn.Close()
		close(s.closed)
		s.t.forget(s)
		if s.pass != nil {
			s.t.gate.leave(s.pass)
			s.t.learnReply(s)
		}
	})
	return s.closeErr
}
