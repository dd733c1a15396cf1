package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

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
	cfg     ServerConfig
	log     zerolog.Logger
	guard   guard
	handler http.Handler
	metrics *apiMetrics
	watch   func(from uint64) eventSource

	now      func() time.Time
	beat     time.Duration // between two signs of life in a stream
	patience time.Duration // how long a stream's reader may take for one piece
	streams  atomic.Int64
	leaving  sync.Once
	conns    sync.WaitGroup  // one for each connection whose goroutine runs
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
		cfg: cfg, log: cfg.Logger, now: time.Now, beat: heartbeatEvery, patience: streamWrite,
		guard: guard{loopback: onLoopback},
		watch: func(from uint64) eventSource { return cfg.Node.Watch(from) },
	}
	for _, h := range cfg.Hosts {
		s.guard.hosts = append(s.guard.hosts, strings.ToLower(h))
	}
	if cfg.Token != "" {
		if err := checkToken(cfg.Token); err != nil {
			return nil, err
		}
		sum := hash(cfg.Token)
		s.guard.token = &sum
	}
	var err error
	if s.metrics, err = newAPIMetrics(cfg.Registry, s); err != nil {
		return nil, fmt.Errorf("cannot register the API's metrics: %w", err)
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.handler = s.wrap(s.routes())
	return s, nil
}

// Serve answers on the listener until ctx ends, and closes it. Streams are
// then ended at once, other requests get a few seconds; when Serve returns no
// goroutine of the server is left. It refuses a listener that others can reach
// when neither a token nor client certificates are asked for (CheckExposure).
// Ending by ctx is no error.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.stop()
	if err := s.checkListener(ln); err != nil {
		_ = ln.Close()
		return err
	}
	requests, cancelRequests := context.WithCancel(context.Background())
	defer cancelRequests()
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnState:         s.trackConn,
		ErrorLog:          stdlog.New(serverLog{s.log}, "", 0),
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true) // one request a connection, so that the bound of connections bounds all work
	ln = netutil.LimitListener(ln, maxConns)
	served := make(chan error, 1)
	go func() {
		if _, unix := ln.Addr().(*net.UnixAddr); s.cfg.TLS != nil && !unix {
			srv.TLSConfig = s.cfg.TLS.Clone()
			served <- srv.ServeTLS(ln, "", "")
			return
		}
		served <- srv.Serve(ln)
	}()
	select {
	case err := <-served:
		_ = srv.Close()
		cancelRequests()
		s.stop()
		s.conns.Wait()
		return fmt.Errorf("the API stopped answering on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.stop()
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
	cancelRequests()
	<-served
	s.conns.Wait()
	return nil
}

// trackConn counts connections. New ones are told by the accepting goroutine,
// so none is added once that has ended; net/http itself does not wait for
// those that it closes.
func (s *Server) trackConn(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

func (s *Server) checkListener(ln net.Listener) error {
	if _, unix := ln.Addr().(*net.UnixAddr); unix {
		return nil
	}
	mutual := s.cfg.TLS != nil && s.cfg.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	return CheckExposure(ln.Addr().String(), s.guard.token != nil, mutual)
}

// serverLog passes on what net/http complains about: broken handshakes and the
// like, which anyone can cause and which harm nobody.
type serverLog struct{ log zerolog.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	l.log.Debug().Str("part", "api").Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}

// wrap puts around the router what holds for every request: the guard, the
// bound of the body, the count, and that a bug costs one request and not the
// agent.
func (s *Server) wrap(router http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer s.finish(rec, r, begin)
		if p := s.guard.check(r); p != nil {
			writeProblem(rec, p)
			return
		}
		if !cleanPath(r.URL.EscapedPath()) {
			writeProblem(rec, noSuchRoute(r))
			return
		}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		router.ServeHTTP(rec, r)
	})
}

// finish ends a request: it answers for a handler that panicked, counts, and
// writes the log line.
func (s *Server) finish(rec *recorder, r *http.Request, begin time.Time) {
	cause := recover()
	if cause != nil {
		s.log.Error().Str("part", "api").Str("route", routeOf(r)).Interface("panic", cause).Bytes("stack", debug.Stack()).
			Msg("a request made the API fail; it was answered with an error and the agent goes on")
		if rec.status == 0 {
			writeProblem(rec, newProblem(http.StatusInternalServerError, ProblemInternal, "the agent failed to answer this request",
				"see the agent's log, and report it"))
			cause = nil
		}
	}
	s.metrics.requests.WithLabelValues(routeOf(r), fmt.Sprint(rec.status)).Inc()
	s.log.Debug().Str("part", "api").Str("route", routeOf(r)).Int("status", rec.status).Dur("took", time.Since(begin)).
		Str("from", r.RemoteAddr).Msg("request")
	if cause != nil {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

// routeOf names the route for metrics: one of the patterns, never what the
// client sent.
func routeOf(r *http.Request) string {
	if r.Pattern == "" || r.Pattern == "/" {
		return "none"
	}
	return r.Pattern
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
