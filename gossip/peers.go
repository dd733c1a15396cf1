package gossip

import (
	"net/netip"
	"sync"

	"heartbeat/gossip/transport"
)

// addressBook tells whose an address is, for the transport's counters and the listener. It holds the members that the engine holds, so it is
// as bounded as the engine's table. Its zero value is ready.
type addressBook struct {
	mu     sync.RWMutex
	byName map[string]netip.AddrPort // guarded by mu
	addrs  map[netip.AddrPort]int    // guarded by mu; how many members have it
	hosts  map[netip.Addr]int        // guarded by mu; the same without the port
}

// put notes where the member is.
func (b *addressBook) put(name string, addr netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byName == nil {
		b.byName, b.addrs, b.hosts = make(map[string]netip.AddrPort), make(map[netip.AddrPort]int), make(map[netip.Addr]int)
	}
	b.removeLocked(name)
	addr = plainAddr(addr)
	b.byName[name] = addr
	b.addrs[addr]++
	b.hosts[addr.Addr()]++
}

// remove forgets a member that is gone.
func (b *addressBook) remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removeLocked(name)
}

func (b *addressBook) removeLocked(name string) {
	addr, known := b.byName[name]
	if !known {
		return
	}
	delete(b.byName, name)
	if b.addrs[addr]--; b.addrs[addr] == 0 {
		delete(b.addrs, addr)
	}
	if b.hosts[addr.Addr()]--; b.hosts[addr.Addr()] == 0 {
		delete(b.hosts, addr.Addr())
	}
}

// has reports whether a member is at the address; port 0 stands for any.
func (b *addressBook) has(addr netip.AddrPort) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if addr.Port() == 0 {
		return b.hosts[addr.Addr()] > 0
	}
	return b.addrs[addr] > 0
}

// hasOther reports whether a member of another name is at the address.
func (b *addressBook) hasOther(name string, addr netip.AddrPort) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	there := b.addrs[addr]
	if b.byName[name] == addr {
		there--
	}
	return there > 0
}

// plainAddr is how the transport writes addresses: IPv4 not mapped into IPv6, and without a zone.
func plainAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// classify tells whose an address is. A stream from this node's own host is a member's if another member lives there.
func (n *Node) classify(addr netip.AddrPort) transport.Peer {
	own := plainAddr(n.advertise)
	addr = netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port())
	switch {
	case addr == own:
		return transport.PeerSelf
	case n.book.has(addr):
		return transport.PeerMember
	case addr.Port() == 0 && addr.Addr() == own.Addr():
		return transport.PeerSelf
	}
	return transport.PeerUnknown
}
