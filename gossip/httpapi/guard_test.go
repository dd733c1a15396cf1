package httpapi

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// mutations has a valid request for every route that changes something.
var mutations = []struct{ method, path, body string }{
	{"POST", "/v1/join", `{"seeds":["n2"]}`},
	{"POST", "/v1/leave", `{}`},
	{"POST", "/v1/force-leave", `{"name":"n4"}`},
	{"PATCH", "/v1/tags", `{"set":{"a":"b"}}`},
	{"POST", "/v1/keys", `{"action":"install","key":"` + otherKey + `"}`},
}

// Every route with a method other than GET has to be in mutations, so that the
// tests below speak of all of them.
func TestMutationsAreComplete(t *testing.T) {
	for _, rt := range new(Server).table() {
		listed := slices.ContainsFunc(mutations, func(m struct{ method, path, body string }) bool { return m.method == rt.Method && m.path == rt.Path })
		if listed != (rt.Method != http.MethodGet) {
			t.Errorf("%s %s: in mutations %v", rt.Method, rt.Path, listed)
		}
	}
}

// refusals are headers that must keep any change from happening.
var refusals = []struct {
	name    string
	status  int
	headers []string
}{
	{"no token", 401, nil},
	{"empty token", 401, []string{"Authorization: Bearer "}},
	{"another token", 401, []string{"Authorization: Bearer " + testToken + "x"}},
	{"part of the token", 401, []string{"Authorization: Bearer " + testToken[:16]}},
	{"another scheme", 401, []string{"Authorization: Basic " + testToken}},
	{"no scheme", 401, []string{"Authorization: " + testToken}},
	{"foreign host", 403, []string{"Authorization: Bearer " + testToken, "Host: evil.example:7980"}},
	{"foreign address", 403, []string{"Authorization: Bearer " + testToken, "Host: 10.0.0.1"}},
	{"almost localhost", 403, []string{"Authorization: Bearer " + testToken, "Host: localhost.evil.example"}},
	{"origin", 403, []string{"Authorization: Bearer " + testToken, "Origin: http://127.0.0.1:7980"}},
	{"null origin", 403, []string{"Authorization: Bearer " + testToken, "Origin: null"}},
	{"cross-site", 403, []string{"Authorization: Bearer " + testToken, "Sec-Fetch-Site: cross-site"}},
	{"same-origin", 403, []string{"Authorization: Bearer " + testToken, "Sec-Fetch-Site: same-origin"}},
	{"a form", 415, []string{"Authorization: Bearer " + testToken, "Content-Type: application/x-www-form-urlencoded"}},
	{"plain text", 415, []string{"Authorization: Bearer " + testToken, "Content-Type: text/plain"}},
	{"no type", 415, []string{"Authorization: Bearer " + testToken, "Content-Type: "}},
}

func TestNothingChangesWithoutPermission(t *testing.T) {
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Token = testToken })
	h.node.ring = keyring(t)
	for _, m := range mutations {
		for _, r := range refusals {
			status, header, body := h.do(t, m.method, m.path, m.body, r.headers...)
			if status != r.status || header.Get("Content-Type") != typeProblem {
				t.Errorf("%s %s, %s: %d %s", m.method, m.path, r.name, status, body)
			}
			if (status == 401) != (header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s %s, %s: WWW-Authenticate %q", m.method, m.path, r.name, header.Get("WWW-Authenticate"))
			}
		}
	}
	if got := h.node.changes(); len(got) != 0 {
		t.Errorf("refused requests changed something: %v", got)
	}
	if keys := h.node.ring.List(); len(keys) != 1 {
		t.Errorf("refused requests changed the keys: %v", keys)
	}
	// The same requests are valid, or the test above would show nothing.
	for _, m := range mutations {
		if status, _, body := h.do(t, m.method, m.path, m.body, "Authorization: bearer "+testToken); status != 200 {
			t.Errorf("%s %s with the token: %d %s", m.method, m.path, status, body)
		}
	}
	if got := h.node.changes(); len(got) != len(mutations)-1 {
		t.Errorf("permitted requests: %v", got)
	}
}

func TestReadingWithToken(t *testing.T) {
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Token = testToken })
	paths := []string{"/v1/nowhere", "/"}
	for _, rt := range h.server.table() {
		paths = append(paths, rt.Path)
	}
	for _, path := range paths {
		want := 401
		if path == "/healthz" || path == "/readyz" {
			want = 200
		}
		if status, _, _ := h.do(t, "GET", path, ""); status != want {
			t.Errorf("GET %s without token: %d, want %d", path, status, want)
		}
	}
	if status, _, _ := h.do(t, "GET", "/healthz", "", "Origin: http://evil.example"); status != 403 {
		t.Errorf("a page may read /healthz: %d", status)
	}
}

