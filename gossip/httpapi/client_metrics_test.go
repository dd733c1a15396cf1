package httpapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMetrics(t *testing.T) {
	got := parseMetrics([]byte("# HELP a b 1\n# TYPE a counter\na 1\nb{x=\"y z\"} 2.5e+06\n\nbad\nworse x\n 7\nc{q=\"\\\"\"} NaNs\n"))
	if diff := cmp.Diff(map[string]float64{"a": 1, `b{x="y z"}`: 2.5e6}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestClientReadsMetrics(t *testing.T) {
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Token = strings.Repeat("t", 32) })
	for token, fits := range map[string]bool{strings.Repeat("t", 32): true, "another": false} {
		c, err := NewClient(ClientConfig{Address: h.addr, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		all, err := c.Metrics(t.Context())
		if (err == nil) != fits || fits != (all[`heartbeat_ready`] == 1) {
			t.Errorf("with the right token %v: %v, %d metrics", fits, err, len(all))
		}
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte("a 1\n# b\nc{d=\"e\"} 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name := range parseMetrics(data) {
			if name == "" {
				t.Error("a metric without a name")
			}
		}
	})
}
