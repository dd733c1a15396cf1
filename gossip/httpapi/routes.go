package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	stdlog "log"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// handler answers a request or says why it cannot.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one line of the API.
type route struct {
	method, path string
	handle       handler
}

func (s *Server) table() []route {
	return []route{
		{http.MethodGet, "/v1/members", s.getMembers},
		{http.MethodGet, "/v1/members/{name}", s.getMember},
		{http.MethodGet, "/v1/info", s.getInfo},
		{http.MethodGet, "/v1/journal", s.getJournal},
		{http.MethodPost, "/v1/join", s.postJoin},
		{http.MethodPost, "/v1/leave", s.postLeave},
		{http.MethodPost, "/v1/force-leave", s.postForceLeave},
		{http.MethodGet, "/v1/tags", s.getTags},
		{http.MethodPatch, "/v1/tags", s.patchTags},
		{http.MethodGet, "/v1/keys", s.getKeys},
		{http.MethodPost, "/v1/keys", s.postKeys},
		{http.MethodGet, "/v1/events", s.getEvents},
		{http.MethodGet, "/v1/logs", s.getLogs},
		{http.MethodGet, "/healthz", s.getHealth},
		{http.MethodGet, "/readyz", s.getReady},
		{http.MethodGet, "/metrics", s.getMetrics},
	}
}

// routes builds the router. Each path also gets a route without a method, so
// that a wrong one is answered in our own form.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	methods := make(map[string][]string)
	for _, rt := range s.table() {
		methods[rt.path] = append(methods[rt.path], rt.method)
		mux.Handle(rt.method+" "+rt.path, asHandler(rt.handle))
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
	mux.Handle("/", asHandler(func(_ http.ResponseWriter, r *http.Request) error { return noSuchRoute(r) }))
	return mux
}

func noSuchRoute(_ *http.Request) *problem {
	return newProblem(http.StatusNotFound, ProblemNoSuchRoute, "the API has no such path", "its paths are in docs/api.md; /v1/members is one")
}

func asHandler(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeProblem(w, asProblem(err))
		}
	})
}

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, Health{Status: "ok"})
	return nil
}

func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	ready, reason := s.ready()
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	writeAs(w, status, typeJSON, Readiness{Ready: ready, Reason: reason, Condition: s.cfg.Node.View().Condition().String()})
	return nil
}

// ready asks the agent, but a node that has left is never ready.
func (s *Server) ready() (bool, string) {
	if s.cfg.Node.Info().Left {
		return false, "the node has left the cluster"
	}
	ready, reason := s.cfg.Ready()
	if ready {
		return true, ""
	}
	return false, reason
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{
		ErrorLog:      stdlog.New(serverLog{s.log}, "", 0),
		ErrorHandling: promhttp.ContinueOnError, // one bad metric must not hide the others
	}).ServeHTTP(w, r)
	return nil
}

// readBody decodes the body, one JSON object without unknown fields, into out.
// Its errors show nothing of what was sent: it may be a key.
func readBody(r *http.Request, out any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(out)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = more
			if err == nil {
				return badRequest("the body holds more than one JSON value", "send one object")
			}
		}
	}
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, ProblemTooLarge, "the body is larger than 64 kB", "send less at once")
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return badRequest("field "+wrongType.Field+" has the wrong type", "see docs/api.md")
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return badRequest("the body holds a field that this request does not have", "see docs/api.md for the fields")
	}
	return badRequest("the body is not the JSON object that this request takes", "see docs/api.md")
}

// takeTime lets a request wait for other nodes.
func takeTime(w http.ResponseWriter) error {
	rc := http.NewResponseController(w)
	deadline := time.Now().Add(maxSlowRequest + writeTimeout)
	return errors.Join(rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline))
}
