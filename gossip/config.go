package gossip

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// Config is everything that a Node is started with. Begin with a profile
// (LAN, WAN, Local), change what you must, and let Validate tell what does not
// fit. A Config is a value: Start copies it, later changes have no effect.
//
// Bounds, defaults and the names under which the agent's file, environment,
// flags and the simulator know a field are in the table that Settings returns.
type Config struct {
	// Name is the node's name, unique in the cluster: 1 to 128 bytes without
	// spaces and control characters. Default: the host's name.
	Name string
	// Cluster is the cluster's name, at most 255 bytes. It travels as a label
	// in front of every packet and stream (2 bytes and its length each), and
	// what carries another name is refused: two clusters never merge by
	// accident. It is no secret and no protection; Keyring is. Empty: no label.
	Cluster string
	// Tags are key=value pairs that all members see; together at most 512
	// bytes encoded. A change costs one gossip round of the whole cluster.
	Tags map[string]string

	// Bind is where UDP and TCP listen: an IPv4 or IPv6 address, "0.0.0.0",
	// "::" (IPv4 as well) or an interface's name, whose first fitting address
	// is taken.
	Bind string
	// Port is the UDP and TCP port; 0 takes a free one.
	Port int
	// Advertise is the address that the others are told, for a node behind
	// NAT or one that binds a wildcard. Empty: the bound one, or a private
	// address of the host when bound to a wildcard.
	Advertise string
	// AdvertisePort goes with Advertise; 0 means Port.
	AdvertisePort int
	// AllowedNetworks limits which addresses members may have, this node's
	// own included. Empty: any.
	AllowedNetworks []netip.Prefix

	// Profile tells which profile the fields below came from.
	Profile string

	// ProbeInterval is the time between two probes of this node; it probes
	// all members in random order, so each one is probed once in N intervals
	// by it and on average once an interval by somebody (SWIM, section 3).
	// Shorter finds crashes sooner, at 2 packets a probe; suspicion timeouts
	// shrink with it, so a too short one raises false alarms.
	ProbeInterval time.Duration
	// ProbeTimeout is how long a direct probe waits before others are asked
	// to probe (99th percentile of the round-trip time, generously). Shorter
	// asks them sooner, longer saves packets on slow links. Less than
	// ProbeInterval.
	ProbeTimeout time.Duration
	// IndirectProbes is how many members are asked when a direct probe stays
	// unanswered (SWIM's k). More hide more packet loss, at 4 packets each.
	IndirectProbes int
	// DisableTCPProbes leaves out the TCP probe that runs beside the indirect
	// ones. With it, a node whose UDP is blocked counts as failed.
	DisableTCPProbes bool
	// AwarenessMax bounds Lifeguard's local health multiplier: a node that
	// notices that it is slow itself stretches its probe interval up to this
	// many times. 1 turns it off (plain SWIM); higher forgives slow nodes
	// more and finds crashes later on them.
	AwarenessMax int

	// SuspicionMult sets how long a suspect has to refute:
	// SuspicionMult * max(1, log10(N)) * ProbeInterval. Higher means fewer
	// false alarms and later detection. SuspicionMult-2 further accusers are
	// expected before the shortest timeout holds.
	SuspicionMult int
	// SuspicionMaxTimeoutMult times that timeout is the wait while nobody
	// else accuses the suspect (Lifeguard, section IV.B); 1 turns that off.
	SuspicionMaxTimeoutMult int

	// Detector says who decides that a member failed: DetectorMemberlist, the
	// engine alone, or DetectorVerdicts, a quorum of witnesses who looked for
	// themselves, with the engine as the slower fallback. All nodes of a cluster
	// should have the same: witnesses are found among those that have verdicts too.
	Detector string
	// VerdictWitnesses is how many members look for themselves after an
	// accusation. More make a quorum surer when some of them are down or slow, at
	// one look and one broadcast each.
	VerdictWitnesses int
	// VerdictQuorum is how many of them must have got no answer. Higher means
	// fewer false alarms; too near to VerdictWitnesses, and lost packets leave
	// crashes to the engine. In a small cluster it shrinks to a majority of the
	// witnesses that there are. At most VerdictWitnesses.
	VerdictQuorum int
	// VerdictControls is how many other members a witness probes together with
	// the accused: unless most of them answer, the fault may be its own and it
	// abstains. More tell a slow witness more surely, at two packets each.
	VerdictControls int
	// VerdictPatience is how long after the first accusation a verdict waits, unless the members were
	// asked and had heard of the accused last one and a half VerdictSilence or longer before; and how long a failure that the engine reports alone is held back.
	// Shorter finds crashes sooner, and declares members failed that pause for
	// little longer.
	VerdictPatience time.Duration
	// VerdictSilence is how long nobody must have heard of a member before a verdict, counted from
	// its last packet that arrived anywhere. Longer forgives longer pauses; shorter than ProbeInterval means little.
	VerdictSilence time.Duration
	// VerdictPatienceMax bounds the patience with a member that came back after a
	// verdict: for the next 10 minutes or so it is twice the silence from which
	// the member came back. Longer silences do not count. Higher lets members be
	// that stall again and again, at the price of noticing their crash later.
	VerdictPatienceMax time.Duration
	// VerdictProbation is for how long nobody must have accused a member that comes back, before it
	// counts as alive, if it had failed within ten times that after it last came back; it is twice as long
	// when the member has passed it and fails that soon again, and for one that many accuse, that refutes, and that answers
	// hardly any ping. Longer holds members failed that fail now and then; shorter lets them come and go. 0 turns it off.
	VerdictProbation time.Duration

	// GossipInterval is the time between two gossip rounds. Shorter spreads
	// news faster, at GossipNodes packets a round while there are news.
	GossipInterval time.Duration
	// GossipNodes is how many members get each round's packet. More spread
	// news faster and cost more.
	GossipNodes int
	// GossipToTheDead is how long failed members still get gossip, so that
	// one that was declared failed in error can refute; the engine forgets a
	// failed member after it (this node's view does not).
	GossipToTheDead time.Duration
	// RetransmitMult times ceil(log10(N+1)) is how often each piece of news is
	// sent by a node. Higher reaches everybody more surely, at that many more
	// bytes.
	RetransmitMult int
	// PacketSize is the most bytes put into one UDP packet; keep it below the
	// path's MTU less 28 (IPv4) or 48 (IPv6). At least 1024, so that a member
	// with the longest name and the largest tags fits.
	PacketSize int
	// Compression turns on LZW compression of messages. It saves bytes only
	// when much is gossiped at once and costs about ten times the CPU time.
	Compression bool
	// QueueDepth bounds the messages received and not yet handled; more are
	// dropped.
	QueueDepth int

	// SyncDigest adds a digest of the view to each ack (11 bytes or so). Nodes whose
	// views differ for good then exchange their whole state within seconds.
	// Members without it, and plain memberlist, take no part and no harm.
	SyncDigest bool
	// SyncInterval is the time between two full exchanges of state with a
	// random member (push/pull). They repair what gossip has lost; each costs
	// the whole table twice. With SyncDigest they are a safety net: one comes
	// when there was none for so long, stretched by N/32 above 32 members, so that its
	// cost does not grow with the cluster. Without, they are all that repairs:
	// set it to 30 s or so; the engine stretches it by log2(N/32). 0 turns them off.
	SyncInterval time.Duration
	// HealInterval is the time in which the nodes that see each other make one
	// attempt together to reach a failed member or a seed again: each node of n
	// tries with probability 1/n in each interval. It is the mean time until a
	// partition that has ended is noticed. Shorter heals sooner; an attempt that
	// meets nobody costs one packet, whatever the size of the cluster. 0 turns
	// healing off, and a split cluster stays split until somebody joins its sides.
	HealInterval time.Duration
	// StreamTimeout bounds the dial of a TCP stream and its whole exchange.
	StreamTimeout time.Duration
	// MaxStreams bounds the TCP streams that others may have open here.
	MaxStreams int

	// ReclaimAfter is how long a member must have been failed before its name
	// may come back at another address; 0 lets it back at once, as a restarted
	// container needs it. Longer protects the name of a member that is only
	// cut off, but a replacement that joins too early is then passed over
	// until the next exchange of state.
	ReclaimAfter time.Duration
	// MaxMembers bounds the table; members beyond it are refused.
	MaxMembers int
	// ForgetFailed and ForgetLeft are how long a failed or a left member
	// stays in the view.
	ForgetFailed time.Duration
	ForgetLeft   time.Duration
	// EventBuffer is how many of the newest events are kept for watchers, at
	// about 300 bytes each.
	EventBuffer int
	// JournalSize is how many of the newest entries the journal holds in all,
	// at about 100 bytes each; it holds at most 64 about one member.
	JournalSize int

	// Keyring turns on encryption (AES-GCM) of all packets and streams. Nil:
	// everything is readable, and forged messages are believed, by anyone who
	// reaches the port.
	Keyring *Keyring
	// AcceptPlain and SendPlain let a running cluster move to encryption one
	// node at a time: accept unencrypted messages still, and send them still
	// (which needs the first). What no key opens then counts as plain.
	// Both off (the default) is the only safe state to stay in.
	AcceptPlain bool
	SendPlain   bool

	// Logger gets this node's lines and the engine's. The zero value is
	// silent.
	Logger zerolog.Logger
	// Resolver looks names of seeds up. Nil: net.DefaultResolver.
	Resolver Resolver
	// Transport replaces the UDP and TCP sockets, for the simulator and for
	// tests; Bind and Port are then not opened.
	Transport memberlist.Transport
	// Engine may change any memberlist setting after this Config has been
	// applied, as a last resort for what has no field here. Nil: no change.
	Engine func(*memberlist.Config)
}

