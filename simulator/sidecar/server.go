package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
)

// Table is what the server needs of a kernelfault.Table.
type Table interface {
	Change(put []kernelfault.Fault, drop []string) error
	Active() []kernelfault.Active
	Close() error
}

var _ Table = (*kernelfault.Table)(nil)

// maxFaults bounds the faults that one request puts and drops.
const maxFaults = kernelfault.MaxFaults

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// Faults is where faults are put. The server owns it from then on.
	Faults Table
	// Capabilities tries what this kernel can do.
	Capabilities func() []kernelfault.Capability
	// Token is asked for with every request. Empty means that nobody is asked:
	// for a unix socket that only its owner can open.
	Token string
	// Logger gets a line for each change and each failure.
	Logger zerolog.Logger
}

// Server answers the fault agent's API. It is made by New and serves once.
type Server struct {
	cfg   ServerConfig
	agent *supervisor
	lease lease
	stop  context.CancelFunc
	http  *httpapi.Service
}

// New makes a server. It fails for a token that is too short.
func New(cfg ServerConfig) (*Server, error) { return newServer(cfg, procFS{}) }

func newServer(cfg ServerConfig, procs processes) (*Server, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, agent: newSupervisor(ctx, procs), stop: stop}
	var err error
	s.http, err = httpapi.NewService(httpapi.ServiceConfig{
		Name: "fault agent", TokenFile: "the fault agent's token file", Docs: docsPage,
		Routes: s.routes(), Token: cfg.Token, Logger: cfg.Logger, Stopping: stop,
	})
	if err != nil {
		stop()
		return nil, err
	}
	return s, nil
}

// Serve answers on the listener until ctx ends, and closes it. When it returns
// no fault is in effect and the agent is not frozen, unless the error says so.
// It refuses a listener that others can reach when there is no token. Ending by
// ctx is no error.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	err := s.http.Serve(ctx, ln)
	s.stop()
	return errors.Join(err, s.agent.release(), s.cfg.Faults.Close())
}

func (s *Server) routes() []httpapi.Route {
	return []httpapi.Route{
		{Method: http.MethodGet, Path: "/v1/faults", Handle: s.getFaults},
		{Method: http.MethodPost, Path: "/v1/faults", Handle: s.postFaults},
		{Method: http.MethodDelete, Path: "/v1/faults", Handle: s.deleteFaults},
		{Method: http.MethodGet, Path: "/v1/agent", Handle: s.getAgent},
		{Method: http.MethodPost, Path: "/v1/agent", Handle: s.postAgent},
		{Method: http.MethodPost, Path: "/v1/lease", Handle: s.postLease},
		{Method: http.MethodGet, Path: "/v1/gate", Handle: s.getGate},
		{Method: http.MethodGet, Path: "/v1/clock", Handle: s.getClock},
		{Method: http.MethodGet, Path: "/v1/capabilities", Handle: s.getCapabilities},
	}
}

func (s *Server) getFaults(w http.ResponseWriter, _ *http.Request) error {
	active := s.cfg.Faults.Active()
	if active == nil {
		active = []kernelfault.Active{}
	}
	httpapi.WriteJSON(w, Faults{Faults: active})
	return nil
}

func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) error {
	req, err := readFaults(r)
	if err != nil {
		return err
	}
	return s.change(w, req)
}

// readFaults reads and checks what is to be changed.
func readFaults(r *http.Request) (FaultsRequest, error) {
	var req FaultsRequest
	if err := httpapi.ReadBody(r, &req, docsPage); err != nil {
		return req, err
	}
	if n := len(req.Put) + len(req.Drop); n == 0 || n > maxFaults {
		return req, httpapi.BadRequest(fmt.Sprintf("%d faults are to be put and dropped", n), fmt.Sprintf("1 to %d are possible", maxFaults))
	}
	ids := make(map[string]bool)
	for _, f := range req.Put {
		if err := f.Validate(); err != nil {
			return req, httpapi.BadRequest(err.Error(), "see "+docsPage)
		}
		if ids[f.ID] {
			return req, httpapi.BadRequest("fault "+f.ID+" is put twice", "give each fault an id of its own")
		}
		ids[f.ID] = true
	}
	return req, nil
}

func (s *Server) deleteFaults(w http.ResponseWriter, r *http.Request) error {
	var by ClearRequest
	if err := httpapi.ReadBody(r, &by, docsPage); err != nil {
		return err
	}
	req := FaultsRequest{Holder: by.Holder}
	for _, f := range s.cfg.Faults.Active() {
		req.Drop = append(req.Drop, f.ID)
	}
	return s.change(w, req)
}

