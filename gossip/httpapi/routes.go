package httpapi

import (
	stdlog "log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (s *Server) table() []Route {
	return []Route{
		{http.MethodGet, "/v1/members", s.getMembers},
		{http.MethodGet, "/v1/members/{name}", s.getMember},
		{http.MethodGet, "/v1/info", s.getInfo},
		{http.MethodGet, "/v1/journal", s.getJournal},
		{http.MethodGet, "/v1/why/{name}", s.getWhy},
		{http.MethodGet, "/v1/partitions", s.getPartitions},
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

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	WriteJSON(w, Health{Status: "ok"})
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
		ErrorLog:      stdlog.New(serverLog{s.cfg.Logger}, "", 0),
		ErrorHandling: promhttp.ContinueOnError, // one bad metric must not hide the others
	}).ServeHTTP(w, r)
	return nil
}
