package httpapi

import (
	"fmt"
	"strings"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	gometricsprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"heartbeat/gossip/transport"
	"heartbeat/membership"
)

// ProcessMetrics registers what is global to a process: the Go runtime, the
// operating system's view of the process, and the engine's own metrics
// (memberlist_*). A process calls it once, before it starts its node; with
// several nodes in one process the engine's metrics are theirs together.
func ProcessMetrics(reg prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("cannot register the metrics of the process: %w", err)
		}
	}
	// Nothing expires: a gauge of the engine is set when it changes, and that
	// may be long ago. There are few and their labels are fixed.
	sink, err := gometricsprom.NewPrometheusSinkFrom(gometricsprom.PrometheusOpts{Registerer: reg, Name: "memberlist_sink"})
	if err != nil {
		return fmt.Errorf("cannot register the engine's metrics: %w", err)
	}
	_, err = gometrics.NewGlobal(&gometrics.Config{
		TimerGranularity: time.Millisecond,
		FilterDefault:    true,
		// The engine reads this one from the wrong bytes of its message.
		BlockedPrefixes: []string{"memberlist.size.local"},
	}, sink)
	if err != nil {
		return fmt.Errorf("cannot set the engine's metrics up: %w", err)
	}
	return nil
}

// apiMetrics are what the server counts itself.
type apiMetrics struct {
	requests *prometheus.CounterVec
	streams  *prometheus.GaugeVec
	cut      prometheus.Counter
}

func newAPIMetrics(reg prometheus.Registerer, s *Server) (*apiMetrics, error) {
	m := &apiMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "heartbeat_api_requests_total", Help: "Requests to the API by route and status code.",
		}, []string{"route", "code"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "heartbeat_api_streams", Help: "Subscribers connected now, by what they read.",
		}, []string{"stream"}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "heartbeat_api_streams_cut_total", Help: "Subscribers that were cut off because they did not keep up.",
		}),
	}
	for _, kind := range []string{"events", "logs"} {
		m.streams.WithLabelValues(kind) // shown as 0 from the beginning
	}
	for _, c := range []prometheus.Collector{m.requests, m.streams, m.cut, &nodeCollector{server: s}} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// nodeCollector reads the node's figures when they are asked for.
type nodeCollector struct{ server *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("heartbeat_"+name, help, labels, nil)
}

