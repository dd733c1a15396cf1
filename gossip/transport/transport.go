package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// Config says what New opens and which bounds hold. The zero value of a field means its default.
type Config struct {
	// Bind is the address to listen on: an IP, "0.0.0.0" (every IPv4 address, the default), "::" (every IPv6 and IPv4
	// address), or the name of an interface, of which the first suitable address is taken.
	Bind string
	// Port is for UDP and TCP alike; 0 picks one that is free for both.
	Port int
	// MaxStreams bounds the inbound streams open at once, decoded or waiting; default 1024. A place costs about 10 KiB.
	// Too few turn peers away when many join together.
	MaxStreams int
	// MaxStreamBytes bounds what is read from one stream, before expansion; default 64 MiB. The limits below are usually
	// reached first.
	MaxStreamBytes int64
	// StreamTimeout is the longest life of an inbound stream, waiting included, and the time a write may take on a
	// stream whose user has set no deadline; default 30 s. It should be at least memberlist's TCPTimeout.
	StreamTimeout time.Duration
	// MaxMembers bounds the members that a peer may announce in one push/pull; default 16384.
	MaxMembers int
	// MaxUserState bounds in bytes the user state of a push/pull, and a user message sent over a stream; default 4 MiB.
	// The memory for decoding is 8 MiB for small streams and 192*MaxMembers+MaxUserState bytes, by default 7 MiB, for large ones.
	MaxUserState int
	// Label is the cluster label; it must be the same as memberlist.Config.Label. Streams and packets with another label,
	// or with one when this is empty, are turned away here.
	Label string
	// Logger gets at most one line a second for each reason that the network can cause.
	Logger zerolog.Logger
}

func (c *Config) setDefaults() {
	if c.Bind == "" {
		c.Bind = "0.0.0.0"
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = 1024
	}
	if c.MaxStreamBytes == 0 {
		c.MaxStreamBytes = 64 << 20
	}
	if c.StreamTimeout == 0 {
		c.StreamTimeout = 30 * time.Second
	}
	if c.MaxMembers == 0 {
		c.MaxMembers = 16384
	}
	if c.MaxUserState == 0 {
		c.MaxUserState = 4 << 20
	}
}

// The upper bounds keep sums of them far from overflow and under what memberlist itself refuses.
const (
	mostMembers   = 1 << 20
	mostUserState = 20 << 20
)

func (c *Config) validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Port < 0 || c.Port > 65535, "port %d is not between 0 and 65535", c.Port)
	refuse(c.MaxStreams < 0, "MaxStreams is %d, less than 0", c.MaxStreams)
	refuse(c.MaxStreamBytes < 0, "MaxStreamBytes is %d, less than 0", c.MaxStreamBytes)
	refuse(c.StreamTimeout < 0, "StreamTimeout is %v, less than 0", c.StreamTimeout)
	refuse(c.MaxMembers < 0 || c.MaxMembers > mostMembers, "MaxMembers is %d, not between 0 and %d", c.MaxMembers, mostMembers)
	refuse(c.MaxUserState < 0 || c.MaxUserState > mostUserState, "MaxUserState is %d, not between 0 and %d", c.MaxUserState, mostUserState)
	refuse(len(c.Label) > memberlist.LabelMaxSize, "the label has %d bytes, more than %d", len(c.Label), memberlist.LabelMaxSize)
	return errors.Join(errs...)
}

