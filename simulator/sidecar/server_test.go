package sidecar

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"net/netip"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
)

const aFault = `{"id":"a","peers":["10.0.0.2"],"effect":{"cut":true},"ttl_ns":60000000000}`

// requests has a valid request for every route, in an order in which all of
// them can be carried out.
var requests = []struct{ method, path, body string }{
	{"GET", "/v1/gate?pid=12&start=34", ""},
	{"POST", "/v1/agent", `{"action":"freeze"}`},
	{"POST", "/v1/agent", `{"action":"thaw"}`},
	{"POST", "/v1/agent", `{"action":"kill"}`},
	{"POST", "/v1/agent", `{"action":"hold"}`},
	{"POST", "/v1/faults", `{"put":[` + aFault + `]}`},
	{"POST", "/v1/lease", `{"holder":"me","ttl_ns":0}`},
	{"GET", "/v1/faults", ""},
	{"DELETE", "/v1/faults", `{}`},
	{"GET", "/v1/agent", ""},
	{"GET", "/v1/clock", ""},
	{"GET", "/v1/capabilities", ""},
}

func TestRequestsAreComplete(t *testing.T) {
	known := map[string]bool{}
	for _, r := range requests {
		path, _, _ := strings.Cut(r.path, "?")
		known[r.method+" "+path] = true
	}
	for _, rt := range new(Server).routes() {
		if !known[rt.Method+" "+rt.Path] {
			t.Errorf("%s %s is not among the requests that are tried without a token", rt.Method, rt.Path)
		}
	}
}

// do makes a request with the headers given, "Name: value".
func (h *harness) do(t *testing.T, method, path, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); (resp.StatusCode != 200) != (kind == "application/problem+json") {
		t.Errorf("%s %s: %d as %s", method, path, resp.StatusCode, kind)
	}
	return resp.StatusCode, string(data)
}

func TestNothingHappensWithoutTheToken(t *testing.T) {
	h := start(t)
	agent := h.procs.appear(12, 34)
	for _, r := range requests {
		for name, header := range map[string]string{
			"no token":          "X-Nothing: here",
			"empty token":       "Authorization: Bearer ",
			"another token":     "Authorization: Bearer " + testToken + "x",
			"part of the token": "Authorization: Bearer " + testToken[:16],
			"another scheme":    "Authorization: Basic " + testToken,
			"no scheme":         "Authorization: " + testToken,
		} {
			if status, body := h.do(t, r.method, r.path, r.body, header); status != 401 {
				t.Errorf("%s %s, %s: %d %s", r.method, r.path, name, status, body)
			}
		}
	}
	if h.table.changes() != 0 || len(h.procs.sent()) != 0 {
		t.Errorf("refused requests changed something: %d faults, signals %v", h.table.changes(), h.procs.sent())
	}
	before, err := h.client.Agent(t.Context())
	if err != nil || before.State != Stopped || before.Hold {
		t.Errorf("refused requests changed the agent's state: %+v %v", before, err)
	}
	// The same requests are valid, or the test above would show nothing.
	for i, r := range requests {
		if status, body := h.do(t, r.method, r.path, r.body, "Authorization: Bearer "+testToken); status != 200 {
			t.Errorf("%s %s with the token: %d %s", r.method, r.path, status, body)
		}
		if i == 0 {
			h.procs.change(agent, func(p *fakeProcess) { p.command = "agent" })
		}
	}
	if h.table.changes() != 2 || len(h.procs.sent()) != 3 {
		t.Errorf("permitted requests: %d changes of faults, signals %v", h.table.changes(), h.procs.sent())
	}
}

