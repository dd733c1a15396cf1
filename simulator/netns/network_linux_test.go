package netns

import (
	"testing"

	"github.com/vishvananda/netlink"
	ns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The nodes need not ask for each other's hardware addresses: the table of
// answers is the machine's, and full with 33 nodes.
func TestNodesKnowEachOther(t *testing.T) {
	newEngine(t) // what it checks in the end holds here, too
	thread := newThread()
	defer thread.close()
	const nodes = 4
	n, err := newNetwork(thread, nodes)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	for i, fd := range n.nodes {
		links, err := netlink.NewHandleAt(ns.NsHandle(fd), unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer links.Close()
		card, err := links.LinkByName("eth0")
		if err != nil || card.Attrs().HardwareAddr.String() != hardware(i).String() {
			t.Fatalf("node %d: %+v, %v, want the address %v", i, card, err, hardware(i))
		}
		known, err := links.NeighList(card.Attrs().Index, netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for peer := range nodes {
			for _, k := range known {
				if k.IP.String() == address(peer).String() && k.HardwareAddr.String() == hardware(peer).String() && k.State == netlink.NUD_PERMANENT {
					right++
				}
			}
		}
		if right != nodes-1 {
			t.Errorf("node %d knows %d others for good: %v", i, right, known)
		}
	}
}