func TestHosts(t *testing.T) {
	for _, tc := range []struct {
		host string
		want int
	}{
		{"127.0.0.1:7980", 200}, {"127.0.0.1", 200}, {"127.9.9.9:1", 200}, {"localhost", 200}, {"LocalHost:80", 200}, {"localhost.", 200},
		{"[::1]:7980", 200}, {"[::1]", 200}, {"[::ffff:127.0.0.1]:1", 200}, {"proxy.internal", 200}, {"Proxy.Internal:443", 200},
		{"evil.example", 403}, {"127.0.0.1.evil.example", 403}, {"0.0.0.0", 403}, {"192.168.0.1", 403}, {"[::]", 403}, {"a.localhost", 403},
	} {
		h := guard{hosts: []string{"proxy.internal"}, loopback: func(*http.Request) bool { return true }}
		r := httptest.NewRequest("GET", "/v1/info", nil)
		r.Host = tc.host
		got := 200
		if p := h.check(r); p != nil {
			got = p.Status
		}
		if got != tc.want {
			t.Errorf("Host %q: %d, want %d", tc.host, got, tc.want)
		}
		h.loopback = func(*http.Request) bool { return false }
		if p := h.check(r); p != nil {
			t.Errorf("Host %q elsewhere than on loopback: %d", tc.host, p.Status)
		}
	}
}

func TestLoopbackIsKnownByTheConnection(t *testing.T) {
	for addr, want := range map[net.Addr]bool{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}: true,
		&net.TCPAddr{IP: net.IPv6loopback}:       true,
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}:  false,
		&net.UnixAddr{Name: "/run/a.sock"}:       false,
		net.Addr(nil):                            true,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if addr != nil {
			r = r.WithContext(contextWithLocal(r, addr))
		}
		if got := onLoopback(r); got != want {
			t.Errorf("%v: %v", addr, got)
		}
	}
}

func TestTokenMustBeStrong(t *testing.T) {
	for _, token := range []string{"short", "fifteen-bytes-x", "has a space in it 123", "has-an-umlaut-ä-12345", "line\nbreak-1234567890"} {
		_, err := New(ServerConfig{Node: newFakeNode(t), Ready: func() (bool, string) { return true, "" }, Token: token})
		if err == nil {
			t.Errorf("token %q was taken", token)
		}
	}
	if _, err := New(ServerConfig{}); err == nil {
		t.Error("a server without a node was made")
	}
}

// A listener that others can reach is refused although the agent did not ask.
func TestServeRefusesExposure(t *testing.T) {
	for _, tc := range []struct {
		token  string
		tls    *tls.Config
		served bool
	}{
		{"", nil, false},
		{"", &tls.Config{}, false},
		{testToken, nil, true},
		{"", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, true},
	} {
		s, err := New(ServerConfig{Node: newFakeNode(t), Ready: func() (bool, string) { return true, "" }, Token: tc.token, TLS: tc.tls})
		if err != nil {
			t.Fatal(err)
		}
		err = s.checkListener(fakeListener{addr: &net.TCPAddr{IP: net.IPv4zero, Port: 7980}})
		if (err == nil) != tc.served {
			t.Errorf("%+v: %v", tc, err)
		}
		if err := s.checkListener(fakeListener{addr: &net.UnixAddr{Name: "/run/a.sock"}}); err != nil {
			t.Errorf("a unix socket: %v", err)
		}
	}
	s, err := New(ServerConfig{Node: newFakeNode(t), Ready: func() (bool, string) { return true, "" }})
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	if err := s.Serve(t.Context(), fakeListener{addr: &net.TCPAddr{IP: net.IPv4zero}, closed: closed}); err == nil {
		t.Error("an exposed listener was served")
	}
	<-closed
}

type fakeListener struct {
	net.Listener
	addr   net.Addr
	closed chan struct{}
}

func (l fakeListener) Addr() net.Addr { return l.addr }
func (l fakeListener) Close() error   { close(l.closed); return nil }

func TestOpenAreOnlyHealthAndReadiness(t *testing.T) {
	sum := hash(testToken)
	g := guard{token: &sum, loopback: func(*http.Request) bool { return false }}
	for _, path := range []string{"/healthz/", "/healthz/../v1/info", "//healthz", "/HEALTHZ", "/v1/info?x=/healthz", "/healthz%2f"} {
		r := httptest.NewRequest("GET", path, nil)
		if p := g.check(r); p == nil {
			t.Errorf("%s needs no token", path)
		}
	}
}