// LAN is the profile for one site: round trips below 100 ms. The figures are
// memberlist's DefaultLANConfig but for compression (off).
func LAN() Config {
	return Config{
		Profile:                 "lan",
		Name:                    hostname(),
		Bind:                    "0.0.0.0",
		Port:                    DefaultPort,
		ProbeInterval:           time.Second,
		ProbeTimeout:            500 * time.Millisecond,
		IndirectProbes:          3,
		AwarenessMax:            8,
		SuspicionMult:           4,
		SuspicionMaxTimeoutMult: 6,
		Detector:                DetectorVerdicts,
		VerdictWitnesses:        8,
		VerdictQuorum:           5,
		VerdictControls:         3,
		VerdictPatience:         1200 * time.Millisecond,
		VerdictSilence:          3 * time.Second,
		VerdictPatienceMax:      time.Minute,
		VerdictProbation:        30 * time.Second,
		GossipInterval:          200 * time.Millisecond,
		GossipNodes:             3,
		GossipToTheDead:         30 * time.Second,
		RetransmitMult:          4,
		PacketSize:              1400,
		QueueDepth:              1024,
		SyncDigest:              true,
		SyncInterval:            10 * time.Minute,
		HealInterval:            time.Second,
		StreamTimeout:           10 * time.Second,
		MaxStreams:              256,
		MaxMembers:              16384,
		ForgetFailed:            72 * time.Hour,
		ForgetLeft:              24 * time.Hour,
		EventBuffer:             4096,
		JournalSize:             8192,
	}
}

