package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"heartbeat/gossip/transport"
)

func TestAddressBook(t *testing.T) {
	at := netip.MustParseAddrPort
	var b addressBook
	want := func(when string, addrs map[string]bool) {
		t.Helper()
		for addr, held := range addrs {
			if b.has(at(addr)) != held {
				t.Errorf("%s: %s: %v", when, addr, !held)
			}
		}
	}
	want("empty", map[string]bool{"10.0.0.1:1": false})
	b.put("a", at("[::ffff:10.0.0.1]:1"))
	b.put("b", at("10.0.0.1:2"))
	b.put("c", at("10.0.0.1:2"))
	want("three", map[string]bool{"10.0.0.1:1": true, "10.0.0.1:2": true, "10.0.0.1:3": false, "10.0.0.1:0": true, "10.0.0.2:0": false})
	for name, other := range map[string]bool{"a": false, "b": true, "c": true} {
		addr := b.byName[name]
		if b.hasOther(name, addr) != other {
			t.Errorf("somebody else is where %s is: %v", name, !other)
		}
	}
	if !b.hasOther("gone", at("10.0.0.1:1")) || b.hasOther("gone", at("10.0.0.9:1")) {
		t.Error("who is where a member was that is gone?")
	}
	b.put("a", at("10.0.0.2:1"))
	b.remove("b")
	b.remove("nobody")
	want("moved", map[string]bool{"10.0.0.1:1": false, "10.0.0.1:2": true, "10.0.0.2:1": true, "10.0.0.1:0": true, "10.0.0.2:0": true})
	b.remove("c")
	b.remove("a")
	want("gone", map[string]bool{"10.0.0.1:2": false, "10.0.0.1:0": false})
	if len(b.byName)+len(b.addrs)+len(b.hosts) != 0 {
		t.Errorf("kept: %+v", b.byName)
	}
}

// Traffic is counted by whom it is with, and all of it once.
func TestTrafficByPeer(t *testing.T) {
	nodes := cluster(t, 2, nil)
	stranger, err := net.Dial("udp", nodes[0].Self().Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	eventually(t, func() error {
		if _, err := stranger.Write([]byte{8, 'x'}); err != nil {
			return err
		}
		s := nodes[0].Stats().Transport
		members, unknown := s.Peers[transport.PeerMember], s.Peers[transport.PeerUnknown]
		if members.PacketsIn == 0 || members.PacketsOut == 0 || members.PacketBytesIn == 0 || unknown.PacketsIn == 0 || unknown.StreamsIn+members.StreamsIn+s.Peers[transport.PeerSelf].StreamsIn == 0 {
			return fmt.Errorf("%+v", s.Peers)
		}
		if sum := members.PacketsIn + unknown.PacketsIn + s.Peers[transport.PeerSelf].PacketsIn; sum != s.PacketsIn {
			return fmt.Errorf("%d packets by class, %d in all", sum, s.PacketsIn)
		}
		return nil
	})
}
