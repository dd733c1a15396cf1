package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"heartbeat/gossip"
)

// Types of problems: stable names that programs may compare.
const (
	ProblemBadRequest     = "urn:heartbeat:problem:bad-request"
	ProblemUnauthorised   = "urn:heartbeat:problem:unauthorised"
	ProblemForbidden      = "urn:heartbeat:problem:forbidden"
	ProblemNoSuchRoute    = "urn:heartbeat:problem:no-such-route"
	ProblemMethod         = "urn:heartbeat:problem:method-not-allowed"
	ProblemContentType    = "urn:heartbeat:problem:content-type"
	ProblemTooLarge       = "urn:heartbeat:problem:too-large"
	ProblemNoSuchMember   = "urn:heartbeat:problem:no-such-member"
	ProblemNotFailed      = "urn:heartbeat:problem:not-failed"
	ProblemNoSuchKey      = "urn:heartbeat:problem:no-such-key"
	ProblemPrimaryKey     = "urn:heartbeat:problem:primary-key"
	ProblemKeyringFull    = "urn:heartbeat:problem:keyring-full"
	ProblemNoKeyring      = "urn:heartbeat:problem:no-keyring"
	ProblemNoDigest       = "urn:heartbeat:problem:no-digest"
	ProblemKeyring        = "urn:heartbeat:problem:keyring"
	ProblemLeft           = "urn:heartbeat:problem:left"
	ProblemJoinFailed     = "urn:heartbeat:problem:join-failed"
	ProblemTooManyStreams = "urn:heartbeat:problem:too-many-streams"
	ProblemUnavailable    = "urn:heartbeat:problem:unavailable"
	ProblemTimeout        = "urn:heartbeat:problem:timeout"
	ProblemInternal       = "urn:heartbeat:problem:internal"
)

// titles says what each type is, the same for all its occurrences.
var titles = map[string]string{
	ProblemBadRequest:     "the request cannot be understood",
	ProblemUnauthorised:   "a token is needed",
	ProblemForbidden:      "the request is refused",
	ProblemNoSuchRoute:    "no such path",
	ProblemMethod:         "the path does not know this method",
	ProblemContentType:    "the body's type is not JSON",
	ProblemTooLarge:       "the body is too large",
	ProblemNoSuchMember:   "no such member",
	ProblemNotFailed:      "the member is not failed",
	ProblemNoSuchKey:      "no such key",
	ProblemPrimaryKey:     "the primary key cannot be removed",
	ProblemKeyringFull:    "the keyring is full",
	ProblemNoKeyring:      "encryption is not enabled",
	ProblemNoDigest:       "digests are turned off",
	ProblemKeyring:        "the keyring could not be changed",
	ProblemLeft:           "the node has left",
	ProblemJoinFailed:     "no seed answered",
	ProblemTooManyStreams: "too many streams",
	ProblemUnavailable:    "the node cannot do this now",
	ProblemTimeout:        "it took too long",
	ProblemInternal:       "the agent failed",
}

// problem is an error that says how it is to be answered.
type problem struct {
	Problem
}

func (p *problem) Error() string { return p.Detail }

func newProblem(status int, kind, detail, hint string) *problem {
	return &problem{Problem{Type: kind, Title: titles[kind], Status: status, Detail: detail, Hint: hint}}
}

// NewProblem is an error of a handler that is answered with this status and
// type; title says what the type is, detail and hint are for this occurrence.
func NewProblem(status int, kind, title, detail, hint string) error {
	return &problem{Problem{Type: kind, Title: title, Status: status, Detail: detail, Hint: hint}}
}

// BadRequest is NewProblem for a request that cannot be understood.
func BadRequest(detail, hint string) error { return badRequest(detail, hint) }

func badRequest(detail, hint string) *problem {
	return newProblem(http.StatusBadRequest, ProblemBadRequest, detail, hint)
}

// asProblem finds the answer to an error of a handler or of the node.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	detail := err.Error()
	switch {
	case errors.Is(err, gossip.ErrNoSuchMember):
		return newProblem(http.StatusNotFound, ProblemNoSuchMember, detail, "list the members to see the names that are known here")
	case errors.Is(err, gossip.ErrNotFailed):
		return newProblem(http.StatusConflict, ProblemNotFailed, detail, "a running member would refute it: stop its agent, or make it leave; one that has left can be pruned")
	case errors.Is(err, gossip.ErrNoSuchKey):
		return newProblem(http.StatusNotFound, ProblemNoSuchKey, detail, "list the keys to see their ids, or install the key first")
	case errors.Is(err, gossip.ErrPrimaryKey):
		return newProblem(http.StatusConflict, ProblemPrimaryKey, detail, "use another key first")
	case errors.Is(err, gossip.ErrKeyringFull):
		return newProblem(http.StatusConflict, ProblemKeyringFull, detail, "remove a key that is no longer used first")
	case errors.Is(err, gossip.ErrNoKeyring):
		return newProblem(http.StatusConflict, ProblemNoKeyring, detail, "start the agent with a keyring (encryption.keyring)")
	case errors.Is(err, gossip.ErrNoDigest):
		return newProblem(http.StatusConflict, ProblemNoDigest, detail, "start the agent with sync.digest = true")
	case errors.Is(err, gossip.ErrLeft):
		return newProblem(http.StatusConflict, ProblemLeft, detail, "start the agent anew to join again")
	case errors.Is(err, gossip.ErrClosed):
		return newProblem(http.StatusServiceUnavailable, ProblemUnavailable, detail, "the agent is stopping; try again when it runs")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return newProblem(http.StatusGatewayTimeout, ProblemTimeout, detail, "look at the state before trying again")
	}
	return newProblem(http.StatusInternalServerError, ProblemInternal, detail, "see the agent's log")
}

// writeProblem answers with a problem.
func writeProblem(w http.ResponseWriter, p *problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="heartbeat"`)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	writeAs(w, p.Status, typeProblem, p.Problem)
}

// WriteJSON answers with 200 and a body, which must be possible to encode.
func WriteJSON(w http.ResponseWriter, body any) { writeAs(w, http.StatusOK, typeJSON, body) }

func writeAs(w http.ResponseWriter, status int, mediaType string, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // the types of this package can be encoded; the recovery answers 500
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A reader that went away cannot be told anything.
	_, _ = w.Write(append(data, '\n'))
}
