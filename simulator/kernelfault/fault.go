// Package kernelfault makes packets go wrong in a Linux network namespace: with
// nftables, at the receiver, so that the sender notices nothing. Whatever it
// does stands in one table of its own, and every fault has a time to live that
// the kernel keeps: a fault ends on time even when the process that made it was
// killed.
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
