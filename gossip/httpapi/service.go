package httpapi

import (
	"context"
	"crypto/tls"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"
)

// Route is one line of an API.
type Route struct {
	Method, Path string
	// Handle answers a request or says why it cannot: see NewProblem.
	Handle func(w http.ResponseWriter, r *http.Request) error
}

// ServiceConfig is what a Service is made of.
type ServiceConfig struct {
	// Name is what answers, TokenFile where its token stands, and Docs the page
	// with its routes: for the messages to people.
	Name, TokenFile, Docs string
	// Routes are the API, each with one method; a GET also answers HEAD.
	Routes []Route
	// Open are the paths that are answered without a token.
	Open []string
	// Token, Hosts, TLS and Logger are those of ServerConfig.
	Token  string
	Hosts  []string
	TLS    *tls.Config
	Logger zerolog.Logger
	// Stopping is called as soon as Serve is to end, so that handlers that take
	// long end as well; Answered after each answer, with the pattern of its
	// route or "none". Neither may block; nil: nothing.
	Stopping func()
	Answered func(route string, status int)
}

// Service is an HTTP API with the manners of a node's: who may ask, bounds,
// errors as problems, an orderly end. The routes are its user's. It is made by
// NewService and serves once.
type Service struct {
	cfg     ServiceConfig
	log     zerolog.Logger
	guard   guard
	handler http.Handler
	conns   sync.WaitGroup // one for each connection whose goroutine runs
}

// NewService fails for a token that is too short.
func NewService(cfg ServiceConfig) (*Service, error) {
	if cfg.Stopping == nil {
		cfg.Stopping = func() {}
	}
	if cfg.Answered == nil {
		cfg.Answered = func(string, int) {}
	}
	s := &Service{cfg: cfg, log: cfg.Logger, guard: guard{name: cfg.Name, tokenFile: cfg.TokenFile, open: cfg.Open, loopback: onLoopback}}
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
	s.handler = s.wrap(s.router())
	return s, nil
}

// router builds the router. Each path also gets a route without a method, so
// that a wrong one is answered in our own form.
func (s *Service) router() http.Handler {
	mux := http.NewServeMux()
	methods := make(map[string][]string)
	for _, rt := range s.cfg.Routes {
		methods[rt.Path] = append(methods[rt.Path], rt.Method)
		mux.Handle(rt.Method+" "+rt.Path, asHandler(rt.Handle))
	}
	for path, allowed := range methods {
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
		}
		slices.Sort(allowed)
		mux.Handle(path, asHandler(func(w http.ResponseWriter, r *http.Request) error {
			list := strings.Join(allowed, ", ")
			w.Header().Set("Allow", list)
			return newProblem(http.StatusMethodNotAllowed, ProblemMethod, r.Method+" is not possible here", "possible are "+list)
		}))
	}
	mux.Handle("/", asHandler(func(http.ResponseWriter, *http.Request) error { return s.noSuchRoute() }))
	return mux
}

func (s *Service) noSuchRoute() *problem {
	return newProblem(http.StatusNotFound, ProblemNoSuchRoute, "the API has no such path",
		"its paths are in "+s.cfg.Docs+"; "+s.cfg.Routes[0].Path+" is one")
}

func asHandler(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeProblem(w, asProblem(err))
		}
	})
}

// Serve answers on the listener until ctx ends, and closes it. Streams are
// then ended at once, other requests get a few seconds; when Serve returns no
// goroutine of the server is left. It refuses a listener that others can reach
// when neither a token nor client certificates are asked for (CheckExposure).
// Ending by ctx is no error.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	defer s.cfg.Stopping()
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
		s.cfg.Stopping()
		s.conns.Wait()
		return fmt.Errorf("the API stopped answering on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.cfg.Stopping()
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
func (s *Service) trackConn(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

func (s *Service) checkListener(ln net.Listener) error {
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
func (s *Service) wrap(router http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer s.finish(rec, r, begin)
		if p := s.guard.check(r); p != nil {
			writeProblem(rec, p)
			return
		}
		if !cleanPath(r.URL.EscapedPath()) {
			writeProblem(rec, s.noSuchRoute())
			return
		}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		router.ServeHTTP(rec, r)
	})
}

// finish ends a request: it answers for a handler that panicked, counts, and
// writes the log line.
func (s *Service) finish(rec *recorder, r *http.Request, begin time.Time) {
	cause := recover()
	if cause != nil {
		s.log.Error().Str("part", "api").Str("route", routeOf(r)).Interface("panic", cause).Bytes("stack", debug.Stack()).
			Msg("a request made the API fail; it was answered with an error and the " + s.cfg.Name + " goes on")
		if rec.status == 0 {
			writeProblem(rec, newProblem(http.StatusInternalServerError, ProblemInternal, "the "+s.cfg.Name+" failed to answer this request",
				"see the "+s.cfg.Name+"'s log, and report it"))
			cause = nil
		}
	}
	s.cfg.Answered(routeOf(r), rec.status)
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