// Transport sends and receives over one UDP socket and one TCP listener on the same port. All methods are safe for
// concurrent use.
type Transport struct {
	cfg    Config
	bound  netip.AddrPort
	udp    *net.UDPConn
	tcp    *net.TCPListener
	limits limits
	gate   *gate
	count  counters
	reply  atomic.Int64 // bytes in the answers to push/pulls, see learnReply
	quiet  quiet

	packets  chan *memberlist.Packet
	streams  chan net.Conn
	inbound  atomic.Pointer[func(*memberlist.Packet) *memberlist.Packet] // the tap; nil without
	classify atomic.Pointer[func(netip.AddrPort) Peer]                   // nil without

	resolveMu sync.Mutex
	resolved  *cache[string, netip.AddrPort] // guarded by resolveMu

	ctx  context.Context // ends at Shutdown
	stop context.CancelFunc
	wg   sync.WaitGroup // the transport's own goroutines

	mu   sync.Mutex
	down bool                 // guarded by mu
	live map[*stream]struct{} // guarded by mu: every stream not yet closed
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// errDown is what everything returns after Shutdown.
var errDown = errors.New("the transport has been shut down")

// New opens the sockets and starts to receive. When it fails nothing stays open. The error names the address and port;
// errors.Is(err, syscall.EADDRINUSE) tells that another process has it.
func New(cfg Config) (*Transport, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("transport settings: %w", err)
	}
	ip, err := bindAddr(cfg.Bind)
	if err != nil {
		return nil, err
	}
	udp, tcp, err := listen(ip, cfg.Port)
	if err != nil {
		return nil, err
	}
	reader, err := newBatchReader(udp)
	if err != nil {
		return nil, errors.Join(err, udp.Close(), tcp.Close())
	}
	growReceiveBuffer(udp)

	lim := newLimits(&cfg)
	t := &Transport{
		cfg:      cfg,
		bound:    netip.AddrPortFrom(ip, uint16(tcp.Addr().(*net.TCPAddr).Port)),
		udp:      udp,
		tcp:      tcp,
		limits:   lim,
		gate:     newGate(cfg.MaxStreams, lim.budgets()),
		packets:  make(chan *memberlist.Packet, queuePackets),
		streams:  make(chan net.Conn),
		resolved: newCache[string, netip.AddrPort](addrCacheSize),
		live:     make(map[*stream]struct{}),
	}
	t.quiet.log, t.quiet.drops = cfg.Logger, &t.count.drops
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.wg.Go(func() { t.receive(reader) })
	t.wg.Go(t.accept)
	return t, nil
}

// Port returns the port in use, for UDP and TCP alike.
func (t *Transport) Port() int { return int(t.bound.Port()) }

// listen opens both sockets on one port. A free TCP port need not be free for UDP, so with port 0 it tries a few.
func listen(ip netip.Addr, port int) (*net.UDPConn, *net.TCPListener, error) {
	const tries = 16
	family := "4"
	switch {
	case ip == netip.IPv6Unspecified():
		family = "" // Go opens a socket for both families then
	case ip.Is6():
		family = "6"
	}
	var lastErr error
	for range tries {
		tcp, err := net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))))
		if err != nil {
			return nil, nil, listenError("TCP", ip, port, err)
		}
		got := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(got))))
		if err == nil {
			return udp, tcp, nil
		}
		lastErr = errors.Join(listenError("UDP", ip, got, err), tcp.Close())
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, nil, lastErr
}

func listenError(what string, ip netip.Addr, port int, err error) error {
	where := netip.AddrPortFrom(ip, uint16(port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s %v: the port is in use by another process: %w", what, where, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s %v: no interface of this machine has that address: %w", what, where, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s %v: ports below 1024 need a privilege that this process lacks: %w", what, where, err)
	}
	return fmt.Errorf("cannot listen on %s %v: %w", what, where, err)
}

// answerTimeout is how long Shutdown waits for the answers that the engine is giving: a newcomer whose join is cut off here would
// have to start all over with another seed.
const answerTimeout = 300 * time.Millisecond

// drain waits until the engine has closed the streams that it is answering.
func drain(open map[*stream]struct{}) {
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	for s := range open {
		if !s.handedOver() {
			continue
		}
		select {
		case <-s.closed:
		case <-timeout.C:
			return
		}
	}
}

// Shutdown stops listening, aborts dials, gives the engine a moment (300 ms) to finish the answers that it is giving, closes every stream of either direction and waits for the transport's
// goroutines. It may be called more than once; each call returns when all is done. PacketCh and StreamCh stay
// open, for their reader may be about to receive from them, and deliver nothing more than what they hold.
func (t *Transport) Shutdown() error {
	t.mu.Lock()
	first := !t.down
	t.down = true
	open := t.live
	t.live = nil
	t.mu.Unlock()

	var err error
	if first {
		t.stop()
		err = errors.Join(t.udp.Close(), t.tcp.Close())
		drain(open)
		for s := range open {
			s.Close()
		}
	}
	t.wg.Wait()
	return err
}

// track remembers a stream until it is closed; false means that the transport is down and the stream must not be used.
func (t *Transport) track(s *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return false
	}
	t.live[s] = struct{}{}
	return true
}

func (t *Transport) forget(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, s)
}

// pause waits between two attempts after an error, longer each time, and returns the next wait. It is over at once when
// the transport is shut down.
func (t *Transport) pause(wait time.Duration) time.Duration {
	const shortest, longest = 5 * time.Millisecond, time.Second
	timer := time.NewTimer(max(wait, shortest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
	return min(2*max(wait, shortest), longest)
}
