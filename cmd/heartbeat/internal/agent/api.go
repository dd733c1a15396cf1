package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/gossip/httpapi"
)

// secrets are what the API's settings name files of.
type secrets struct {
	token string
	tls   *tls.Config // nil: no TLS
}

// loadSecrets reads the API's token, certificate and CA.
func loadSecrets(s *config.Settings) (secrets, error) {
	var sec secrets
	var err error
	if s.API.TokenFile != "" {
		if sec.token, err = httpapi.ReadTokenFile(s.API.TokenFile); err != nil {
			return secrets{}, s.Blame("api.token_file", err)
		}
	}
	if s.API.TLSCert != "" {
		if sec.tls, err = httpapi.LoadTLS(s.API.TLSCert, s.API.TLSKey, s.API.TLSClientCA); err != nil {
			return secrets{}, s.Blame("api.tls.cert", err)
		}
	}
	return sec, nil
}

// listenAPI opens the API's listener; nil when no API is wanted.
func listenAPI(ctx context.Context, s *config.Settings, sec secrets) (net.Listener, error) {
	address := s.API.Address
	if address == "" {
		return nil, nil
	}
	if err := httpapi.CheckExposure(address, sec.token != "", s.API.TLSClientCA != ""); err != nil {
		return nil, s.Blame("api.address", err)
	}
	ln, err := httpapi.Listen(ctx, address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, s.Blame("api.address", fmt.Errorf("%w; another agent may run here: end it, or give this one another api.address", err))
	case errors.Is(err, syscall.EACCES):
		return nil, s.Blame("api.address", fmt.Errorf("%w; this user may not listen there: choose a port above 1023 or a directory that it may write to", err))
	case err != nil:
		return nil, s.Blame("api.address", err)
	}
	return ln, nil
}

// api is the running HTTP API.
type api struct {
	server   *httpapi.Server
	listener net.Listener
	certs    atomic.Pointer[tls.Config] // what new connections get; nil without TLS
}

func newAPI(a *agent, listener net.Listener, sec secrets) (*api, error) {
	registry, err := newRegistry()
	if err != nil {
		return nil, err
	}
	p := &api{listener: listener}
	cfg := httpapi.ServerConfig{
		Node: a.node, Version: a.opts.Version, Ready: a.ready, Logs: a.hub, Token: sec.token,
		OnLeave:  func() { close(a.leaving) }, // called once
		Registry: registry, Logger: a.log,
	}
	if sec.tls != nil {
		p.certs.Store(sec.tls)
		cfg.TLS = sec.tls.Clone()
		cfg.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return p.certs.Load(), nil }
	}
	p.server, err = httpapi.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the API: %w", err)
	}
	return p, nil
}

func (p *api) serve(ctx context.Context) error { return p.server.Serve(ctx, p.listener) }

// address is the one that clients use.
func (p *api) address() string {
	addr := p.listener.Addr()
	switch {
	case addr.Network() == "unix":
		return "unix:" + addr.String()
	case p.certs.Load() != nil:
		return "https://" + addr.String()
	}
	return addr.String()
}

// ready tells whether the node takes part in its cluster.
func (a *agent) ready() (bool, string) {
	if a.joined.Load() || a.accompanied.Load() {
		return true, ""
	}
	return false, "joining: neither a seed nor a member of the last run has answered yet"
}

// oneLine makes an error of several lines fit into a line of the log.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
