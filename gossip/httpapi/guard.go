package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// guard decides whether a request is looked at, before anything else does. In
// order:
//
// Host: a page in a browser can make its own name resolve to 127.0.0.1 (DNS
// rebinding) and is then taken for the same origin, but its requests still
// carry its name. So a loopback listener answers to loopback names alone.
//
// Origin: the API has no pages, hence no page has business here. Browsers mark
// what pages send with Origin or Sec-Fetch-Site; curl and programs send
// neither.
//
// Token: wherever one is set, everything but the open paths wants it, unknown
// paths too.
//
// Content-Type: a change must say application/json, which a page cannot send
// elsewhere without being asked about in advance (CORS preflight), even in
// browsers that send neither of the headers above.
type guard struct {
	name, tokenFile string // for messages: who answers, and where its token stands

	token    *[sha256.Size]byte // nil when no token is asked for
	open     []string           // paths that need no token
	hosts    []string           // further names that a loopback listener answers to, in lower case
	loopback func(*http.Request) bool
}

// check returns the reason for which the request is refused, or nil.
func (g *guard) check(r *http.Request) *problem {
	if g.loopback(r) && !g.knownHost(r.Host) {
		return newProblem(http.StatusForbidden, ProblemForbidden, "the Host header names none of this "+g.name+"'s loopback names",
			"call it by 127.0.0.1, [::1] or localhost")
	}
	if site := r.Header.Get("Sec-Fetch-Site"); r.Header.Get("Origin") != "" || site != "" && site != "none" {
		return newProblem(http.StatusForbidden, ProblemForbidden, "requests from web pages are refused", "use the command line or a program of your own")
	}
	if !g.authorised(r) {
		return newProblem(http.StatusUnauthorized, ProblemUnauthorised, "the request has no token, or not the "+g.name+"'s",
			"send the content of "+g.tokenFile+" as Authorization: Bearer TOKEN")
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != typeJSON {
		return newProblem(http.StatusUnsupportedMediaType, ProblemContentType, "a request that changes something needs a JSON body",
			"send the header Content-Type: application/json")
	}
	return nil
}

func (g *guard) authorised(r *http.Request) bool {
	if g.token == nil || slices.Contains(g.open, r.URL.Path) {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := hash(strings.TrimSpace(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(given[:], g.token[:]) == 1
}

// knownHost tells whether a Host header, with or without port, is a loopback
// address, localhost or a configured name.
func (g *guard) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || slices.Contains(g.hosts, host)
}

// onLoopback tells whether the request came in on a loopback TCP address. The
// server puts the local address of the connection into the context.
func onLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true // unknown: the stricter rule
	}
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// cleanPath tells whether the path is in its shortest form. The router would
// redirect any other, which no client of ours follows.
func cleanPath(p string) bool {
	return p != "" && (p == path.Clean(p) || p == path.Clean(p)+"/")
}
