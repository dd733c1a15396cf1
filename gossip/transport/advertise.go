package transport

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// candidate is an address of this machine that a node could listen on or advertise.
type candidate struct {
	addr      netip.Addr
	preferred bool // the machine uses it itself towards the default route
	bridge    bool // it belongs to a bridge of containers or virtual machines, which other machines cannot reach
}

// ErrNoInterface is in the chain of New's error when Config.Bind names no interface.
var ErrNoInterface = errors.New("neither an IP address nor an interface of this machine")

// bindAddr turns Config.Bind into an address: an IP or the name of an interface.
func bindAddr(bind string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(bind); err == nil {
		return addr.Unmap(), nil
	}
	iface, err := net.InterfaceByName(bind)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot listen on %q: it is %w, which has %s", bind, ErrNoInterface, interfaceNames())
	}
	list, err := addrsOf(*iface)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot listen on interface %s: reading its addresses failed: %w", bind, err)
	}
	if best := choose(list); best.IsValid() {
		return best, nil
	}
	return netip.Addr{}, fmt.Errorf("cannot listen on interface %s: it has no address other than link-local ones", bind)
}

func interfaceNames() string {
	ifaces, err := net.Interfaces()
	if err != nil || len(ifaces) == 0 {
		return "none that can be listed"
	}
	var names []string
	for _, i := range ifaces {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}

// FinalAdvertiseAddr returns the address and port under which other nodes reach this one. A given ip is used as it is,
// with the given port or, if that is 0, the bound one. Without ip both are those bound to; the port given is ignored then,
// because the engine passes its default port even when another one is bound. Bound to a wildcard, it is an address of this
// machine: a private one (that of the default route first, those of container bridges last), else a global one, else
// loopback. It never is the wildcard itself.
func (t *Transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip == "" {
		addr, err := t.ownAddr()
		return netIP(addr), t.Port(), err
	}
	addr, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("cannot advertise %q: it is not an IP address", ip)
	case addr.IsUnspecified():
		return nil, 0, fmt.Errorf("cannot advertise %q: other nodes cannot send to a wildcard address", ip)
	case port < 0 || port > 65535:
		return nil, 0, fmt.Errorf("cannot advertise port %d: it is not between 0 and 65535", port)
	case port == 0:
		port = t.Port()
	}
	return netIP(addr), port, nil
}

// netIP returns addr in its shortest form, as memberlist expects it; nil when it is not valid.
func netIP(addr netip.Addr) net.IP { return addr.Unmap().WithZone("").AsSlice() }

func (t *Transport) ownAddr() (netip.Addr, error) {
	bound := t.bound.Addr()
	if !bound.IsUnspecified() {
		return bound, nil
	}
	list, err := machineAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot find an address to advertise for %v: %w", bound, err)
	}
	if bound.Is4() {
		list = slices.DeleteFunc(list, func(c candidate) bool { return !c.addr.Is4() })
	}
	best := choose(list)
	if !best.IsValid() {
		return best, fmt.Errorf("no interface of this machine has an address to advertise for %v; set the address to advertise", bound)
	}
	return best, nil
}

// machineAddrs lists the addresses of all interfaces that are up.
func machineAddrs() ([]candidate, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces of this machine: %w", err)
	}
	routes := []netip.Addr{routeAddr("udp4", "192.0.2.1:9"), routeAddr("udp6", "[2001:db8::1]:9")}
	var list []candidate
	var errs []error
	for _, iface := range ifaces {
		if iface.Flags&net.FlagUp == 0 {
			continue
		}
		got, err := addrsOf(iface)
		errs = append(errs, err)
		_, noBridge := os.Stat("/sys/class/net/" + iface.Name + "/bridge")
		for _, c := range got {
			c.preferred = slices.Contains(routes, c.addr)
			c.bridge = noBridge == nil
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, errors.Join(errs...)
	}
	return list, nil
}

// routeAddr returns the source address that the kernel picks towards a documentation address (RFC 5737, RFC 3849), which is that of
// the default route. Connecting a UDP socket sends nothing. The zero Addr means that there is no route.
func routeAddr(network, to string) netip.Addr {
	conn, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

func addrsOf(iface net.Interface) ([]candidate, error) {
	addrs, err := iface.Addrs()
	if err != nil {
		return nil, err
	}
	var list []candidate
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, candidate{addr: prefix.Addr().Unmap()})
		}
	}
	return list, nil
}

// choose returns the most suitable address, the first in the list among equals; the zero Addr when there is none.
func choose(list []candidate) netip.Addr {
	var best candidate
	for _, c := range list {
		if rank(c) > 0 && compareCandidates(c, best) > 0 {
			best = c
		}
	}
	return best.addr
}

func compareCandidates(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)),
		cmp.Compare(order(a.preferred), order(b.preferred)),
		cmp.Compare(order(a.addr.Is4()), order(b.addr.Is4())))
}

// rank is 0 for an address that cannot be advertised. Link-local ones cannot: they mean nothing without a zone.
func rank(c candidate) int {
	switch {
	case !c.addr.IsValid() || c.addr.IsUnspecified() || c.addr.IsLinkLocalUnicast() || c.addr.IsMulticast():
		return 0
	case c.addr.IsLoopback():
		return 1
	case c.bridge && !c.preferred:
		return 2
	case c.addr.IsPrivate():
		return 4
	}
	return 3
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}
