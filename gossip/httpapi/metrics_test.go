package httpapi

import (
	"maps"
	"slices"
	"strings"
	"testing"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// samples returns the lines of /metrics that begin so.
func samples(text, prefix string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	slices.Sort(out)
	return out
}

func TestMetrics(t *testing.T) {
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Version = "1.2.3\xff" })
	h.do(t, "GET", "/v1/members/n1", "")
	h.do(t, "GET", "/v1/members/n9", "")
	h.do(t, "GET", "/v1/members/n8", "")
	h.do(t, "GET", "/attack/"+strings.Repeat("x", 100), "")
	h.do(t, "GET", "/v1/info", "", "Host: evil.example")
	status, header, text := h.do(t, "GET", "/metrics", "")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %v", status, header)
	}
	var got []string
	for _, line := range samples(text, "heartbeat_") {
		if !strings.HasPrefix(line, "heartbeat_transport_drops_total") && !strings.HasPrefix(line, "heartbeat_tap_messages_total") {
			got = append(got, line)
		}
	}
	golden(t, "metrics", strings.Join(got, "\n")+"\n")
	if drops := samples(text, "heartbeat_transport_drops_total"); len(drops) < 10 || !strings.Contains(drops[0], `reason="packet_by_tap"`) {
		t.Errorf("%q", drops)
	}
	if kinds := samples(text, "heartbeat_tap_messages_total"); len(kinds) < 5 {
		t.Errorf("%q", kinds)
	}
}

// The engine's metrics come through, but for the one that it gets wrong; and
// gauges stay, however long ago they were set.
func TestProcessMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	if err := ProcessMetrics(reg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = gometrics.NewGlobal(&gometrics.Config{}, &gometrics.BlackholeSink{}) })
	gometrics.SetGaugeWithLabels([]string{"memberlist", "size", "local"}, 1e9, nil)
	gometrics.SetGaugeWithLabels([]string{"memberlist", "health", "score"}, 3, nil)
	gometrics.IncrCounterWithLabels([]string{"memberlist", "msg", "suspect"}, 1, nil)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"memberlist_health_score", "memberlist_msg_suspect", "go_goroutines"} {
		if !names[want] {
			t.Errorf("%s is missing among %v", want, slices.Sorted(maps.Keys(names)))
		}
	}
	if names["memberlist_size_local"] {
		t.Error("memberlist_size_local is shown")
	}
	if err := ProcessMetrics(reg); err == nil {
		t.Error("registering twice went unnoticed")
	}
}

func TestOneServerPerRegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := ServerConfig{Node: newFakeNode(t), Ready: func() (bool, string) { return true, "" }, Registry: reg}
	if _, err := New(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg); err == nil {
		t.Error("a second server on one registry was made")
	}
}
