// Package fabric is an in-memory network for simulated nodes. Each [Endpoint]
// is a memberlist.NodeAwareTransport with UDP-like packets and TCP-like
// streams; what lies between two endpoints is a [Link] that can lose,
// duplicate, reorder, delay, throttle or cut, and that may change at any
// moment.
//
// The fabric is a discrete-event simulation on top of package time: everything
// under way sits in one heap and one timer fires at the earliest instant. It
// has no goroutine of its own while nothing is due, opens no socket, and is
// made to live in a testing/synctest bubble, where virtual time drives it. A
// Network must be created inside the bubble that uses it.
//
// # What is fixed by the seed
//
// The fate of the k-th packet of a link is a pure function of (seed, from, to,
// protocol, k) and of the Link in force when it is sent: it does not depend on
// what other links carry. Which packet is the k-th is up to the nodes.
//
// # Packets
//
// A packet's fate is decided when it is sent. Sending never blocks. A lost or
// cut packet gives the sender no error, and neither does an address at which
// nobody listens. The receiver gets its own copy.
//
// # Streams
//
// Dialling costs one round trip. An unanswered SYN is sent again after 1 s,
// 2 s, 4 s and so on until the dial times out, which without a timeout takes
// 127 s as on Linux. Bytes are kept in order and never lost: a segment that
// the link loses or a cut stops is sent again after 200 ms plus a round trip,
// doubling to 120 s at most, and what follows waits behind it. So a stream
// stalls while its link is cut and resumes at the first retransmission after
// the link has healed, and is given up after 15 of them. At most 256 KiB may
// be under way; then Write blocks. Not modelled: slow start, loss of pure
// acknowledgements, and the window's round trip.
//
// # Locking
//
// One mutex guards everything and is never held while blocking, as mutexes
// keep a bubble's clock from moving.
package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Proto tells packets and streams apart.
type Proto uint8

// The two protocols of a link.
const (
	UDP Proto = iota
	TCP
)

// maxNode bounds node indices, because link state is kept in slices by index.
const maxNode = 1 << 16

// Config configures a [Network].
type Config struct {
	// Seed fixes every draw of the network.
	Seed uint64

	// Links gives the link from one node to another for one protocol. It is
	// asked for each packet and each burst of segments, under the network's
	// lock: it must be quick and must not call into the fabric. Nil means a
	// perfect network. A node's link to itself is always perfect.
	Links func(from, to int, proto Proto) Link

	// Tap, when not nil, is shown every packet and every stream write after it
	// was handed to the network, lost ones included; to is -1 when nobody ever
	// listened at the destination. It is called in the sender's goroutine with
	// no lock held, so calls may overlap. It must not keep or change payload.
	Tap func(from, to int, proto Proto, payload []byte)
}

// Network connects endpoints. It is safe for concurrent use.
type Network struct {
	tap   func(from, to int, proto Proto, payload []byte)
	seed  uint64
	start time.Time

	mu     sync.Mutex
	links  func(from, to int, proto Proto) Link // guarded by mu, as all below
	hosts  map[netip.AddrPort]*host
	nodes  []*node
	stats  []*Stats // of all endpoints there ever were
	nobody Stats    // drops at hosts where no endpoint is open
	sched  scheduler
}

// host is one address. It outlives the endpoints that listen at it.
type host struct {
	node int
	ep   *Endpoint // nil when no process listens
	gone bool      // the machine itself is off: nothing answers, not even a reset
}

// node holds what survives a restart of a node: the sequences of its draws.
type node struct {
	out      []linkState // by index of the receiver
	stallSeq uint64
}

// New returns a network without endpoints.
func New(cfg Config) *Network {
	n := &Network{
		tap:   cfg.Tap,
		seed:  cfg.Seed,
		start: time.Now(),
		hosts: make(map[netip.AddrPort]*host),
	}
	n.SetLinks(cfg.Links)
	return n
}

// SetLinks replaces the link function; nil means a perfect network. Packets
// already under way keep the fate that they were given. Streams notice with
// their next segment or retransmission. A link function may also change what
// it returns by itself.
func (n *Network) SetLinks(links func(from, to int, proto Proto) Link) {
	if links == nil {
		links = func(int, int, Proto) Link { return Link{} }
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = links
}

// Listen opens an endpoint for the node with the given index, by which links
// are asked. The index is at least 0 and less than 65536; the same node may
// listen again after its endpoint was shut down or killed. Listen fails when
// an endpoint is open at addr, or addr belongs to another node.
func (n *Network) Listen(nodeIndex int, addr netip.AddrPort) (*Endpoint, error) {
	if nodeIndex < 0 || nodeIndex >= maxNode {
		return nil, fmt.Errorf("listen at %v: node index %d is outside 0 to %d", addr, nodeIndex, maxNode-1)
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !addr.IsValid() || addr.Port() == 0 || addr.Addr().IsUnspecified() {
		return nil, fmt.Errorf("listen at %v: an address and a port other than 0 are needed", addr)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[addr]
	switch {
	case h == nil:
		h = &host{node: nodeIndex}
		n.hosts[addr] = h
	case h.node != nodeIndex:
		return nil, fmt.Errorf("listen at %v as node %d: the address belongs to node %d", addr, nodeIndex, h.node)
	case h.ep != nil:
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(addr),
			Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	n.node(nodeIndex)
	h.ep, h.gone = newEndpoint(n, h, addr), false
	return h.ep, nil
}

// Stats returns the sum of the counters of all endpoints, closed ones included.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := n.nobody
	for _, s := range n.stats {
		sum.add(s)
	}
	return sum
}

// now is the time since the network's start.
func (n *Network) now() time.Duration { return time.Since(n.start) }

// node returns the state of a node index, made on first use.
func (n *Network) node(i int) *node {
	for len(n.nodes) <= i {
		n.nodes = append(n.nodes, nil)
	}
	if n.nodes[i] == nil {
		n.nodes[i] = &node{}
	}
	return n.nodes[i]
}

var errAddr = errors.New("want IP:port")

// parseAddr reads the address that memberlist names a peer by. Names are
// resolved before they come here, so only literals are accepted.
func parseAddr(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return a, &net.AddrError{Err: errAddr.Error(), Addr: s}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}
