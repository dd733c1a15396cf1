package agent

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Two agents in one process: both show the engine's metrics, which the engine
// reports to one place.
func TestMetricsHoldTheEnginesOwn(t *testing.T) {
	a := begin(t, "a")
	b := begin(t, "b", "cluster.seeds="+a.gossip)
	waitState(t, b.api, "a", "alive")
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, r := range []*running{a, b} {
		eventually(t, func() string {
			resp, err := web.Get("http://" + r.api.Address() + "/metrics")
			if err != nil {
				return err.Error()
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return err.Error()
			}
			for _, want := range []string{"\nmemberlist_", "\nheartbeat_", "\ngo_goroutines ", "\nprocess_"} {
				if !strings.Contains(string(body), want) {
					return "no metric begins with " + strings.TrimSpace(want)
				}
			}
			if strings.Contains(string(body), "memberlist_size_local") {
				t.Error("a metric is shown that means nothing")
			}
			return ""
		})
	}
}