func TestWithoutATokenOnlyOnLoopback(t *testing.T) {
	s, err := New(ServerConfig{Faults: &fakeTable{}, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := httpapi.Listen(t.Context(), "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "can be reached from other machines") {
		t.Errorf("served on all addresses without a token: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	h := start(t)
	many := strings.Repeat(`"x",`, maxFaults) + `"x"`
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"not JSON", "POST", "/v1/faults", "cut everything", 400},
		{"nothing", "POST", "/v1/faults", "", 400},
		{"no change", "POST", "/v1/faults", "{}", 400},
		{"unknown field", "POST", "/v1/faults", `{"put":[],"remove":["a"]}`, 400},
		{"unknown field of a fault", "POST", "/v1/faults", `{"put":[{"id":"a","peer":"10.0.0.2"}]}`, 400},
		{"two values", "POST", "/v1/faults", `{"drop":["a"]}{}`, 400},
		{"no peers", "POST", "/v1/faults", `{"put":[{"id":"a","effect":{"cut":true},"ttl_ns":1}]}`, 400},
		{"no time to live", "POST", "/v1/faults", `{"put":[{"id":"a","peers":["10.0.0.2"],"effect":{"cut":true}}]}`, 400},
		{"put twice", "POST", "/v1/faults", `{"put":[` + aFault + `,` + aFault + `]}`, 400},
		{"no address", "POST", "/v1/faults", `{"put":[{"id":"a","peers":["n2"],"effect":{"cut":true},"ttl_ns":1}]}`, 400},
		{"loss above everything", "POST", "/v1/faults", `{"put":[{"id":"a","peers":["10.0.0.2"],"effect":{"loss":2},"ttl_ns":1}]}`, 400},
		{"too many", "POST", "/v1/faults", `{"drop":[` + many + `]}`, 400},
		{"too large", "POST", "/v1/faults", `{"drop":["` + strings.Repeat("x", 70<<10) + `"]}`, 413},
		{"unknown action", "POST", "/v1/agent", `{"action":"explode"}`, 400},
		{"no action", "POST", "/v1/agent", `{}`, 400},
		{"settings with another action", "POST", "/v1/agent", `{"action":"hold","env":{"HEARTBEAT_PROFILE":"lan"}}`, 400},
		{"a forbidden setting", "POST", "/v1/agent", `{"action":"start","env":{"HEARTBEAT_API_ADDRESS":"0.0.0.0:1"}}`, 400},
		{"freeze nothing", "POST", "/v1/agent", `{"action":"freeze"}`, 409},
		{"kill what was never there", "POST", "/v1/agent", `{"action":"kill"}`, 409},
		{"gate without a process", "GET", "/v1/gate", "", 400},
		{"gate for no number", "GET", "/v1/gate?pid=a&start=1", "", 400},
		{"gate for the first process", "GET", "/v1/gate?pid=1&start=1", "", 400},
		{"gate for a negative process", "GET", "/v1/gate?pid=-5&start=1", "", 400},
		{"gate for no process", "GET", "/v1/gate?pid=99&start=1", "", 400},
		{"unknown path", "GET", "/v1/members", "", 404},
		{"unknown method", "PUT", "/v1/faults", "{}", 405},
	} {
		status, body := h.do(t, tc.method, tc.path, tc.body, "Authorization: Bearer "+testToken)
		if status != tc.status {
			t.Errorf("%s: %d, want %d: %s", tc.name, status, tc.status, body)
		}
	}
	if status, _ := h.do(t, "POST", "/v1/faults", `{"drop":["a"]}`, "Authorization: Bearer "+testToken, "Content-Type: text/plain"); status != 415 {
		t.Errorf("a body of another type: %d", status)
	}
	if h.table.changes() != 0 || len(h.procs.sent()) != 0 {
		t.Errorf("bad requests changed something: %d faults, signals %v", h.table.changes(), h.procs.sent())
	}
}

func TestFaults(t *testing.T) {
	h := start(t)
	f := kernelfault.Fault{ID: "loss", Peers: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Only: kernelfault.UDP,
		Effect: kernelfault.Effect{Loss: 0.2}, TTL: time.Minute}
	g := f
	g.ID = "b"
	began := time.Now()
	at, err := h.client.Change(t.Context(), []kernelfault.Fault{f, g}, nil)
	if err != nil || at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Fatalf("%v %v", at, err)
	}
	if _, err := h.client.Change(t.Context(), nil, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	got, err := h.client.Faults(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]kernelfault.Active{{Fault: f, Remaining: time.Minute}}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if _, err := h.client.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := h.client.Faults(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after clearing: %v %v", got, err)
	}
	for kind, fail := range map[string]error{
		ProblemUnsupported:         fmt.Errorf("delay: %w", kernelfault.ErrUnsupported),
		httpapi.ProblemBadRequest:  fmt.Errorf("%w: 257", kernelfault.ErrTooMany),
		ProblemFault:               errors.New("the kernel is full"),
		httpapi.ProblemUnavailable: kernelfault.ErrClosed,
	} {
		h.table.mu.Lock()
		h.table.fail = fail
		h.table.mu.Unlock()
		if _, err := h.client.Change(t.Context(), []kernelfault.Fault{f}, nil); !isProblem(err, kind) {
			t.Errorf("%v is told as %v", fail, err)
		}
	}
	if list, err := h.client.Capabilities(t.Context()); err != nil || !cmp.Equal(list, capabilities()) {
		t.Errorf("%v %v", list, err)
	}
	if now, err := h.client.Clock(t.Context()); err != nil || now.IsZero() {
		t.Errorf("%v %v", now, err)
	}
	if err := h.stop(); err != nil || !h.table.closed {
		t.Errorf("the end: %v, table closed %v", err, h.table.closed)
	}
	if _, err := h.client.Clock(t.Context()); !errors.Is(err, httpapi.ErrNotReachable) || !strings.HasPrefix(err.Error(), "the fault agent is not reachable at ") {
		t.Error(err)
	}
}

// Whatever a body holds, it is refused or faults come out that are valid.
func FuzzRequests(f *testing.F) {
	f.Add(`{"put":[` + aFault + `],"drop":["b"]}`)
	f.Add(`{"put":[{"id":"a","peers":["fe80::1%eth0"],"effect":{"loss":1e400},"ttl_ns":-1}]}`)
	f.Add(`{"action":"start","env":{"HEARTBEAT_PROFILE":"lan"}}`)
	f.Add("[[[[[[")
	f.Fuzz(func(t *testing.T, body string) {
		req, err := readFaults(httptest.NewRequest("POST", "/v1/faults", strings.NewReader(body)))
		if err == nil {
			if len(req.Put)+len(req.Drop) == 0 || len(req.Put)+len(req.Drop) > maxFaults {
				t.Errorf("%d and %d faults", len(req.Put), len(req.Drop))
			}
			for _, f := range req.Put {
				if err := f.Validate(); err != nil {
					t.Error(err)
				}
			}
		}
		procs := &fakeProcesses{}
		s, err := newServer(ServerConfig{Faults: &fakeTable{}, Capabilities: capabilities, Logger: zerolog.Nop()}, procs)
		if err != nil {
			t.Fatal(err)
		}
		s.stop() // nothing may wait
		w := httptest.NewRecorder()
		_ = s.postAgent(deadlines{w}, httptest.NewRequest("POST", "/v1/agent", strings.NewReader(body))) // refused or not
		if len(procs.sent()) > 0 {
			t.Errorf("%q: signals without an agent: %v", body, procs.sent())
		}
	})
}

// deadlines is a recorder with the methods of a connection.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetReadDeadline(time.Time) error  { return nil }
func (deadlines) SetWriteDeadline(time.Time) error { return nil }

func FuzzStat(f *testing.F) {
	f.Add([]byte("12 (a) b) S 1 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 8123 1 1"))
	f.Add([]byte(") S"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseStat(data) }) // must not panic
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("12 (a) Z (b) S 1 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 8123 1 1"))
	if err != nil || got != (procStat{'S', 1, 8123}) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestSettings(t *testing.T) {
	for name, want := range map[string]bool{
		"HEARTBEAT_PROFILE": true, "HEARTBEAT_CLUSTER_SEEDS": true, "HEARTBEAT_PROBE_INTERVAL": true, "HEARTBEAT_SUSPICION_MULT": true,
		"HEARTBEAT_GOSSIP_NODES": true, "HEARTBEAT_MEMBERS_MAX": true, "HEARTBEAT_JOURNAL_SIZE": true, "HEARTBEAT_LEAVE_REJOIN": true,
		"HEARTBEAT_API_ADDRESS": false, "HEARTBEAT_API_TOKEN_FILE": false, "HEARTBEAT_TOKEN_FILE": false, "HEARTBEAT_DATA_DIR": false,
		"HEARTBEAT_ENCRYPTION_KEYRING": false, "HEARTBEAT_CONFIG": false, "HEARTBEAT_NODE_NAME": false, "HEARTBEAT_NETWORK_BIND": false,
		"HEARTBEAT_FAULT_ADDRESS": false, "LD_PRELOAD": false, "PATH": false, "GODEBUG": false, "": false, "HEARTBEAT_PROBE_": false,
		"HEARTBEAT_PROFILE_X": false, "heartbeat_probe_interval": false, "HEARTBEAT_PROBE_A=B": false, "HEARTBEAT_PROBE_A\nB": false,
	} {
		if got := CheckSettings(map[string]string{name: "secret value"}); (got == nil) != want || got != nil && strings.Contains(got.Error(), "secret") {
			t.Errorf("%q: %v", name, got)
		}
	}
	if CheckSettings(map[string]string{"HEARTBEAT_PROFILE": strings.Repeat("x", maxSetting)}) == nil ||
		CheckSettings(map[string]string{"HEARTBEAT_PROFILE": "a\x00b"}) == nil {
		t.Error("a value that is too long or no text is possible")
	}
	many := map[string]string{}
	for i := range maxSettings + 1 {
		many[fmt.Sprint("HEARTBEAT_PROBE_", i)] = ""
	}
	if CheckSettings(many) == nil {
		t.Error("too many settings are possible")
	}
}
