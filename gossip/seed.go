package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Resolver looks names of seeds up. *net.Resolver is one.
type Resolver interface {
	// LookupNetIP returns the addresses of a host; network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	// LookupSRV returns hosts and ports of a service; service and proto are
	// empty and name is the whole name.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// Seed is a seed as ParseSeed reads it.
type Seed struct {
	// Host is a name or an IP address; with SRV the name of a service.
	Host string
	// Port is 0 with SRV: the records tell it.
	Port int
	// SRV tells that Host has SRV records.
	SRV bool
}

// srvPrefix marks the name of a service that does not begin as one should.
const srvPrefix = "srv:"

// ParseSeed reads a seed: "host", "host:port", an IPv4 or IPv6 address with or
// without port, the latter in brackets when a port follows; without a port it
// is defaultPort. A name that begins like a service ("_heartbeat._udp.example.com") or comes
// after "srv:" is one, whose SRV records tell hosts and ports.
func ParseSeed(seed string, defaultPort int) (Seed, error) {
	seed = strings.TrimSpace(seed)
	name, marked := strings.CutPrefix(seed, srvPrefix)
	if !marked && !strings.HasPrefix(seed, "_") {
		host, port, err := splitHostPort(seed, defaultPort)
		return Seed{Host: host, Port: port}, err
	}
	if name == "" || strings.ContainsAny(name, " /\t\r\n@[]:") {
		return Seed{}, fmt.Errorf("%q is no name with SRV records, such as _heartbeat._udp.example.com: it has no port, for the records tell it", seed)
	}
	return Seed{Host: name, SRV: true}, nil
}

func splitHostPort(seed string, defaultPort int) (host string, port int, err error) {
	host, port = seed, defaultPort
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip.String(), port, nil
	}
	if strings.Contains(host, ":") {
		var text string
		if host, text, err = net.SplitHostPort(host); err != nil {
			return "", 0, fmt.Errorf("%q is not host, host:port or [IPv6]:port", seed)
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("%q has no port from 1 to 65535", seed)
		}
		port = int(n)
	}
	if host == "" || strings.ContainsAny(host, " /\t\r\n@[]") {
		return "", 0, fmt.Errorf("%q is not host, host:port or [IPv6]:port", seed)
	}
	return host, port, nil
}

// maxResolved bounds the addresses that one seed may stand for.
const maxResolved = 64

// resolve looks a seed up, within StreamTimeout. What it returns is of the
// family that this node can send to.
func (n *Node) resolve(ctx context.Context, seed string) ([]netip.AddrPort, error) {
	s, err := ParseSeed(seed, n.defaultPort())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.StreamTimeout)
	defer cancel()
	if !s.SRV {
		return n.resolveHost(ctx, s.Host, uint16(s.Port))
	}
	_, records, err := n.resolver().LookupSRV(ctx, "", "", s.Host)
	if err != nil {
		return nil, fmt.Errorf("the service %q cannot be looked up: %w", s.Host, err)
	}
	var addrs []netip.AddrPort
	var errs []error
	for _, r := range records[:min(len(records), maxResolved)] {
		if r.Port == 0 || r.Target == "." { // "not available here" (RFC 2782)
			continue
		}
		found, err := n.resolveHost(ctx, r.Target, r.Port)
		if err != nil {
			errs = append(errs, err)
		}
		addrs = append(addrs, found...)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("the service %q has no host that can be used: %w", s.Host, errors.Join(append(errs, errNoRecords)...))
	}
	return addrs[:min(len(addrs), maxResolved)], nil
}

var errNoRecords = errors.New("no SRV record gives an address")

// resolveHost returns the addresses of a host.
func (n *Node) resolveHost(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), port)}, nil
	}
	ips, err := n.resolver().LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("the name %q cannot be resolved: %w", host, err)
	}
	if n.sockets != nil && n.cfg.Bind != "::" {
		if ips = sameFamily(ips, n.advertise.Addr()); len(ips) == 0 {
			return nil, fmt.Errorf("the name %q has no address of the family of this node's own (%v)", host, n.advertise.Addr())
		}
	}
	addrs := make([]netip.AddrPort, min(len(ips), maxResolved))
	for i := range addrs {
		addrs[i] = netip.AddrPortFrom(ips[i].Unmap(), port)
	}
	return addrs, nil
}

func (n *Node) resolver() Resolver {
	if n.cfg.Resolver != nil {
		return n.cfg.Resolver
	}
	return net.DefaultResolver
}

// literal returns the address of a seed that is one; false for a name.
func (n *Node) literal(seed string) (netip.AddrPort, bool) {
	s, err := ParseSeed(seed, n.defaultPort())
	if err != nil || s.SRV {
		return netip.AddrPort{}, false
	}
	ip, err := netip.ParseAddr(s.Host)
	return netip.AddrPortFrom(ip.Unmap(), uint16(s.Port)), err == nil
}

// sameFamily returns those of ips that a node bound to own's family can send
// to. A name such as localhost mostly has addresses of both.
func sameFamily(ips []netip.Addr, own netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(ips), func(ip netip.Addr) bool { return ip.Unmap().Is4() != own.Is4() })
}

// defaultPort is the port of a seed that names none: this node's own unless
// that one was picked at random, since the nodes of a cluster mostly share it.
func (n *Node) defaultPort() int {
	if n.advertise.Port() != 0 && n.fixedPort {
		return int(n.advertise.Port())
	}
	return DefaultPort
}

// isSelf recognises this node's own address, also by loopback or any other
// address of the host when the node listens on all of them.
func (n *Node) isSelf(addr netip.AddrPort) bool { return n.selfCheck()(addr) }

// selfCheck returns isSelf for many addresses: it asks the host for its own once at most, which may have hundreds.
func (n *Node) selfCheck() func(netip.AddrPort) bool {
	local := sync.OnceValue(hostAddrs)
	return func(addr netip.AddrPort) bool {
		if addr == n.advertise {
			return true
		}
		if n.sockets == nil || int(addr.Port()) != n.sockets.Port() {
			return false
		}
		bound, err := netip.ParseAddr(n.cfg.Bind)
		if err != nil || !bound.IsUnspecified() {
			return err == nil && bound.Unmap() == addr.Addr()
		}
		return addr.Addr().IsLoopback() || local()[addr.Addr()]
	}
}

// hostAddrs returns the addresses of this host.
func hostAddrs() map[netip.Addr]bool {
	local, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	addrs := make(map[netip.Addr]bool, len(local))
	for _, a := range local {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			addrs[p.Addr().Unmap()] = true
		}
	}
	return addrs
}
