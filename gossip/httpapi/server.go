package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// Node is what the API needs of a gossip.Node.
type Node interface {
	Join(ctx context.Context, seeds []string) (gossip.JoinResult, error)
	Leave(ctx context.Context) error
	ForceLeave(ctx context.Context, name string, prune bool) error
	UpdateTags(ctx context.Context, set map[string]string, remove []string) (map[string]string, error)
	View() *membership.View
	Info() gossip.Info
	Stats() gossip.Stats
	RTT(name string) (time.Duration, bool)
	Journal(name string) []membership.Entry
	Case(name string) (membership.Case, bool)
	AskDigests(ctx context.Context) (own membership.Digest, peers []gossip.PeerDigest, err error)
	Keyring() *gossip.Keyring
	Watch(from uint64) *gossip.Watcher
}

var _ Node = (*gossip.Node)(nil)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// Node is the node that the API is about.
	Node Node
	// Version is the agent's, for people.
	Version string
	// Ready tells whether the node has joined and takes part, and otherwise
	// why not, in a few words that everybody may read. It must not block.
	Ready func() (bool, string)
	// OnLeave is called once the node has left by the API and the answer is on
	// its way; the agent is then to end. It must not block. Nil: nothing.
	OnLeave func()
	// Logs are the agent's log lines; nil: there is no such stream.
	Logs LogSource
	// Token is asked for with every request but /healthz and /readyz; empty:
	// none is.
	Token string
	// Hosts are further names in Host headers that a loopback listener answers
	// to, as a proxy in front of it may send.
	Hosts []string
	// TLS, when not nil, is spoken on TCP listeners.
	TLS *tls.Config
	// Registry is where the API's and the node's metrics are registered and
	// what /metrics shows. Nil makes a new one.
	Registry *prometheus.Registry
	// Logger gets a line for each request (debug) and each failure (error).
	Logger zerolog.Logger
}

// Server answers a node's HTTP API. It is made by New and serves once.
type Server struct {
	*Service
	cfg     ServerConfig
	metrics *apiMetrics
	watch   func(from uint64) eventSource

	now      func() time.Time
	beat     time.Duration // between two signs of life in a stream
	patience time.Duration // how long a stream's reader may take for one piece
	streams  atomic.Int64
	leaving  sync.Once
	stopping context.Context // ends when the streams must
	stop     context.CancelFunc
}

// New makes a server and registers its metrics. It fails for a token that is
// too short and when the registry already has another server's metrics.
func New(cfg ServerConfig) (*Server, error) {
	if cfg.Node == nil || cfg.Ready == nil {
		return nil, errors.New("the API needs a node and a way to tell whether it is ready")
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	s := &Server{
		cfg: cfg, now: time.Now, beat: heartbeatEvery, patience: streamWrite,
		watch: func(from uint64) eventSource { return cfg.Node.Watch(from) },
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	var err error
	s.Service, err = NewService(ServiceConfig{
		Name: "agent", TokenFile: "the agent's api.token_file", Docs: "docs/api.md",
		Routes: s.table(), Open: []string{"/healthz", "/readyz"},
		Token: cfg.Token, Hosts: cfg.Hosts, TLS: cfg.TLS, Logger: cfg.Logger,
		Stopping: s.stop, Answered: s.count,
	})
	if err != nil {
		return nil, err
	}
	if s.metrics, err = newAPIMetrics(cfg.Registry, s); err != nil {
		return nil, fmt.Errorf("cannot register the API's metrics: %w", err)
	}
	return s, nil
}

// count is told of every answer.
func (s *Server) count(route string, status int) {
	s.metrics.requests.WithLabelValues(route, fmt.Sprint(status)).Inc()
}
