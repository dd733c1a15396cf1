package sidecar

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"heartbeat/simulator/kernelfault"
)

// docs/faults.md speaks of every route, field, action, state, setting and
// problem of this API.
func TestDocsAreComplete(t *testing.T) {
	data, err := os.ReadFile("../../" + docsPage)
	if err != nil {
		t.Fatal(err)
	}
	needs := func(what, text string) {
		t.Helper()
		if !strings.Contains(string(data), "`"+text+"`") {
			t.Errorf("%s does not mention %s `%s`", docsPage, what, text)
		}
	}
	for _, rt := range new(Server).routes() {
		needs("route", rt.Method+" "+rt.Path)
	}
	for _, v := range []any{Agent{}, AgentRequest{}, Done{}, FaultsRequest{}, Faults{}, LeaseRequest{}, ClearRequest{}, Gate{}, Clock{}, Capabilities{},
		kernelfault.Fault{}, kernelfault.Active{}, kernelfault.Effect{}, kernelfault.Capability{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				needs("field", name)
			}
		}
	}
	for _, action := range []string{actionKill, actionHold, actionStart, actionFreeze, actionThaw} {
		needs("action", action)
	}
	for _, state := range []string{Stopped, Held, Running, Frozen} {
		needs("state", state)
	}
	for _, name := range settable {
		needs("setting", name)
	}
	for _, kind := range []string{ProblemAgentState, ProblemUnsupported, ProblemSignal, ProblemFault, ProblemLease} {
		needs("problem", strings.TrimPrefix(kind, "urn:heartbeat:problem:"))
	}
}
