package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"heartbeat/gossip"
)

const (
	testKey   = "AAECAwQFBgcICQoLDA0ODw=="
	otherKey  = "EBESExQVFhcYGRobHB0eHw=="
	testToken = "0123456789abcdef-token"
)

func keyring(tb testing.TB) *gossip.Keyring {
	tb.Helper()
	ring, err := gossip.NewKeyring(testKey)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

func keyID(tb testing.TB, text string) string {
	tb.Helper()
	key, err := gossip.ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return gossip.KeyID(key)
}

// indent makes one answer readable in a golden file.
func indent(t *testing.T, status int, header http.Header, body string) string {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", status, header.Get("Content-Type"))
	if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return b.String()
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name, method, path, body string
		change                   func(*fakeNode)
	}{
		{"members", "GET", "/v1/members", "", nil},
		{"members-filtered", "GET", "/v1/members?state=alive,suspect&name=n?&tag=role=*&tag=path=a*b", "", nil},
		{"members-none", "GET", "/v1/members?state=left", "", nil},
		{"member", "GET", "/v1/members/n2", "", nil},
		{"member-unknown", "GET", "/v1/members/n9", "", nil},
		{"info", "GET", "/v1/info", "", nil},
		{"journal", "GET", "/v1/journal", "", nil},
		{"journal-of-one", "GET", "/v1/journal?member=n3", "", nil},
		{"journal-of-a-removed", "GET", "/v1/journal?member=gone", "", nil},
		{"journal-of-a-quiet", "GET", "/v1/journal?member=n2", "", nil},
		{"journal-unknown", "GET", "/v1/journal?member=n9", "", nil},
		{"why-suspect", "GET", "/v1/why/n3", "", nil},
		{"why-failed", "GET", "/v1/why/n4", "", nil},
		{"why-removed", "GET", "/v1/why/gone", "", nil},
		{"why-unknown", "GET", "/v1/why/n9", "", nil},
		{"partitions", "GET", "/v1/partitions", "", nil},
		{"partitions-without-digests", "GET", "/v1/partitions", "", func(n *fakeNode) { n.digestsOff = true }},
		{"join", "POST", "/v1/join", `{"seeds":["n2","nowhere"]}`, nil},
		{"join-failed", "POST", "/v1/join", `{"seeds":["n2"]}`, func(n *fakeNode) {
			n.join = func(context.Context) (gossip.JoinResult, error) {
				failed := []*gossip.SeedError{{Seed: "n2", Addr: "10.0.0.2:7946", Err: errors.New("connection refused")}, {Seed: "n3", Err: errors.New("no such host")}}
				return gossip.JoinResult{Failed: failed}, errors.Join(failed[0], failed[1])
			}
		}},
		{"join-left", "POST", "/v1/join", `{"seeds":["n2"]}`, func(n *fakeNode) {
			n.join = func(context.Context) (gossip.JoinResult, error) { return gossip.JoinResult{}, gossip.ErrLeft }
		}},
		{"join-canceled", "POST", "/v1/join", `{"seeds":["n2"]}`, func(n *fakeNode) {
			n.join = func(context.Context) (gossip.JoinResult, error) {
				return gossip.JoinResult{}, fmt.Errorf("joining was given up: %w", context.DeadlineExceeded)
			}
		}},
		{"leave", "POST", "/v1/leave", `{}`, nil},
		{"leave-unheard", "POST", "/v1/leave", `{}`, func(n *fakeNode) { n.leaveErr = errors.New("the leave may not have reached the others") }},
		{"leave-closed", "POST", "/v1/leave", `{}`, func(n *fakeNode) { n.leaveErr = gossip.ErrClosed }},
		{"force-leave", "POST", "/v1/force-leave", `{"name":"n4","prune":true}`, nil},
		{"force-leave-unknown", "POST", "/v1/force-leave", `{"name":"n9"}`, func(n *fakeNode) { n.forceErr = fmt.Errorf("%w: %q", gossip.ErrNoSuchMember, "n9") }},
		{"force-leave-alive", "POST", "/v1/force-leave", `{"name":"n2"}`, func(n *fakeNode) { n.forceErr = fmt.Errorf("%w: %q is alive", gossip.ErrNotFailed, "n2") }},
		{"tags", "GET", "/v1/tags", "", nil},
		{"tags-update", "PATCH", "/v1/tags", `{"set":{"zone":"b"},"remove":["x"]}`, nil},
		{"tags-too-long", "PATCH", "/v1/tags", `{"set":{"zone":"b"}}`, func(n *fakeNode) { n.tagsErr = errors.New("the tags stay as they were: too long") }},
		{"tags-left", "PATCH", "/v1/tags", `{"set":{"zone":"b"}}`, func(n *fakeNode) { n.tagsErr = gossip.ErrLeft }},
		{"keys", "GET", "/v1/keys", "", func(n *fakeNode) { n.ring = keyring(t) }},
		{"keys-none", "GET", "/v1/keys", "", nil},
		{"keys-install", "POST", "/v1/keys", `{"action":"install","key":"` + otherKey + `"}`, func(n *fakeNode) { n.ring = keyring(t) }},
		{"keys-use-unknown", "POST", "/v1/keys", `{"action":"use","id":"0123456789abcdef"}`, func(n *fakeNode) { n.ring = keyring(t) }},
		{"keys-remove-primary", "POST", "/v1/keys", `{"action":"remove","id":"` + keyID(t, testKey) + `"}`, func(n *fakeNode) { n.ring = keyring(t) }},
		{"health", "GET", "/healthz", "", nil},
		{"ready", "GET", "/readyz", "", nil},
		{"ready-left", "GET", "/readyz", "", func(n *fakeNode) { n.left = true }},
		{"unknown-path", "GET", "/v2/members", "", nil},
		{"unclean-path", "GET", "/v1//members", "", nil},
		{"unknown-method", "DELETE", "/v1/tags", "{}", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := start127(t, nil)
			if tc.change != nil {
				tc.change(h.node)
			}
			status, header, body := h.do(t, tc.method, tc.path, tc.body)
			golden(t, tc.name, indent(t, status, header, body))
			if header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
			if status == http.StatusMethodNotAllowed && header.Get("Allow") != "GET, HEAD, PATCH" {
				t.Errorf("Allow: %q", header.Get("Allow"))
			}
		})
	}
}

