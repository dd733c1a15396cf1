package sidecar

import (
	"time"

	"heartbeat/simulator/kernelfault"
)

// DefaultAddress is where the fault agent listens unless told otherwise.
const DefaultAddress = "127.0.0.1:7981"

// The states of the agent beside a fault agent.
const (
	Stopped = "stopped" // there is no process
	Held    = "held"    // a process waits at the gate
	Running = "running"
	Frozen  = "frozen" // stopped by SIGSTOP, whoever sent it
)

// Agent answers GET /v1/agent.
type Agent struct {
	// State is Stopped, Held, Running or Frozen.
	State string `json:"state"`
	// PID is the process's id in the namespace that it shares with the fault
	// agent; 0 when there is none.
	PID int `json:"pid"`
	// Hold tells that the next process has to wait at the gate.
	Hold bool `json:"hold"`
	// Ended is when the process before was seen to have ended, at most some
	// 30 ms late; nil when none has.
	Ended *time.Time `json:"ended"`
}

// The actions of AgentRequest.
const (
	actionKill   = "kill"
	actionHold   = "hold"
	actionStart  = "start"
	actionFreeze = "freeze"
	actionThaw   = "thaw"
)

// LeaseRequest is the body of POST /v1/lease.
type LeaseRequest struct {
	// Holder names who takes the lease: 1 to 64 letters, digits, dots, dashes
	// and underscores.
	Holder string `json:"holder"`
	// TTL is when it ends unless renewed, at most 5 minutes; 0 ends it.
	TTL time.Duration `json:"ttl_ns"`
}

// ClearRequest is the body of DELETE /v1/faults.
type ClearRequest struct {
	// Holder has to be the lease's while somebody holds it, here and in other
	// requests.
	Holder string `json:"holder,omitempty"`
}

// AgentRequest is the body of POST /v1/agent.
type AgentRequest struct {
	Holder string `json:"holder,omitempty"`
	// Action is kill, hold, start, freeze or thaw.
	Action string `json:"action"`
	// Env goes with start: settings for the agent's environment, which count
	// until the next start. See CheckSettings for those that are possible.
	Env map[string]string `json:"env,omitempty"`
}

// Done answers requests that change something.
type Done struct {
	// At is when the change had taken effect, by the fault agent's clock; of a
	// thaw the moment before it.
	At time.Time `json:"at"`
}

// FaultsRequest is the body of POST /v1/faults. Faults in Put replace those
// with the same id, and everything takes effect in one step.
type FaultsRequest struct {
	Holder string `json:"holder,omitempty"`

	Put  []kernelfault.Fault `json:"put,omitempty"`
	Drop []string            `json:"drop,omitempty"`
}

// Faults answers GET /v1/faults.
type Faults struct {
	Faults []kernelfault.Active `json:"faults"`
}

// Gate answers GET /v1/gate.
type Gate struct {
	// Go tells that the agent may start; otherwise ask again.
	Go bool `json:"go"`
	// Env is what its environment has in addition.
	Env map[string]string `json:"env"`
}

// Clock answers GET /v1/clock.
type Clock struct {
	Now time.Time `json:"now"`
}

// Capabilities answers GET /v1/capabilities.
type Capabilities struct {
	Capabilities []kernelfault.Capability `json:"capabilities"`
}