var (
	descBuild     = describe("build_info", "Always 1; the labels tell what runs.", "version", "node", "cluster")
	descMembers   = describe("members", "Members in this node's view by state, itself included.", "state")
	descCondition = describe("condition", "1 for the condition that this node is in, 0 for the others.", "condition")
	descReady     = describe("ready", "1 when the node has joined and takes part.")
	descHealth    = describe("health_score", "The node's own health: 0 is best (Lifeguard's local health multiplier).")
	descEvents    = describe("events_total", "Changes of this node's view since its start.")
	descVersion   = describe("view_version", "Version of this node's view.")
	descPending   = describe("broadcasts_pending", "Messages of ours that wait to be gossiped.")
	descIgnored   = describe("members_ignored_total", "Names that did not fit into the table.")
	descInputs    = describe("inputs_dropped_total", "Accusations and refutations not looked at because too many waited.")

	descAccusations = describe("accusations_total", "Accusations seen, of each accuser the first about a member at an incarnation.")
	descRefutations = describe("refutations_total", "Refutations seen.")
	descTestimonies = describe("testimonies_total", "Testimonies against members by outcome: sent, received (new ones of others), rejected.", "outcome")
	descAbstentions = describe("abstentions_total", "Looks as a witness at which this node's own control probes were not answered either.")
	descVerdicts    = describe("verdicts_total", "Members that a quorum of witnesses held failed.")
	descOverturned  = describe("verdicts_overturned_total", "Verdicts after which the member proved itself alive.")
	descHeldBack    = describe("failures_held_back_total", "Failures told by the engine that no quorum had confirmed.")
	descSpared      = describe("failures_spared_total", "Failures held back that the member refuted before anybody was told.")
	descProbations  = describe("probations_total", "Members that came back, or answered too little, and stay failed until nobody has accused them for a while.")
	descUnreliable  = describe("unreliable_total", "Members that many accused and that answered hardly any ping: failed, though they refute.")
	descDetection   = describe("detection_seconds", "Time from the first accusation of a member until it was held failed.")

	descHealAttempts = describe("heal_attempts_total", "Addresses of failed members and of seeds that were asked whether somebody is there again.")
	descHealReached  = describe("heal_reached_total", "Those of them that answered and exchanged state.")
	descHeals        = describe("heals_total", "Times when members came back after that.")

	descComparisons = describe("digest_comparisons_total", "Digests of others compared with this node's, by outcome.", "outcome")
	descSyncs       = describe("digest_syncs_total", "Exchanges of state begun for a difference or as the safety net, by outcome.", "outcome")
	descSyncBytes   = describe("digest_sync_bytes_total", "Bytes sent and received by these exchanges.")

	descPackets     = describe("transport_packets_total", "UDP packets by direction.", "direction")
	descStreams     = describe("transport_streams_total", "TCP streams by direction: accepted and dialled.", "direction")
	descBytes       = describe("transport_bytes_total", "Bytes of payload by protocol and direction.", "protocol", "direction")
	descPeerPackets = describe("transport_peer_packets_total", "UDP packets by class of peer and direction.", "peer", "direction")
	descPeerStreams = describe("transport_peer_streams_total", "TCP streams by class of peer and direction.", "peer", "direction")
	descPeerBytes   = describe("transport_peer_bytes_total", "Bytes of payload by class of peer, protocol and direction.", "peer", "protocol", "direction")
	descOpen        = describe("transport_streams_open", "TCP streams of others that are open here now.")
	descDrops       = describe("transport_drops_total", "Packets and streams that were not delivered, by reason.", "reason")
	descDirect      = describe("direct_packets_total", "Accusations, questions about the accused and testimonies that were sent directly to a witness or another member, beside gossip.")
	descUserAlone   = describe("user_packets_total", "Packets sent that hold this program's own messages alone, because the engine had left them no room.")
	descTapPackets  = describe("tap_packets_total", "Packets whose messages were peeked at, by outcome.", "outcome")
	descTapKinds    = describe("tap_messages_total", "Messages of interest seen in passing packets, by kind.", "kind")
)

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descBuild, descMembers, descCondition, descReady, descHealth, descEvents, descVersion, descPending, descIgnored, descInputs,
		descAccusations, descRefutations, descTestimonies, descAbstentions, descVerdicts, descOverturned, descHeldBack, descSpared, descProbations, descUnreliable, descDetection,
		descHealAttempts, descHealReached, descHeals,
		descComparisons, descSyncs, descSyncBytes,
		descPackets, descStreams, descBytes, descPeerPackets, descPeerStreams, descPeerBytes, descOpen, descDrops, descUserAlone, descDirect, descTapPackets, descTapKinds,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	info, stats := c.server.cfg.Node.Info(), c.server.cfg.Node.Stats()
	gauge(descBuild, 1, validText(c.server.cfg.Version), validText(info.Name), validText(info.Cluster))
	for _, state := range []membership.State{membership.Alive, membership.Suspect, membership.Failed, membership.Left} {
		gauge(descMembers, float64(info.Members[state]), state.String())
	}
	for _, condition := range []membership.Condition{membership.Connected, membership.Degraded, membership.Minority, membership.Isolated} {
		gauge(descCondition, oneIf(info.Condition == condition), condition.String())
	}
	ready, _ := c.server.ready()
	gauge(descReady, oneIf(ready))
	gauge(descHealth, float64(info.HealthScore))
	gauge(descVersion, float64(info.ViewVersion))
	gauge(descPending, float64(info.PendingBroadcasts))
	count(descEvents, stats.Events)
	count(descIgnored, stats.IgnoredMembers)
	count(descInputs, stats.DroppedInputs)
	count(descHealAttempts, stats.Heal.Attempts)
	count(descHealReached, stats.Heal.Reached)
	count(descHeals, stats.Heal.Heals)
	heard, verdicts := stats.Heard, stats.Verdicts
	count(descAccusations, heard.Accusations)
	count(descRefutations, heard.Refutations)
	count(descTestimonies, verdicts.Testimonies, "sent")
	count(descTestimonies, heard.TestimoniesHeard, "received")
	count(descTestimonies, heard.TestimoniesRefused, "rejected")
	count(descAbstentions, verdicts.Abstentions)
	count(descVerdicts, verdicts.Verdicts)
	count(descOverturned, verdicts.Overturned)
	count(descHeldBack, verdicts.HeldBack)
	count(descSpared, verdicts.Spared)
	count(descProbations, verdicts.Probations)
	count(descUnreliable, verdicts.Unreliable)
	ch <- detectionTimes(heard)
	count(descUserAlone, stats.UserPackets)
	count(descDirect, stats.DirectPackets)
	digest := stats.Digest
	count(descComparisons, digest.Comparisons-digest.Mismatches, "same")
	count(descComparisons, digest.Mismatches, "different")
	count(descSyncs, digest.Syncs-digest.SyncsFailed, "done")
	count(descSyncs, digest.SyncsFailed, "failed")
	count(descSyncBytes, digest.SyncBytes)
	tr := stats.Transport
	count(descPackets, tr.PacketsIn, "in")
	count(descPackets, tr.PacketsOut, "out")
	count(descStreams, tr.StreamsIn, "in")
	count(descStreams, tr.StreamsOut, "out")
	count(descBytes, tr.PacketBytesIn, "udp", "in")
	count(descBytes, tr.PacketBytesOut, "udp", "out")
	count(descBytes, tr.StreamBytesIn, "tcp", "in")
	count(descBytes, tr.StreamBytesOut, "tcp", "out")
	for i, by := range tr.Peers {
		peer := transport.Peer(i).String()
		count(descPeerPackets, by.PacketsIn, peer, "in")
		count(descPeerPackets, by.PacketsOut, peer, "out")
		count(descPeerStreams, by.StreamsIn, peer, "in")
		count(descPeerStreams, by.StreamsOut, peer, "out")
		count(descPeerBytes, by.PacketBytesIn, peer, "udp", "in")
		count(descPeerBytes, by.PacketBytesOut, peer, "udp", "out")
		count(descPeerBytes, by.StreamBytesIn, peer, "tcp", "in")
		count(descPeerBytes, by.StreamBytesOut, peer, "tcp", "out")
	}
	gauge(descOpen, float64(tr.StreamsOpen))
	for i, n := range tr.Drops {
		count(descDrops, n, strings.ReplaceAll(transport.Drop(i).String(), " ", "_"))
	}
	count(descTapPackets, stats.Tap.Packets-stats.Tap.Unreadable, "read")
	count(descTapPackets, stats.Tap.Unreadable, "unreadable")
	for kind, n := range stats.Tap.Messages {
		count(descTapKinds, n, kind.String())
	}
}

// detectionTimes is the histogram of how long failures took to be seen.
func detectionTimes(heard membership.Counts) prometheus.Metric {
	upTo, n := make(map[float64]uint64), uint64(0)
	for i, bound := range membership.DetectionBounds() {
		n += heard.Detection[i]
		upTo[bound.Seconds()] = n
	}
	n += heard.Detection[len(heard.Detection)-1]
	return prometheus.MustNewConstHistogram(descDetection, n, heard.DetectionSum.Seconds(), upTo)
}

// validText makes text fit for a label: others make the collector panic.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