// WAN is the profile for nodes on several sites: slower probes and longer
// timeouts (memberlist's DefaultWANConfig but for compression).
func WAN() Config {
	c := LAN()
	c.Profile = "wan"
	c.ProbeInterval = 5 * time.Second
	c.ProbeTimeout = 3 * time.Second
	c.SuspicionMult = 6
	c.VerdictPatience = 6 * time.Second
	c.VerdictSilence = 15 * time.Second
	c.VerdictProbation = time.Minute
	c.GossipInterval = 500 * time.Millisecond
	c.GossipNodes = 4
	c.GossipToTheDead = 60 * time.Second
	c.HealInterval = 3 * time.Second
	c.StreamTimeout = 30 * time.Second
	return c
}

// Local is the profile for processes on one machine, as in tests and demos
// (memberlist's DefaultLocalConfig but for compression).
func Local() Config {
	c := LAN()
	c.Profile = "local"
	c.Bind = "127.0.0.1"
	c.ProbeTimeout = 200 * time.Millisecond
	c.IndirectProbes = 1
	c.SuspicionMult = 3
	c.GossipInterval = 100 * time.Millisecond
	c.GossipToTheDead = 15 * time.Second
	c.RetransmitMult = 2
	c.StreamTimeout = time.Second
	return c
}

// Profile returns the profile of that name: lan, wan or local.
func Profile(name string) (Config, error) {
	switch name {
	case "lan":
		return LAN(), nil
	case "wan":
		return WAN(), nil
	case "local":
		return Local(), nil
	}
	return Config{}, fmt.Errorf("profile %q is not known: choose lan, wan or local", name)
}
