// Package kernelfault makes packets go wrong in a Linux network namespace: with
// nftables, at the receiver, so that the sender notices nothing. Whatever it
// does stands in one table of its own, and every fault has a time to live that
// the kernel keeps: a fault ends on time even when the process that made it was
// killed.
//
// # The table
//
// An owner, that is a [Table], has a table heartbeat_fault_XXXXXXXX in nftables,
// of the family ip and, from its first fault about IPv6 peers, one of the same
// name of the family ip6. `nft list ruleset` shows it:
//
//	chain in  { type filter hook prerouting priority -310
//	            meta l4proto udp jump udp; meta l4proto tcp jump tcp }
//	chain udp { ip saddr @f1 drop                                     # cut
//	            ip saddr @f2 numgen random mod 1073741824 < N drop    # loss
//	            ip saddr @f3 jump hold }                              # delay, jitter, reorder, rate
//	chain tcp { likewise }
//	chain hold { queue num Q bypass }
//	chain out { type filter hook output priority -310
//	            ip daddr @f4 numgen random ... dup to ip daddr }      # duplicate
//	set f1    { elements with a timeout; comment "id=cut-1 cut=1" }
//
// Each fault has a set of its own, which holds its peers, and rules that look
// packets up in it. So faults add up without bookkeeping: a peer that two faults
// cut is free when it is in neither set. An element's timeout is the fault's
// time to live; the rule of a fault that has ended matches nothing, and its
// owner clears it away within a second or so. The set's comment says what the
// fault is, so that [List] can read all from the kernel, whoever owns it.
//
// A [Table.Change] is one netlink transaction: the sets of new faults, all rules
// anew, and the removal of the sets that are no longer needed. It takes about
// 0.1 ms and packets see all of it or nothing.
//
// Drops happen before connection tracking and are silent. On the output hook
// they would give the sender an error, EPERM, which no real network does.
//
// # The lease
//
// Whether an owner lives cannot be told from a process ID, since containers
// number their processes for themselves. So a table has a set, lease, to which
// its owner adds an element every second that lasts for 8: a table whose lease
// is empty belongs to a dead process (or to one that stood still for longer),
// and the next [Open] in the namespace removes it.
//
// # The queue
//
// For delay, jitter, reorder and rate packets must be held. The rule sends them
// to an NFQUEUE: the kernel keeps the packet, shows its headers to this process
// on a netlink socket, and goes on with it when a verdict comes back. Between
// the two lies the link model of the virtual network (package fabric): delays
// evenly jittered for each packet, streams in order, a line of limited rate for
// each peer with 64 KiB of room for UDP. What was decided for a packet stays so
// when the fault ends. At most 8192 packets are held; what comes on top is
// dropped and counted ([Table.Dropped]). When the owner dies its queue goes with
// it, and the flag bypass lets packets pass from then on, so these effects end
// with their owner, before their time to live.
//
// A kernel without the nftables expression queue often has the iptables target
// NFQUEUE, which nftables can use. [Capabilities] tells.
//
// The kernel drops whatever is held in a namespace when any table with a hook
// goes: the packets that another owner delays, too, when one closes its table.
package kernelfault

import (
	"net/netip"
	"time"
)

// Protocol restricts a fault to UDP or TCP. The zero value means both. Other
// protocols, such as ICMP, are never touched.
type Protocol string

// The protocols.
const (
	UDP Protocol = "udp"
	TCP Protocol = "tcp"
)

// MaxTTL bounds how long a fault may last.
const MaxTTL = 7 * 24 * time.Hour

// Fault is what happens to the packets that a namespace receives from some
// peers. Several faults for one peer add up: losses are independent, delays are
// summed, the lowest rate counts.
type Fault struct {
	// ID names the fault within its table: 1 to 32 lower-case letters, digits
	// and dashes.
	ID string `json:"id"`
	// Peers are the addresses whose packets are concerned, at least one and all
	// of one family.
	Peers []netip.Addr `json:"peers"`
	// Only restricts the fault to one protocol.
	Only Protocol `json:"only,omitempty"`
	// Effect is what happens.
	Effect Effect `json:"effect"`
	// TTL is when the fault ends by itself, counted from when it is put into
	// effect: more than 0, at most MaxTTL.
	TTL time.Duration `json:"ttl_ns"`
}

// Effect is what happens to packets; at least one field is set.
type Effect struct {
	// Cut loses everything, silently.
	Cut bool `json:"cut,omitempty"`
	// Loss is the share of packets lost, independently, from 0 to 1.
	Loss float64 `json:"loss,omitempty"`
	// Duplicate is the share of UDP packets, from 0 to 1, that the namespace
	// sends to the peers twice. It is the one effect on what is sent: a packet
	// can be doubled before it arrives, not after.
	Duplicate float64 `json:"duplicate,omitempty"`
	// Delay is added to each packet's way, and Jitter, at most Delay, varies it
	// evenly by up to this much in either direction.
	Delay  time.Duration `json:"delay_ns,omitempty"`
	Jitter time.Duration `json:"jitter_ns,omitempty"`
	// Reorder is the share of UDP packets, from 0 to 1, that are not delayed
	// and so overtake others.
	Reorder float64 `json:"reorder,omitempty"`
	// Rate is what each peer's packets may carry in bits per second; what
	// comes faster waits. 0 means no limit.
	Rate int64 `json:"rate,omitempty"`
}
