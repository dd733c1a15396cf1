package gossip

import (
	"net"
	"testing"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
)

// Nothing authenticates the version of a packet's encryption. Whoever has
// recorded a packet can turn its last byte into the length of a padding that it
// does not have; the engine panics on that, so it must not get it.
func TestTapKeepsAChangedVersionFromTheEngine(t *testing.T) {
	text, err := GenerateKey(256)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := NewKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	c := quick("n1")
	c.Keyring = ring
	n := start(t, c)
	whole, err := wire.Wrap(wire.EncodeAck(1), c.Cluster, ring.active()[0])
	if err != nil {
		t.Fatal(err)
	}
	p := &memberlist.Packet{Buf: whole, From: &net.UDPAddr{}}
	if n.tap.inbound(p) != p {
		t.Error("the packet as it was sent does not reach the engine")
	}
	whole[0] = 0
	if n.tap.inbound(p) != nil {
		t.Error("the packet with another version reaches the engine, which does not survive it")
	}
}
