package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	ns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"heartbeat/simulator/kernelfault"
)

// prefix is the agents' network. It exists in their namespaces only.
var prefix = netip.MustParsePrefix("10.98.0.0/16")

// address is a node's address.
func address(node int) netip.Addr {
	b := prefix.Addr().As4()
	b[2], b[3] = byte((node+1)>>8), byte(node+1)
	return netip.AddrFrom4(b)
}

// hardware is the address of a node's network card.
func hardware(node int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x98, 0, 0, byte((node + 1) >> 8), byte(node + 1)}
}

// thread is one thread of the system that enters namespaces on behalf of
// others. It lives until it is closed: the kernel ends a process that is to die
// with its parent when the thread that started it ends.
type thread struct {
	jobs chan func()
}

func newThread() *thread {
	t := &thread{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for f := range t.jobs {
			f()
		}
	}()
	return t
}

// do runs f on the thread.
func (t *thread) do(f func() error) error {
	done := make(chan error)
	t.jobs <- func() { done <- f() }
	return <-done
}

// in runs f on the thread inside a namespace; -1 makes a new one.
func (t *thread) in(namespace int, f func() error) error {
	return t.do(func() (err error) {
		home, err := openNamespace()
		if err != nil {
			return err
		}
		defer unix.Close(home)
		if namespace < 0 {
			err = unix.Unshare(unix.CLONE_NEWNET)
		} else {
			err = unix.Setns(namespace, unix.CLONE_NEWNET)
		}
		if err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		defer func() {
			if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, fmt.Errorf("leave a network namespace: %w", back))
			}
		}()
		return f()
	})
}

func (t *thread) close() { close(t.jobs) }

// openNamespace opens the namespace that this thread is in.
func openNamespace() (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open this thread's network namespace: %w", err)
	}
	return fd, nil
}

// network is a bridge in a namespace of its own, and a namespace for each node
// that hangs on it by a veth pair. The namespaces have no names: they are gone
// when their descriptors are closed and nothing runs in them.
type network struct {
	hub   int
	nodes []int
}

// newNetwork makes the network; nothing is left of it after an error.
func newNetwork(t *thread, nodes int) (_ *network, err error) {
	n := &network{hub: -1}
	defer func() {
		if err != nil {
			n.close()
			err = explain(err)
		}
	}()
	if n.hub, err = newNamespace(t); err != nil {
		return nil, err
	}
	links, err := netlink.NewHandleAt(ns.NsHandle(n.hub), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("speak with the bridge's namespace: %w", err)
	}
	defer links.Close()
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bridge"}, MulticastSnooping: &snooping}
	if err := links.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("make a bridge: %w", err)
	}
	if err := links.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("set the bridge up: %w", err)
	}
	for i := range nodes {
		fd, err := newNamespace(t)
		if err != nil {
			return nil, err
		}
		n.nodes = append(n.nodes, fd)
		if err := plug(links, bridge.Index, fd, i, nodes); err != nil {
			return nil, fmt.Errorf("connect namespace %d of %d: %w", i+1, nodes, err)
		}
	}
	return n, nil
}

// newNamespace makes an empty namespace without IPv6, and with packets on
// bridges left alone.
func newNamespace(t *thread) (fd int, err error) {
	err = t.in(-1, func() error {
		if fd, err = openNamespace(); err != nil {
			return err
		}
		for _, s := range [][2]string{
			{"ipv6/conf/all/disable_ipv6", "1"}, {"ipv6/conf/default/disable_ipv6", "1"},
			{"bridge/bridge-nf-call-iptables", "0"}, {"bridge/bridge-nf-call-arptables", "0"},
		} {
			// A file that is missing stands for something that is not there.
			if err := os.WriteFile("/proc/sys/net/"+s[0], []byte(s[1]), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("prepare a network namespace: %w", err)
			}
		}
		return nil
	})
	if err != nil && fd > 0 {
		unix.Close(fd)
	}
	return fd, err
}

// plug puts a node on the bridge. Both ends of its cable come to life where
// they belong, so none is ever seen elsewhere.
func plug(links *netlink.Handle, bridge, namespace, node, nodes int) error {
	const inside = "eth0"
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("node%d", node+1), MasterIndex: bridge},
		PeerName:  inside, PeerNamespace: netlink.NsFd(namespace), PeerHardwareAddr: hardware(node),
	}
	if err := links.LinkAdd(cable); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	if err := links.LinkSetUp(cable); err != nil {
		return fmt.Errorf("set a veth up: %w", err)
	}
	own, err := netlink.NewHandleAt(ns.NsHandle(namespace), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("speak with its namespace: %w", err)
	}
	defer own.Close()
	for _, name := range []string{"lo", inside} {
		link, err := own.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == inside {
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: address(node).AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 32)}}
			if err := own.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("give %s its address: %w", name, err)
			}
		}
		if err := own.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
		if name == inside {
			if err := introduce(own, link.Attrs().Index, node, nodes); err != nil {
				return err
			}
		}
	}
	return nil
}

// introduce tells a node the others' hardware addresses for good. The table of
// those that are asked for is one for all namespaces of a machine and holds
// about a thousand by default: with 33 nodes that know each other it is full,
// and packets vanish that no fault has lost.
func introduce(own *netlink.Handle, link, node, nodes int) error {
	for peer := range nodes {
		if peer == node {
			continue
		}
		err := own.NeighAdd(&netlink.Neigh{
			LinkIndex: link, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: address(peer).AsSlice(), HardwareAddr: hardware(peer),
		})
		if err != nil {
			return fmt.Errorf("note the hardware address of %v: %w", address(peer), err)
		}
	}
	return nil
}

func (n *network) close() {
	for _, fd := range append(n.nodes, n.hub) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// explain says of an error what is missing on this machine, where that is why.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		return &kernelfault.UnsupportedError{Missing: "the right to make network namespaces (root, or CAP_SYS_ADMIN and CAP_NET_ADMIN)", Reason: err}
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EAFNOSUPPORT):
		return &kernelfault.UnsupportedError{Missing: "a kernel with network namespaces, bridges and veth pairs", Reason: err}
	}
	return err
}
