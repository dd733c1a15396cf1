package compose

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/sidecar"
)

const testToken = "a-token-of-the-tests"

// fakeNode is a fault agent and an agent that behave at once as they are told.
type fakeNode struct {
	config Node

	mu     sync.Mutex
	agent  sidecar.Agent       // guarded by mu, like what follows
	env    map[string]string   // of the newest start
	faults map[string]bool     // in effect
	done   []string            // in order: what was changed
	refuse func(string) string // what is refused, and why
	dies   bool                // the agent ends as soon as it is started
	alive  int                 // members that the agent lists as alive
	holder string              // of the lease, "" when it is free
	stops  int                 // so many questions are answered with stopped
}

func newFakeNode(t *testing.T, i int) *fakeNode {
	f := &fakeNode{
		agent: sidecar.Agent{State: sidecar.Running, PID: 10}, faults: map[string]bool{"left-behind": true},
		refuse: func(string) string { return "" },
	}
	serve := func(handle http.HandlerFunc) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/events" { // there are none
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if r.Header.Get("Authorization") != "Bearer "+testToken {
				problem(w, http.StatusUnauthorized, "no token")
				return
			}
			handle(w, r)
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	f.config = Node{Gossip: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Sidecar: serve(f.serveSidecar), API: serve(f.serveAPI)}
	return f
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(httpapi.Problem{Title: "refused", Detail: detail})
}

func (f *fakeNode) serveAPI(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.agent.State != sidecar.Running:
		problem(w, http.StatusServiceUnavailable, "it does not run")
	case r.URL.Path == "/v1/info":
		var info httpapi.Info
		info.Epoch, info.Members.Alive = "e", f.alive
		httpapi.WriteJSON(w, info)
	default:
		problem(w, http.StatusServiceUnavailable, "not here")
	}
}

func (f *fakeNode) serveSidecar(w http.ResponseWriter, r *http.Request) {
	what := r.Method + " " + r.URL.Path
	switch what {
	case "GET /v1/agent":
		answer := f.agent
		if f.stops > 0 {
			f.stops--
			answer.State = sidecar.Stopped
		}
		httpapi.WriteJSON(w, answer)
		return
	case "GET /v1/clock":
		httpapi.WriteJSON(w, sidecar.Clock{Now: time.Now()})
		return
	}
	if what == "POST /v1/lease" {
		f.serveLease(w, r)
		return
	}
	var change sidecar.FaultsRequest
	var act sidecar.AgentRequest
	switch what {
	case "POST /v1/agent":
		_ = json.NewDecoder(r.Body).Decode(&act)
		what = act.Action
	case "POST /v1/faults":
		_ = json.NewDecoder(r.Body).Decode(&change)
		what = "change"
	case "DELETE /v1/faults":
		what = "clear"
	}
	if why := f.refuse(what); why != "" {
		problem(w, http.StatusNotImplemented, why)
		return
	}
	f.done = append(f.done, what)
	switch what {
	case "clear":
		clear(f.faults)
	case "change":
		for _, p := range change.Put {
			f.faults[p.ID] = true
		}
		for _, id := range change.Drop {
			delete(f.faults, id)
		}
	default:
		f.act(act)
	}
	httpapi.WriteJSON(w, sidecar.Done{At: time.Now()})
}

func (f *fakeNode) serveLease(w http.ResponseWriter, r *http.Request) {
	var req sidecar.LeaseRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	switch {
	case f.holder != "" && f.holder != req.Holder:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(httpapi.Problem{Type: sidecar.ProblemLease, Title: "held", Detail: f.holder + " holds it"})
		return
	case req.TTL == 0:
		f.holder = ""
	default:
		f.holder = req.Holder
	}
	httpapi.WriteJSON(w, sidecar.Done{At: time.Now()})
}

func (f *fakeNode) act(req sidecar.AgentRequest) {
	switch req.Action {
	case "hold":
		f.agent.Hold = true
	case "kill":
		f.end()
		f.agent.Hold = true
	case "start":
		f.agent.State, f.agent.Hold, f.env = sidecar.Running, false, req.Env
		if f.dies {
			f.end()
		}
	}
}

// end ends the agent; the next process waits at the gate.
func (f *fakeNode) end() {
	now := time.Now()
	f.agent.Ended, f.agent.State = &now, sidecar.Held
	f.agent.PID++
}

// look calls a function while nothing changes.
func (f *fakeNode) look(see func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	see()
}

// wantTidy checks that nothing is left of a run.
func (f *fakeNode) wantTidy(t *testing.T) {
	t.Helper()
	f.look(func() {
		if len(f.faults) > 0 || f.agent.State != sidecar.Running || f.agent.Hold || len(f.env) > 0 {
			t.Errorf("%v: faults %v, agent %+v, settings %v", f.config.Gossip, f.faults, f.agent, f.env)
		}
		if n := len(f.done); n < 3 || !slices.Equal(f.done[n-3:], []string{"clear", "kill", "start"}) {
			t.Errorf("%v: at last %v", f.config.Gossip, f.done)
		}
	})
}

func newFakes(t *testing.T, n int) (*Engine, []*fakeNode) {
	t.Helper()
	cfg := Config{Token: testToken}
	var fakes []*fakeNode
	for i := range n {
		f := newFakeNode(t, i)
		fakes, cfg.Nodes = append(fakes, f), append(cfg.Nodes, f.config)
	}
	return newEngine(t, cfg), fakes
}

func newEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // which cannot fail
	return e
}

func parse(t *testing.T, cluster, rest string) *scenario.Scenario {
	t.Helper()
	text := "version: 1\nname: s\ncluster: {" + cluster + "}\n" + rest
	sc, err := scenario.Parse("s.yaml", []byte(text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}
