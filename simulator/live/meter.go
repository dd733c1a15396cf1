package live

import (
	"context"
	"sync"
	"time"

	"heartbeat/simulator/engine"
)

// meter follows how much a node sends. One call at a time reads.
type meter struct {
	metering sync.Mutex
	counted  *life       // guarded by metering; of which process last is
	last     engine.Load // guarded by metering; its counters at the last sample
	sampled  time.Time   // guarded by metering; when that was
	loads    []Load      // guarded by metering
	usages   []Usage     // guarded by metering
}

// metrics is what an agent counts itself.
type metrics struct {
	load   engine.Load
	events uint64
	usage  engine.Usage // of no process; the zero value when the agent does not tell
}

func (n *node) metrics(ctx context.Context) (metrics, error) {
	all, err := n.api().Metrics(ctx)
	if err != nil {
		return metrics{}, err
	}
	count := func(name string) uint64 { return uint64(all["heartbeat_"+name]) }
	return metrics{
		events: count("events_total"),
		usage: engine.Usage{
			Goroutines: int(all["go_goroutines"]), Descriptors: int(all["process_open_fds"]),
			Resident: uint64(all["process_resident_memory_bytes"]), Heap: uint64(all["go_memstats_heap_alloc_bytes"]),
		},
		load: engine.Load{
			PacketsOut: count(`transport_packets_total{direction="out"}`), PacketsIn: count(`transport_packets_total{direction="in"}`),
			UDPBytesOut: count(`transport_bytes_total{direction="out",protocol="udp"}`), UDPBytesIn: count(`transport_bytes_total{direction="in",protocol="udp"}`),
			TCPBytesOut: count(`transport_bytes_total{direction="out",protocol="tcp"}`), TCPBytesIn: count(`transport_bytes_total{direction="in",protocol="tcp"}`),
		},
	}, nil
}

// baseline begins to count, shortly before time 0.
func (n *node) baseline(ctx context.Context) error {
	n.metering.Lock()
	defer n.metering.Unlock()
	m, err := n.metrics(ctx)
	n.counted, n.last = n.current(), m.load
	return err
}

// sample notes the traffic since the last sample, and what the process holds. A
// node that is stopped or frozen is passed over: what a frozen one sends is part
// of its next sample.
func (n *node) sample(ctx context.Context) error {
	n.metering.Lock()
	defer n.metering.Unlock()
	l := n.current()
	if l == nil || l.isFrozen() {
		return nil
	}
	m, err := n.metrics(ctx)
	if err != nil || n.current() != l {
		return err
	}
	if n.counted != l {
		n.counted, n.last = l, engine.Load{}
		if l.from.After(n.sampled) {
			n.sampled = l.from
		}
	}
	now := time.Now()
	if m.usage.Resident > 0 {
		m.usage.Process = l.number
		n.usages = append(n.usages, Usage{At: now.Sub(n.play.time0), Node: n.index, Usage: m.usage})
	}
	n.loads = append(n.loads, Load{
		Node: n.index, From: max(0, n.sampled.Sub(n.play.time0)), To: min(now.Sub(n.play.time0), n.play.plan.End), Load: m.load.Minus(n.last),
	})
	n.last, n.sampled = m.load, now
	return nil
}
