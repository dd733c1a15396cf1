package kernelfault

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// explain makes an error that shows a lack an *UnsupportedError.
func explain(err error) error {
	var already *UnsupportedError
	switch {
	case err == nil || errors.As(err, &already):
		return err
	case errors.Is(err, os.ErrPermission):
		return &UnsupportedError{Missing: "the right to change the network (root, or CAP_NET_ADMIN)", Reason: err}
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return &UnsupportedError{Missing: "nftables in the kernel", Reason: err}
	}
	return fmt.Errorf("kernel faults: %w", err)
}

// probeTable is the table that a probe makes and removes in one transaction, so
// that nobody ever sees it.
const probeTable = "heartbeat_probe"

// probe tells whether the kernel takes a rule with the given expressions.
func probe(ns int, f family, exprs ...expr.Any) error {
	b := newBatch(probeTable)
	b.addTable(f)
	b.addChain(f, chainUDP, nil)
	b.addSet(f, setName(0), keyTypeIPv4, 4, "")
	b.addElements(f, setName(0), [][]byte{{192, 0, 2, 1}}, 1000)
	if len(exprs) > 0 {
		b.addRule(f, chainUDP, "make a rule", exprs...)
	}
	b.deleteTable(f)
	c, err := dial(ns)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return b.commit(c)
}

// duplicateRule sends a copy to the address in the register.
func duplicateRule(f family) []expr.Any {
	length := uint32(4)
	if f == v6 {
		length = 16
	}
	return []expr.Any{
		&expr.Payload{DestRegister: regAddress, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: length},
		&expr.Dup{RegAddr: regAddress},
	}
}

// supported finds out whether the kernel lacks what a fault needs.
func (s *standing) supported(ns int) error {
	if err := probe(ns, s.family()); err != nil {
		return explain(err)
	}
	if s.Effect.Loss > 0 {
		if err := probe(ns, s.family(), draw(s.Effect.Loss)...); err != nil {
			return &UnsupportedError{Missing: "random numbers in nftables (for loss)", Reason: err}
		}
	}
	if s.Effect.Duplicate > 0 {
		if err := probe(ns, s.family(), duplicateRule(s.family())...); err != nil {
			return &UnsupportedError{Missing: "copies of packets in nftables (for duplicate)", Reason: err}
		}
	}
	if s.Effect.shapes() && s.family() == v6 {
		if err := probe(ns, v6, queueTarget(0)); err != nil {
			return &UnsupportedError{Missing: "NFQUEUE for IPv6 (for delay, jitter, reorder and rate)", Reason: err}
		}
	}
	return nil
}

// Capabilities tests one by one what this kernel and these rights can do, in
// the network namespace of the file descriptor, 0 for the caller's own, and
// leaves nothing there.
func Capabilities(namespace int) []Capability {
	ns, err := holdNamespace(namespace)
	if err != nil {
		return []Capability{{Name: "namespace", For: "every fault", Detail: err.Error()}}
	}
	defer func() { _ = unix.Close(ns) }()
	var out []Capability
	add := func(name, purpose, how string, err error) bool {
		c := Capability{Name: name, For: purpose, OK: err == nil, Detail: how}
		switch {
		case errors.Is(err, os.ErrPermission):
			c.Detail = NotPermitted
		case err != nil:
			c.Detail = explain(err).Error()
		}
		out = append(out, c)
		return c.OK
	}
	add("nftables", "every fault", "a table with a set whose elements expire", probe(ns, v4))
	add("nftables IPv6", "faults of IPv6 peers", "the same for IPv6", probe(ns, v6))
	add("numgen", "loss, duplicate", "random numbers in rules", probe(ns, v4, draw(0.5)...))
	add("dup", "duplicate", "copies of packets that are sent", probe(ns, v4, duplicateRule(v4)...))
	add("dup IPv6", "duplicate, IPv6 peers", "copies of packets that are sent", probe(ns, v6, duplicateRule(v6)...))
	rule, err := queueRule(ns, 0)
	how := "by the nftables expression queue"
	if err == nil {
		if _, borrowed := rule[0].(*expr.Target); borrowed {
			how = "by the iptables target NFQUEUE, since the kernel has no nftables expression queue"
		}
	}
	add("queue rule", "delay, jitter, reorder, rate", how, err)
	q, err := newQueue(ns)
	if err == nil {
		q.close()
	}
	add("queue", "delay, jitter, reorder, rate", "packets held by this process in a kernel queue", err)
	return out
}
