package sidecar

import (
	"net/http"

	"heartbeat/gossip/httpapi"
)

// Types of problems that this API has in addition to those of package httpapi.
const (
	ProblemAgentState  = "urn:heartbeat:problem:agent-state"
	ProblemUnsupported = "urn:heartbeat:problem:unsupported"
	ProblemSignal      = "urn:heartbeat:problem:signal"
	ProblemFault       = "urn:heartbeat:problem:fault"
	ProblemLease       = "urn:heartbeat:problem:lease"
)

// docsPage explains the API.
const docsPage = "docs/faults.md"

var errStopping = httpapi.NewProblem(http.StatusServiceUnavailable, httpapi.ProblemUnavailable, "this cannot be done now",
	"the fault agent is stopping", "try again when it runs")

func stateProblem(detail, hint string) error {
	return httpapi.NewProblem(http.StatusConflict, ProblemAgentState, "the agent's state does not allow this", detail, hint)
}

func unknownAgent() error {
	return stateProblem("no agent has come to the gate yet", "run the agent by `heartbeat fault gate -- heartbeat agent`")
}

func signalProblem(err error) error {
	return httpapi.NewProblem(http.StatusInternalServerError, ProblemSignal, "the agent could not be signalled", err.Error(),
		"the fault agent needs CAP_KILL when the agent runs as another user")
}