func (s *Server) change(w http.ResponseWriter, req FaultsRequest) error {
	if err := s.lease.permit(req.Holder); err != nil {
		return err
	}
	err := s.cfg.Faults.Change(req.Put, req.Drop)
	at := time.Now().UTC()
	switch {
	case errors.Is(err, kernelfault.ErrUnsupported):
		return httpapi.NewProblem(http.StatusNotImplemented, ProblemUnsupported, "this kernel cannot do it", err.Error(),
			"`heartbeat fault doctor` lists what it can do")
	case errors.Is(err, kernelfault.ErrTooMany):
		return httpapi.BadRequest(err.Error(), "end others first: `heartbeat fault clear` ends all")
	case errors.Is(err, kernelfault.ErrClosed):
		return errStopping
	case err != nil:
		return httpapi.NewProblem(http.StatusInternalServerError, ProblemFault, "the faults could not be changed", err.Error(),
			"look at the faults in effect before trying again")
	}
	for _, f := range req.Put {
		s.cfg.Logger.Info().Str("fault", f.ID).Interface("peers", f.Peers).Interface("effect", f.Effect).Dur("ttl", f.TTL).Msg("fault put into effect")
	}
	if len(req.Drop) > 0 {
		s.cfg.Logger.Info().Strs("faults", req.Drop).Msg("faults ended")
	}
	httpapi.WriteJSON(w, Done{At: at})
	return nil
}

func (s *Server) getAgent(w http.ResponseWriter, _ *http.Request) error {
	agent, _, err := s.agent.look()
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, agent)
	return nil
}

func (s *Server) postAgent(w http.ResponseWriter, r *http.Request) error {
	var req AgentRequest
	if err := httpapi.ReadBody(r, &req, docsPage); err != nil {
		return err
	}
	if err := s.lease.permit(req.Holder); err != nil {
		return err
	}
	if err := httpapi.TakeTime(w); err != nil {
		return err
	}
	at, err := s.agent.act(r.Context(), req)
	if err != nil {
		return err
	}
	s.cfg.Logger.Info().Str("action", req.Action).Strs("settings", slices.Sorted(maps.Keys(req.Env))).Msg("done to the agent")
	httpapi.WriteJSON(w, Done{At: at.UTC()})
	return nil
}

func (s *Server) postLease(w http.ResponseWriter, r *http.Request) error {
	var req LeaseRequest
	if err := httpapi.ReadBody(r, &req, docsPage); err != nil {
		return err
	}
	if err := s.lease.take(req); err != nil {
		return err
	}
	httpapi.WriteJSON(w, Done{At: time.Now().UTC()})
	return nil
}

func (s *Server) getGate(w http.ResponseWriter, r *http.Request) error {
	if !fromHere(r) {
		return httpapi.NewProblem(http.StatusForbidden, httpapi.ProblemForbidden, "the request is refused", "the gate is not in the fault agent's network namespace",
			"let the agent's container use the fault agent's network: network_mode: service:NAME")
	}
	p, err := readProcess(r)
	if err != nil {
		return err
	}
	answer, err := s.agent.knock(r.Context(), p)
	if err != nil {
		return err
	}
	if answer.Go {
		s.cfg.Logger.Info().Int("pid", p.pid).Strs("settings", slices.Sorted(maps.Keys(answer.Env))).Msg("the agent may start")
	}
	httpapi.WriteJSON(w, answer)
	return nil
}

// readProcess reads who stands at the gate.
func readProcess(r *http.Request) (process, error) {
	q := r.URL.Query()
	pid, err := strconv.ParseInt(q.Get("pid"), 10, 32)
	start, startErr := strconv.ParseUint(q.Get("start"), 10, 64)
	if err = errors.Join(err, startErr); err != nil || len(q) != 2 {
		return process{}, httpapi.BadRequest("the query does not name a process", "give pid and start, field 22 of /proc/PID/stat")
	}
	return process{int(pid), start}, nil
}

// fromHere tells whether the request comes from this network namespace: from a
// loopback address, over a unix socket, or from the very address that it came
// to, which the kernel lets nobody else use towards us.
func fromHere(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return true
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	from := remote.Addr().Unmap()
	return from.IsLoopback() || from == tcp.AddrPort().Addr().Unmap()
}

func (s *Server) getClock(w http.ResponseWriter, _ *http.Request) error {
	httpapi.WriteJSON(w, Clock{Now: time.Now().UTC()})
	return nil
}

func (s *Server) getCapabilities(w http.ResponseWriter, _ *http.Request) error {
	httpapi.WriteJSON(w, Capabilities{Capabilities: s.cfg.Capabilities()})
	return nil
}
