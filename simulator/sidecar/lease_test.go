package sidecar

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"heartbeat/simulator/kernelfault"
)

// While somebody holds the lease nobody else changes anything.
func TestLease(t *testing.T) {
	h := start(t)
	agent := h.procs.appear(12, 34)
	if _, err := h.server.agent.knock(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	h.procs.change(agent, func(p *fakeProcess) { p.command = "agent" })
	other := h.newClient(t, testToken)
	h.client.holder, other.holder = "first", "second"
	lease := func(c *Client, ttl time.Duration) {
		t.Helper()
		if _, err := c.Lease(t.Context(), ttl); err != nil {
			t.Fatal(err)
		}
	}
	change := func(c *Client) map[string]error {
		fault := kernelfault.Fault{ID: "a", Peers: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Effect: kernelfault.Effect{Cut: true}, TTL: time.Minute}
		errs := map[string]error{}
		_, errs["change"] = c.Change(t.Context(), []kernelfault.Fault{fault}, nil)
		_, errs["clear"] = c.Clear(t.Context())
		_, errs["freeze"] = c.Freeze(t.Context())
		_, errs["thaw"] = c.Thaw(t.Context())
		_, errs["hold"] = c.Hold(t.Context())
		return errs
	}
	lease(h.client, time.Minute)
	lease(h.client, time.Minute) // renewed
	calls, signals := h.table.changes(), len(h.procs.sent())
	errs := change(other)
	_, errs["lease"] = other.Lease(t.Context(), time.Minute)
	_, errs["release"] = other.Lease(t.Context(), 0)
	other.holder = ""
	_, errs["clear by nobody"] = other.Clear(t.Context())
	for what, err := range errs {
		if !isProblem(err, ProblemLease) || !strings.Contains(err.Error(), "first holds it since 2") {
			t.Errorf("%s by another one: %v", what, err)
		}
	}
	if h.table.changes() != calls || len(h.procs.sent()) != signals {
		t.Error("what was refused changed something")
	}
	for what, err := range change(h.client) {
		if err != nil {
			t.Errorf("%s by the holder: %v", what, err)
		}
	}
	lease(h.client, 0)
	other.holder = "second"
	lease(other, time.Millisecond) // and does not renew it
	eventually(t, func() error {
		_, err := h.client.Lease(t.Context(), time.Minute)
		return err
	})
	if errs := change(other); !isProblem(errs["clear"], ProblemLease) {
		t.Errorf("after it was lost: %v", errs["clear"])
	}
}

func TestLeaseBounds(t *testing.T) {
	h := start(t)
	for _, body := range []string{`{}`, `{"holder":"a b","ttl_ns":1}`, `{"holder":"a","ttl_ns":-1}`, `{"holder":"a","ttl_ns":300000000001}`,
		`{"holder":"` + strings.Repeat("a", 65) + `","ttl_ns":1}`} {
		if status, answer := h.do(t, "POST", "/v1/lease", body, "Authorization: Bearer "+testToken); status != 400 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
