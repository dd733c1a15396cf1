package kernelfault

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The chains of a table. Those with a hook see every packet and send UDP and
// TCP on to the chains that hold the faults.
const (
	chainIn  = "in"  // prerouting
	chainOut = "out" // output: duplicates
	chainUDP = "udp"
	chainTCP = "tcp"
	// chainHold has the one rule that hands packets to the shaper. It stands as
	// long as the table, because to make a rule with an iptables target waits
	// for what the kernel still has to clear away, for tens of milliseconds.
	chainHold = "hold"
	leaseSet  = "lease"
)

// hookPriority is before connection tracking and before the raw tables of
// others, and after the reassembly of fragments.
const hookPriority = -310

// shareModulus is the number of values that a random draw has; a share of
// packets is exact to a billionth.
const shareModulus = 1 << 30

func (s *standing) family() family {
	if s.Peers[0].Is4() {
		return v4
	}
	return v6
}

// milliseconds rounds up, since the kernel takes 0 for "never ends".
func milliseconds(d time.Duration) uint64 {
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}

// addSkeleton makes a table with its chains, and no fault. What divert leads to
// the shaper is empty when there is none.
func (b *batch) addSkeleton(f family, divert []expr.Any) {
	in, out := uint32(unix.NF_INET_PRE_ROUTING), uint32(unix.NF_INET_LOCAL_OUT)
	b.addTable(f)
	b.addChain(f, chainIn, &in)
	b.addChain(f, chainOut, &out)
	b.addChain(f, chainUDP, nil)
	b.addChain(f, chainTCP, nil)
	if len(divert) > 0 {
		b.addChain(f, chainHold, nil)
		b.addRule(f, chainHold, "hold packets", divert...)
	}
	b.addRule(f, chainIn, "send UDP to its chain", append(matchProtocol(unix.IPPROTO_UDP), jump(chainUDP))...)
	b.addRule(f, chainIn, "send TCP to its chain", append(matchProtocol(unix.IPPROTO_TCP), jump(chainTCP))...)
}

// addPeers makes the set of a fault's peers.
func (b *batch) addPeers(s *standing, remaining time.Duration) {
	keyType, keyLen := uint32(keyTypeIPv4), uint32(4)
	if s.family() == v6 {
		keyType, keyLen = keyTypeIPv6, 16
	}
	b.addSet(s.family(), s.set, keyType, keyLen, s.comment())
	keys := make([][]byte, len(s.Peers))
	for i, p := range s.Peers {
		keys[i] = p.AsSlice()
	}
	b.addElements(s.family(), s.set, keys, milliseconds(remaining))
}

// addFaults writes the rules of the faults of a family anew. What drops comes
// before what holds, because a packet leaves the chain when it is held.
func (b *batch) addFaults(f family, faults []*standing) {
	for _, chain := range []string{chainUDP, chainTCP, chainOut} {
		b.flushChain(f, chain)
	}
	for _, s := range faults {
		if s.family() != f {
			continue
		}
		var drop []expr.Any
		switch e := s.Effect; {
		case e.Cut || e.Loss == 1:
			drop = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
		case e.Loss > 0:
			drop = append(draw(e.Loss), &expr.Verdict{Kind: expr.VerdictDrop})
		}
		if drop != nil {
			b.addReceiving(s, "lose packets", drop)
		}
		if s.Effect.Duplicate > 0 && s.concerns(UDP) {
			exprs := append(matchProtocol(unix.IPPROTO_UDP), matchAddress(f, s.set, false)...)
			exprs = append(append(exprs, draw(s.Effect.Duplicate)...), &expr.Dup{RegAddr: regAddress})
			b.addRule(f, chainOut, "duplicate packets", exprs...)
		}
	}
	for _, s := range faults {
		if s.family() == f && s.Effect.shapes() {
			b.addReceiving(s, "send packets to be held", []expr.Any{jump(chainHold)})
		}
	}
}

// addReceiving adds a rule for what comes from a fault's peers.
func (b *batch) addReceiving(s *standing, step string, what []expr.Any) {
	for _, p := range []Protocol{UDP, TCP} {
		if s.concerns(p) {
			b.addRule(s.family(), string(p), step, append(matchAddress(s.family(), s.set, true), what...)...)
		}
	}
}

// Registers: the address must outlive the draw, because dup reads it.
const (
	regAddress = unix.NFT_REG_1
	regDraw    = unix.NFT_REG_2
)

func matchProtocol(protocol byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regDraw},
		&expr.Cmp{Op: expr.CmpOpEq, Register: regDraw, Data: []byte{protocol}},
	}
}

func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

// matchAddress looks a packet's source or destination up in a set.
func matchAddress(f family, set string, source bool) []expr.Any {
	offset, length := uint32(16), uint32(4)
	if source {
		offset = 12
	}
	if f == v6 {
		offset, length = 24, 16
		if source {
			offset = 8
		}
	}
	return []expr.Any{
		&expr.Payload{DestRegister: regAddress, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: regAddress, SetName: set},
	}
}

// draw lets a share of packets pass to the next expression. Registers are
// compared byte by byte, hence the conversion.
func draw(share float64) []expr.Any {
	threshold := max(1, uint32(math.Round(share*shareModulus)))
	return []expr.Any{
		&expr.Numgen{Register: regDraw, Modulus: shareModulus, Type: unix.NFT_NG_RANDOM},
		&expr.Byteorder{SourceRegister: regDraw, DestRegister: regDraw, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: regDraw, Data: binary.BigEndian.AppendUint32(nil, threshold)},
	}
}

func setName(n uint32) string { return "f" + strconv.FormatUint(uint64(n), 10) }

// unmapped copies addresses, IPv4 ones as such.
func unmapped(peers []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, len(peers))
	for i, p := range peers {
		out[i] = p.Unmap()
	}
	return out
}
