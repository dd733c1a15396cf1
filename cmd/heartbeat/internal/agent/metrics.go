package agent

import (
	"fmt"
	"sync"

	"github.com/hashicorp/go-metrics"
	sink "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// engineMetrics is where the engine's own metrics are collected. The engine
// reports to one place per process, so it is set up once, however many agents
// run in it.
var engineMetrics = sync.OnceValues(func() (*sink.PrometheusSink, error) {
	s, err := sink.NewPrometheusSinkFrom(sink.PrometheusOpts{Name: "heartbeat_engine", Registerer: prometheus.NewRegistry()})
	if err != nil {
		return nil, err
	}
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname = false
	cfg.EnableRuntimeMetrics = false // the Go collector has them
	// What the engine reports as the size of its state is the size of whatever
	// it sent last.
	cfg.BlockedPrefixes = []string{"memberlist.size.local"}
	_, err = metrics.NewGlobal(cfg, s)
	return s, err
})

// newRegistry returns what /metrics of one agent shows beside the API's own.
func newRegistry() (*prometheus.Registry, error) {
	engine, err := engineMetrics()
	if err != nil {
		return nil, fmt.Errorf("cannot set up the engine's metrics: %w", err)
	}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		engine, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("cannot register metrics: %w", err)
		}
	}
	return registry, nil
}