// What cannot be understood is refused, changes nothing, and is not shown back.
func TestBadRequests(t *testing.T) {
	h := start127(t, nil)
	h.node.ring = keyring(t)
	many := strings.Repeat(`"a",`, maxSeeds) + `"a"`
	for _, tc := range []struct {
		method, path, body, detail string
	}{
		{"GET", "/v1/members?sate=alive", "", `did you mean "state"`},
		{"GET", "/v1/members?state=dead", "", `state "dead" is not known`},
		{"GET", "/v1/members?state=", "", `state "" is not known`},
		{"GET", "/v1/members?tag=role", "", `not of the form key=pattern`},
		{"GET", "/v1/members?" + strings.Repeat("tag=a=b&", maxTagFilters+1), "", `too many`},
		{"GET", "/v1/members?name=" + strings.Repeat("*", maxPattern+1), "", `longer than 256 bytes`},
		{"GET", "/v1/members?name=%ff", "", `no valid UTF-8`},
		{"GET", "/v1/members?name=a&name=b", "", `more than once`},
		{"GET", "/v1/members?name=%zz", "", `query cannot be parsed`},
		{"GET", "/v1/members/n1?x=1", "", `not known here`},
		{"GET", "/v1/info?x=1", "", `not known here`},
		{"GET", "/v1/journal?membr=n1", "", `did you mean "member"`},
		{"GET", "/v1/why/n3?member=n3", "", `not known here`},
		{"GET", "/v1/tags?x=1", "", `not known here`},
		{"GET", "/v1/keys?x=1", "", `not known here`},
		{"GET", "/v1/events?since=x", "", `not of the form epoch-number`},
		{"GET", "/v1/events?since=" + testEpoch + "-1&backlog=2", "", `given together`},
		{"GET", "/v1/events?backlog=-1", "", `no whole number`},
		{"GET", "/v1/events?state=x", "", `not known`},
		{"GET", "/v1/events?tag=a=b", "", `not known here`},
		{"GET", "/v1/logs?level=loud", "", `level "loud" is not known`},
		{"GET", "/v1/logs?lvl=info", "", `not known here`},
		{"POST", "/v1/join", `{"seeds":[]}`, `0 seeds`},
		{"POST", "/v1/join", `{"seeds":[` + many + `]}`, `65 seeds`},
		{"POST", "/v1/join", `{"seed":["a"]}`, `a field that this request does not have`},
		{"POST", "/v1/join", `{"seeds":"a"}`, `field seeds has the wrong type`},
		{"POST", "/v1/join", `["a"]`, `not the JSON object`},
		{"POST", "/v1/join", `{"seeds":["a"]} {}`, `more than one JSON value`},
		{"POST", "/v1/join", `{"seeds":["a"]} x`, `not the JSON object`},
		{"POST", "/v1/join", `{"seeds":["a"`, `not the JSON object`},
		{"POST", "/v1/leave", `{"now":true}`, `a field that this request does not have`},
		{"POST", "/v1/force-leave", `{"name":""}`, `name is missing`},
		{"PATCH", "/v1/tags", `{}`, `nothing to set`},
		{"PATCH", "/v1/tags", `{"set":{"a":"b"},"remove":["a"]}`, `set and removed at once`},
		{"PATCH", "/v1/tags", `{"set":{"":"b"}}`, `without a key`},
		{"POST", "/v1/keys", `{"action":"forget","id":"0123456789abcdef"}`, `not one of those for keys`},
		{"POST", "/v1/keys", `{"action":"use","key":"` + otherKey + `"}`, `not one of those for keys`},
		{"POST", "/v1/keys", `{"action":"use","id":"` + otherKey + `"}`, `not one of those for keys`},
		{"POST", "/v1/keys", `{"action":"remove","id":"` + otherKey + `"}`, `not one of those for keys`},
		{"POST", "/v1/keys", `{"action":"install","key":"` + otherKey + `","id":"0123456789abcdef"}`, `not one of those for keys`},
		{"POST", "/v1/keys", `{"action":"install","key":"EBESExQV"}`, `the key has 6 bytes`},
		{"POST", "/v1/keys", `{"action":"install","key":1234567890}`, `field key has the wrong type`},
	} {
		status, header, body := h.do(t, tc.method, tc.path, tc.body)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || header.Get("Content-Type") != typeProblem {
			t.Errorf("%s %s %s: %q is no problem: %v", tc.method, tc.path, tc.body, body, err)
			continue
		}
		if status != http.StatusBadRequest || p.Status != status || p.Type != ProblemBadRequest || p.Title == "" || p.Hint == "" {
			t.Errorf("%s %s %s: %d %+v", tc.method, tc.path, tc.body, status, p)
		}
		if !strings.Contains(p.Detail, tc.detail) {
			t.Errorf("%s %s %s: detail %q lacks %q", tc.method, tc.path, tc.body, p.Detail, tc.detail)
		}
		if strings.Contains(body, otherKey) || strings.Contains(body, "EBES") || strings.Contains(body, "1234567890") {
			t.Errorf("%s %s: the answer shows what may be a key: %s", tc.method, tc.path, body)
		}
	}
	if got := h.node.changes(); len(got) != 0 {
		t.Errorf("refused requests changed something: %v", got)
	}
	if keys := h.node.ring.List(); len(keys) != 1 {
		t.Errorf("refused requests changed the keys: %v", keys)
	}
}

