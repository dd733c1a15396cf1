package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
)

// explain gives an error of the API client its exit code and says what to do
// next.
func explain(ctx context.Context, api *httpapi.Client, err error) error {
	var refused *httpapi.APIError
	var untrusted *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return err
	case errors.As(err, &refused):
		return explainRefusal(ctx, api, refused)
	case errors.As(err, &untrusted):
		return &failure{code: exitUnauthorised, err: fmt.Errorf("the certificate of the agent at %s is not trusted: %w", api.Address(), untrusted.Err),
			hint: "give the CA that it comes from with --tls-ca FILE"}
	case errors.As(err, &alert):
		return &failure{code: exitUnauthorised, err: fmt.Errorf("the agent at %s does not accept our certificate (%w)", api.Address(), alert),
			hint: "give one that it accepts with --tls-cert FILE and --tls-key FILE"}
	case errors.Is(err, httpapi.ErrStreamEnded):
		return &failure{code: exitUnreachable, err: err, hint: "it was stopped, or it dropped us; start it again with `heartbeat agent`"}
	case errors.Is(err, fs.ErrPermission):
		return &failure{code: exitUnauthorised, err: fmt.Errorf("this user may not use %s", api.Address()),
			hint: "run as the agent's user or as a member of the group that owns the socket"}
	case isNoAPI(err):
		return &failure{code: exitUnreachable, err: fmt.Errorf("what answers at %s is no agent's API (%s)", api.Address(), cause(err, api.Address())),
			hint: "the API is at the agent's api.address, not at its gossip port; it speaks https only with api.tls.cert"}
	case errors.Is(err, httpapi.ErrNotReachable):
		return &failure{code: exitUnreachable, err: fmt.Errorf("no agent answers at %s (%s)", api.Address(), cause(err, api.Address())),
			hint: "start one with `heartbeat agent`, or name another with --address"}
	}
	return err
}

// isNoAPI says whether something else than HTTP, or HTTP where HTTPS was asked for or the other way round, was answered.
func isNoAPI(err error) bool {
	var plain tls.RecordHeaderError
	return errors.As(err, &plain) || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, httpapi.ErrNotReachable) && strings.Contains(err.Error(), "malformed HTTP")
}

// cause is the innermost part of a failed connection, without the address that
// the message has already.
func cause(err error, address string) string {
	var call *os.SyscallError
	var op *net.OpError
	switch {
	case errors.As(err, &call):
		return call.Err.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	if _, after, found := strings.Cut(err.Error(), httpapi.ErrNotReachable.Error()+" at "+address+": "); found {
		return after
	}
	return err.Error()
}

func explainRefusal(ctx context.Context, api *httpapi.Client, refused *httpapi.APIError) error {
	f := &failure{code: exitFailed, err: refused, hint: refused.Hint}
	switch {
	case errors.Is(refused, httpapi.ErrNotAuthorised):
		f.code = exitUnauthorised
		if refused.Type == httpapi.ProblemUnauthorised {
			// The agent speaks of HTTP headers; here it is a flag.
			f.hint = "give the agent's token with --token-file FILE or HEARTBEAT_TOKEN_FILE"
		}
	case errors.Is(refused, httpapi.ErrNoSuchMember), refused.Type == httpapi.ProblemNoSuchKey:
		f.code = exitNoMember
	case refused.Type == httpapi.ProblemBadRequest:
		f.code = exitUsage
	case refused.Type == httpapi.ProblemJoinFailed && len(refused.Failed) > 0:
		f.hint = ""                  // the reasons say it better
		if len(refused.Failed) > 1 { // one is told by the problem itself
			f.err = fmt.Errorf("%w%s", refused, seedLines(refused.Failed))
		}
	}
	return f
}

// noSuchMember replaces the error for a name that the agent does not know by
// one that names the nearest member.
func noSuchMember(ctx context.Context, api *httpapi.Client, name string, err error) error {
	if !errors.Is(err, httpapi.ErrNoSuchMember) {
		return err
	}
	view, viewErr := api.Members(ctx, httpapi.Filter{})
	if viewErr != nil {
		return err // still says that there is no such member
	}
	names := make([]string, len(view.Members))
	for i, m := range view.Members {
		names[i] = m.Name
	}
	hint := "`heartbeat members` lists those it knows"
	if near := gossip.Nearest(name, names); near != "" {
		hint = strings.TrimPrefix(near, "; ")
	}
	return &failure{code: exitNoMember, err: fmt.Errorf("%s knows no member %q", clean(view.Node), name), hint: hint}
}

// seedLines lists why seeds failed, a line each.
func seedLines(failed []httpapi.SeedFailure) string {
	var b strings.Builder
	for _, s := range failed {
		b.WriteString("\n  " + clean(s.Seed))
		if s.Addr != "" && s.Addr != s.Seed {
			b.WriteString(" (" + clean(s.Addr) + ")")
		}
		b.WriteString(": " + clean(s.Error))
	}
	return b.String()
}
