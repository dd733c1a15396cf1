package gossip

import (
	"math"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// engineConfig translates the Config into memberlist's.
func (n *Node) engineConfig(tr memberlist.Transport) *memberlist.Config {
	c := n.cfg
	d := delegate{n}
	mc := memberlist.DefaultLANConfig()
	mc.Name = c.Name
	mc.Label = c.Cluster
	mc.Transport = tr
	mc.BindAddr, mc.BindPort = c.Bind, c.Port
	mc.AdvertiseAddr, mc.AdvertisePort = c.Advertise, advertisePort(c)
	mc.CIDRsAllowed = allowedNets(c)

	mc.ProbeInterval, mc.ProbeTimeout = c.ProbeInterval, c.ProbeTimeout
	mc.IndirectChecks = c.IndirectProbes
	mc.DisableTcpPings = c.DisableTCPProbes
	mc.AwarenessMaxMultiplier = c.AwarenessMax
	mc.SuspicionMult, mc.SuspicionMaxTimeoutMult = c.SuspicionMult, c.SuspicionMaxTimeoutMult
	mc.GossipInterval, mc.GossipNodes = c.GossipInterval, c.GossipNodes
	mc.GossipToTheDeadTime = c.GossipToTheDead
	mc.RetransmitMult = c.RetransmitMult
	mc.UDPBufferSize = c.PacketSize
	mc.EnableCompression = c.Compression
	mc.HandoffQueueDepth = c.QueueDepth
	if !c.SyncDigest { // else digests say when an exchange is needed, and keep the interval as a safety net
		mc.PushPullInterval = c.SyncInterval
	} else {
		mc.PushPullInterval = 0
	}
	mc.TCPTimeout = c.StreamTimeout
	mc.DeadNodeReclaimTime = max(c.ReclaimAfter, 1) // 0 means never to memberlist

	if c.Keyring != nil {
		mc.Keyring = c.Keyring.ring
		mc.GossipVerifyIncoming = !c.AcceptPlain
		mc.GossipVerifyOutgoing = !c.SendPlain
	}
	mc.Delegate, mc.Events, mc.Alive, mc.Conflict, mc.Merge, mc.Ping = d, d, d, d, d, d
	mc.LogOutput, mc.Logger = nil, bridgeLogger(n.log)
	if c.Engine != nil {
		c.Engine(mc)
	}
	return mc
}

func advertisePort(c Config) int {
	if c.AdvertisePort != 0 {
		return c.AdvertisePort
	}
	return c.Port
}

func allowedNets(c Config) []net.IPNet {
	var nets []net.IPNet
	for _, p := range c.AllowedNetworks {
		nets = append(nets, net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
	return nets
}

// longestSuspicion bounds how long the engine lets a suspicion stand:
// SuspicionMaxTimeoutMult * SuspicionMult * max(1, log10(N)) * ProbeInterval
// (memberlist's suspicionTimeout, after Lifeguard, section IV.B) for the
// largest table, and one probe more as slack.
func (c Config) longestSuspicion() time.Duration {
	scale := max(1, math.Log10(float64(c.MaxMembers)))
	shortest := float64(c.SuspicionMult) * scale * float64(c.ProbeInterval)
	return time.Duration(float64(c.SuspicionMaxTimeoutMult)*shortest) + c.ProbeInterval
}

// engineMemory bounds how long the engine may hold a member that is gone, in a
// cluster of that many: it forgets members only after GossipToTheDead and when
// it begins a new round of probes. Twice that, as it may be slow.
func (c Config) engineMemory(members int) time.Duration {
	round := float64(members+1) * float64(c.ProbeInterval)
	return 2 * (c.GossipToTheDead + time.Duration(min(round, float64(maxRound))))
}

// maxRound keeps the time of a round of probes from overflowing.
const maxRound = 365 * 24 * time.Hour

// explainJoin puts the engine's error into words that tell what to do. The
// engine returns most errors as text only.
func explainJoin(err error) string {
	text := err.Error()
	for _, e := range joinExplanations {
		if strings.Contains(text, e.sign) {
			return e.words
		}
	}
	return ""
}

var joinExplanations = []struct{ sign, words string }{
	{"belongs to a cluster with a label", "it belongs to another cluster: compare cluster.name on both sides"},
	{"another cluster", "it belongs to another cluster: compare cluster.name on both sides"},
	{"no installed keys could decrypt", "it uses another encryption key: compare the key IDs on both sides (heartbeat keys list)"},
	{"encryption is configured but remote state is not encrypted", "it answered in plain text: it has no encryption key, or belongs to another cluster"},
	{"remote state is encrypted and encryption is not configured", "it uses encryption and this node has no key: give this node the cluster's keyring"},
	{"connection refused", "nothing listens there: is the agent running, and is this its gossip port?"},
	{"i/o timeout", "no answer: is the host up, and does a firewall let TCP and UDP through to the gossip port?"},
	{"EOF", "it closed the connection without an answer: it is overloaded, or does not accept this node's cluster name, key or network"},
	{"connection reset", "it closed the connection without an answer: it is overloaded, or does not accept this node's cluster name, key or network"},
}