func TestBodyTooLarge(t *testing.T) {
	h := start127(t, nil)
	status, _, body := h.do(t, "POST", "/v1/join", `{"seeds":["`+strings.Repeat("a", maxBody)+`"]}`)
	if status != http.StatusRequestEntityTooLarge || !strings.Contains(body, ProblemTooLarge) {
		t.Errorf("%d %s", status, body)
	}
	if got := h.node.changes(); len(got) != 0 {
		t.Errorf("a refused request changed something: %v", got)
	}
}

// The server answers 431 and closes; since it does not read the rest, the
// client may see a reset instead of the answer.
func TestHeaderTooLarge(t *testing.T) {
	h := start127(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", h.base+"/v1/info", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Big", strings.Repeat("a", maxHeader+8<<10))
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// The hook runs once, after the node has left, whether all others heard of it
// or not; a node that is closed did not leave.
func TestLeaveEndsTheAgent(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
	}{{"heard", nil}, {"unheard", errors.New("timeout")}} {
		t.Run(tc.name, func(t *testing.T) {
			h := start127(t, nil)
			h.node.leaveErr = tc.err
			err := h.client.Leave(t.Context())
			if (err == nil) != (tc.err == nil) {
				t.Errorf("Leave: %v", err)
			}
			<-h.left
			_ = h.client.Leave(t.Context())
			h.stop()
			if len(h.left) != 0 {
				t.Error("the hook ran twice")
			}
		})
	}
}

// A bug in a handler costs one answer and not the agent.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Logger = lockedLogger(&log) })
	h.node.join = func(context.Context) (gossip.JoinResult, error) { panic("a bug") }
	_, err := h.client.Join(t.Context(), []string{"a"})
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != http.StatusInternalServerError || refused.Type != ProblemInternal {
		t.Errorf("%v", err)
	}
	if strings.Contains(fmt.Sprint(refused), "a bug") {
		t.Error("the answer shows the inside of the agent")
	}
	if _, err := h.client.Info(t.Context()); err != nil {
		t.Errorf("the agent does not go on: %v", err)
	}
	h.stop()
	if !strings.Contains(log.String(), `"panic":"a bug"`) {
		t.Errorf("the log does not tell: %s", &log)
	}
}

// Keys appear in no answer and in no line of the log.
func TestKeysStaySecret(t *testing.T) {
	var log bytes.Buffer
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.Logger = lockedLogger(&log) })
	h.node.ring = keyring(t)
	id, err := h.client.InstallKey(t.Context(), otherKey)
	if err != nil || id != keyID(t, otherKey) {
		t.Fatalf("%q %v", id, err)
	}
	if err := h.client.UseKey(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := h.client.RemoveKey(t.Context(), keyID(t, testKey)); err != nil {
		t.Fatal(err)
	}
	keys, err := h.client.Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0] != (Key{ID: id, Bits: 128, Primary: true}) {
		t.Errorf("%+v %v", keys, err)
	}
	_, _, body := h.do(t, "GET", "/v1/keys", "")
	h.stop()
	for _, secret := range []string{testKey, otherKey} {
		if strings.Contains(log.String(), secret) || strings.Contains(body, secret) {
			t.Errorf("a key is shown: %s %s", body, &log)
		}
	}
	if strings.Count(log.String(), "the keyring was changed") != 3 {
		t.Errorf("the log does not tell of three changes: %s", &log)
	}
}
