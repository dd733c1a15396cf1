package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// defaultTimeout bounds a call that is answered from memory.
	defaultTimeout = 10 * time.Second
	// slowTimeout bounds a call that waits for other nodes (join, leave).
	// Above the server's own bound, so that its answer arrives.
	slowTimeout = maxSlowRequest + 5*time.Second
	// maxAnswer bounds what the client reads: about 100,000 members.
	maxAnswer = 64 << 20
)

// ClientConfig says where an agent is and how to talk to it.
type ClientConfig struct {
	// Address is host:port, http://host:port, https://host:port or
	// unix:/path/of/socket.
	Address string
	// Token is sent as a bearer token; empty sends none.
	Token string
	// TLS, when not nil, makes host:port mean https.
	TLS *tls.Config
	// Name is what answers there, for messages; empty means "the agent".
	Name string
	// Timeout bounds one call that is no stream; zero means 10 seconds. Join
	// and Leave, which wait for other nodes, have at least 65 seconds.
	Timeout time.Duration
}

// Client talks to one agent. It is safe for concurrent use. It uses no proxy
// and follows no redirect, either of which could carry the token elsewhere.
type Client struct {
	name    string // for messages
	address string // as given, for messages
	base    string
	token   string
	timeout time.Duration
	http    *http.Client
}

// NewClient checks the configuration; it does not connect yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	transport := &http.Transport{
		TLSClientConfig:       cfg.TLS,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: slowTimeout,
	}
	base, err := parseAddress(cfg.Address, cfg.TLS != nil, transport)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token holds a space or a character that is not ASCII")
	}
	timeout := cfg.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &Client{
		name: cmp.Or(cfg.Name, "the agent"), address: cfg.Address, base: base, token: cfg.Token, timeout: timeout,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Address is the address that the client was made with.
func (c *Client) Address() string { return c.address }

// Close closes idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parseAddress returns the base URL of an agent's address and, for a unix
// socket, makes the transport dial it.
func parseAddress(address string, secure bool, transport *http.Transport) (string, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return "", fmt.Errorf("address %q lacks the socket's path, as in unix:/run/heartbeat/agent.sock", address)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return "http://localhost", nil
	}
	full := address
	if !strings.Contains(address, "://") {
		full = "http://" + address
		if secure {
			full = "https://" + address
		}
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("address %q is not an agent's address: use host:port, [v6]:port, http(s)://host:port or unix:/path", address)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("address %q holds more than scheme, host and port", address)
	}
	if u.Port() == "" && full != address {
		return "", fmt.Errorf("address %q lacks a port, as in %s:7980", address, address)
	}
	return u.Scheme + "://" + u.Host, nil
}

// Call makes one request of an API with routes of its own (see Service), and
// decodes its answer into out; in, unless nil, is its body. A timeout of 0 is
// the client's.
func (c *Client) Call(ctx context.Context, timeout time.Duration, method, path string, in, out any) error {
	return c.call(ctx, cmp.Or(timeout, c.timeout), method, path, nil, in, out)
}

// call makes one request and decodes its answer into out.
func (c *Client) call(ctx context.Context, timeout time.Duration, method, path string, query url.Values, in, out any) error {
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := c.send(callCtx, method, path, query, in, nil)
	if err != nil {
		return c.transportError(ctx, err)
	}
	defer resp.Body.Close()
	if err := c.checkStatus(resp); err != nil {
		return err
	}
	return c.decode(ctx, resp, out)
}

// decode reads the whole answer into out.
func (c *Client) decode(ctx context.Context, resp *http.Response, out any) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return c.transportError(ctx, err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("the answer of %s at %s is larger than %d bytes", c.name, c.address, maxAnswer)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s at %s gave an answer to %s %s that cannot be read (another version?): %w",
			c.name, c.address, resp.Request.Method, resp.Request.URL.Path, err)
	}
	return nil
}

// send makes a request; its error is the transport's.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any, header http.Header) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("cannot encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("cannot build the request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(req)
}

// checkStatus turns every answer but 200 into an *APIError.
func (c *Client) checkStatus(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // a torn problem is reported by its status below
	var p Problem
	if mediaType(resp.Header) == typeProblem && json.Unmarshal(data, &p) == nil && p.Title != "" {
		return &APIError{Status: resp.StatusCode, Type: p.Type, Title: p.Title, Detail: p.Detail, Hint: p.Hint, Failed: p.Failed}
	}
	return &APIError{
		Status: resp.StatusCode,
		Title:  strings.ToLower(http.StatusText(resp.StatusCode)),
		Detail: "what answers at " + c.address + " does not speak like an agent",
		Hint:   "check the address; it is the one of " + c.name + "'s API, not of gossip",
	}
}

// mediaType is the content type without its parameters, or "".
func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

// transportError says that no whole answer came. The caller's own cancelling
// is told as such.
func (c *Client) transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return fmt.Errorf("%s is %w at %s: %w", c.name, ErrNotReachable, c.address, err)
}

// ErrNotReachable: the agent could not be connected to, or the connection
// broke before its answer was whole.
var ErrNotReachable = errors.New("not reachable")

// ErrNotAuthorised is what an APIError is when the agent wants another token
// or refuses the way it was called.
var ErrNotAuthorised = errors.New("not authorised")

// ErrNoSuchMember is what an APIError is when it knows no member of that name.
var ErrNoSuchMember = errors.New("no such member")

// APIError is the agent's answer that it did not do what was asked.
type APIError struct {
	// Status is the HTTP status code.
	Status int
	// Type is one of the Problem constants; empty when something else than an
	// agent answered.
	Type string
	// Title, Detail and Hint are for people: what it is, what exactly went
	// wrong, what to do next. Detail and Hint may be empty.
	Title, Detail, Hint string
	// Failed are the seeds, when a join failed.
	Failed []SeedFailure
}

// Error is the detail, or the title without one; the hint is apart.
func (e *APIError) Error() string {
	if e.Detail == "" {
		return e.Title
	}
	return e.Detail
}

// Is makes errors.Is work with ErrNotAuthorised and ErrNoSuchMember.
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrNotAuthorised:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case ErrNoSuchMember:
		return e.Type == ProblemNoSuchMember
	}
	return false
}
