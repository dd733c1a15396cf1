// Package httpapi is a node's HTTP API: the server that the agent runs, the
// JSON types that travel, and the client that the CLI, the simulator and
// embedders use.
//
// The API is versioned by its path (/v1). Within a version fields are only
// added, never removed or given another meaning, so a client must ignore
// fields it does not know; the server, however, refuses unknown fields in a
// request, because a misspelt field of a change must not be skipped silently.
// docs/api.md describes every route and field; a test keeps it complete.
//
// Times are RFC 3339 with nanoseconds, in UTC; fields that end in _ms are
// milliseconds, possibly with a fraction. Errors are application/problem+json
// (RFC 9457) with an additional hint: what to do next.
package httpapi
