package oracle

import (
	"fmt"
	"math"
	"time"
)

// Load is what nodes sent and received.
type Load struct {
	// Samples is how many there were. Without any, nothing else here means anything.
	Samples int `json:"samples"`
	// NodeSeconds is the time from 0 to the end that nodes ran, added up over the nodes.
	NodeSeconds Number `json:"node_seconds"`
	// UDP and TCP are the mean rates: all traffic divided by NodeSeconds.
	UDP Rates `json:"udp"`
	TCP Rates `json:"tcp"`
	// PeakOut and PeakIn are over single samples: the bytes of one node, UDP and TCP together, within one sample.
	PeakOut Peak `json:"peak_out"`
	PeakIn  Peak `json:"peak_in"`
}

// Rates are per node and second.
type Rates struct {
	PacketsOut Number `json:"packets_out"`
	PacketsIn  Number `json:"packets_in"`
	BytesOut   Number `json:"bytes_out"`
	BytesIn    Number `json:"bytes_in"`
}

// Peak is the upper end of a distribution, in bytes a second.
type Peak struct {
	// P99 is the 99th percentile, to within half a percent.
	P99 Number `json:"p99"`
	Max Number `json:"max"`
}

// loads adds samples up.
type loads struct {
	samples  int
	until    []time.Duration // of each node, the end of its last sample
	udp, tcp Traffic
	out, in  histogram
}

// Load takes one sample. It returns an error, and takes nothing, when the sample does not fit the plan or those
// before it.
func (j *Judge) Load(s LoadSample) error {
	l := &j.loads
	switch {
	case s.Node < 0 || s.Node >= len(j.nodes):
		return fmt.Errorf("take a load sample: there is no node %d among %d", s.Node, len(j.nodes))
	case s.From < 0 || s.To <= s.From:
		return fmt.Errorf("take a load sample of %s: it lasts from %s to %s", j.name(s.Node), s.From, s.To)
	case s.From < l.until[s.Node]:
		return fmt.Errorf("take a load sample of %s: it begins at %s, the one before ends at %s", j.name(s.Node), s.From, l.until[s.Node])
	}
	l.samples++
	l.until[s.Node] = s.To
	l.udp.add(s.UDP)
	l.tcp.add(s.TCP)
	length := (s.To - s.From).Seconds()
	l.out.add(float64(s.UDP.BytesOut+s.TCP.BytesOut) / length)
	l.in.add(float64(s.UDP.BytesIn+s.TCP.BytesIn) / length)
	return nil
}

func (t *Traffic) add(more Traffic) {
	t.PacketsOut += more.PacketsOut
	t.PacketsIn += more.PacketsIn
	t.BytesOut += more.BytesOut
	t.BytesIn += more.BytesIn
}

// result divides by the time that nodes ran.
func (l *loads) result(ran time.Duration) Load {
	return Load{
		Samples: l.samples, NodeSeconds: seconds(ran),
		UDP: l.udp.rates(ran), TCP: l.tcp.rates(ran),
		PeakOut: l.out.peak(), PeakIn: l.in.peak(),
	}
}

func (t Traffic) rates(ran time.Duration) Rates {
	if ran <= 0 {
		return Rates{}
	}
	rate := func(count uint64) Number { return Number(float64(count) / ran.Seconds()) }
	return Rates{PacketsOut: rate(t.PacketsOut), PacketsIn: rate(t.PacketsIn), BytesOut: rate(t.BytesOut), BytesIn: rate(t.BytesIn)}
}

// histogram counts values in classes that grow by 1 %, so a percentile is right to within half of that.
type histogram struct {
	classes []int // [0] is what is below 1
	count   int
	max     float64
}

var logStep = math.Log(1.01)

func (h *histogram) add(v float64) {
	class := 0
	if v >= 1 {
		class = 1 + int(math.Log(v)/logStep)
	}
	for len(h.classes) <= class {
		h.classes = append(h.classes, 0)
	}
	h.classes[class]++
	h.count++
	h.max = max(h.max, v)
}

func (h *histogram) peak() Peak {
	rank := int(math.Ceil(0.99*float64(h.count) - 1e-9))
	for class, count := range h.classes {
		if rank -= count; rank > 0 {
			continue
		}
		if class == 0 {
			return Peak{Max: Number(h.max)}
		}
		return Peak{P99: Number(min(h.max, math.Exp((float64(class)-0.5)*logStep))), Max: Number(h.max)}
	}
	return Peak{}
}
