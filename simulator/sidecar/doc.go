// Package sidecar is the fault agent, which stands beside a heartbeat agent in
// its network and process namespaces: it does faults to what the agent
// receives, and kills, freezes and starts the agent itself. The package has the
// server, the client, and the gate through which the agent starts.
//
// The agent's command is run by the gate (Client.Pass), which asks the fault
// agent first. So a killed agent, which the container engine brings back at
// once, waits there until it is to start; and no container engine's socket is
// needed for any of it.
//
// The API has the manners of a node's (package httpapi) and asks for the token
// with every request. docs/faults.md describes it; a test keeps it complete.
package sidecar
