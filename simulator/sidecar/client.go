package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
)

// Config says where a fault agent is.
type Config struct {
	// Address is host:port or unix:/path.
	Address string
	// Token is sent with every request; empty sends none.
	Token string
	// Holder is who changes things, for when there is a lease; see Lease.
	Holder string
	// Timeout bounds one call; zero means 15 seconds. Start has at least 75.
	Timeout time.Duration
}

// Client talks to one fault agent. It is safe for concurrent use. Refusals are
// *httpapi.APIError; when nothing answers the error is
// httpapi.ErrNotReachable. Times are by the fault agent's clock.
type Client struct {
	http   *httpapi.Client
	holder string
	slow   time.Duration // of calls that may wait for a container to come back
}

// NewClient checks the configuration; it does not connect yet.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 15 * time.Second
	}
	c, err := httpapi.NewClient(httpapi.ClientConfig{Address: cfg.Address, Token: cfg.Token, Timeout: cfg.Timeout, Name: "the fault agent"})
	if err != nil {
		return nil, err
	}
	return &Client{http: c, holder: cfg.Holder, slow: max(cfg.Timeout, startMax+15*time.Second)}, nil
}

// Address is the address that the client was made with.
func (c *Client) Address() string { return c.http.Address() }

// Close closes idle connections. The client stays usable.
func (c *Client) Close() { c.http.Close() }

// Change puts faults into effect, replacing those with the same id, and ends
// those with the ids in drop, in one step.
func (c *Client) Change(ctx context.Context, put []kernelfault.Fault, drop []string) (time.Time, error) {
	return c.do(ctx, 0, http.MethodPost, "/v1/faults", FaultsRequest{Holder: c.holder, Put: put, Drop: drop})
}

// Clear ends all faults.
func (c *Client) Clear(ctx context.Context) (time.Time, error) {
	return c.do(ctx, 0, http.MethodDelete, "/v1/faults", ClearRequest{Holder: c.holder})
}

// Faults returns the faults in effect.
func (c *Client) Faults(ctx context.Context) ([]kernelfault.Active, error) {
	var out Faults
	err := c.http.Call(ctx, 0, http.MethodGet, "/v1/faults", nil, &out)
	return out.Faults, err
}

// Agent tells what the agent does.
func (c *Client) Agent(ctx context.Context) (Agent, error) {
	var out Agent
	err := c.http.Call(ctx, 0, http.MethodGet, "/v1/agent", nil, &out)
	return out, err
}

// Kill ends the agent with SIGKILL and waits for its end; the next one is held
// at the gate until Start. An agent that does not run is only held.
func (c *Client) Kill(ctx context.Context) (time.Time, error) {
	return c.act(ctx, AgentRequest{Action: actionKill})
}

// Hold keeps the next process at the gate until Start. One that runs goes on.
func (c *Client) Hold(ctx context.Context) (time.Time, error) {
	return c.act(ctx, AgentRequest{Action: actionHold})
}

// Start lets the agent through the gate with additional settings, and returns
// when it runs. It waits up to a minute for a process at the gate; after that
// the gate stays open. See CheckSettings for what env may hold.
func (c *Client) Start(ctx context.Context, env map[string]string) (time.Time, error) {
	return c.act(ctx, AgentRequest{Action: actionStart, Env: env})
}

// Freeze stops the agent's process with SIGSTOP; Thaw lets it go on.
func (c *Client) Freeze(ctx context.Context) (time.Time, error) {
	return c.act(ctx, AgentRequest{Action: actionFreeze})
}

// Thaw lets a frozen agent go on, and returns the moment before it may do so.
func (c *Client) Thaw(ctx context.Context) (time.Time, error) {
	return c.act(ctx, AgentRequest{Action: actionThaw})
}

// Clock returns the fault agent's time.
func (c *Client) Clock(ctx context.Context) (time.Time, error) {
	var out Clock
	err := c.http.Call(ctx, 0, http.MethodGet, "/v1/clock", nil, &out)
	return out.Now, err
}

// Capabilities tries what the fault agent's kernel can do.
func (c *Client) Capabilities(ctx context.Context) ([]kernelfault.Capability, error) {
	var out Capabilities
	err := c.http.Call(ctx, 0, http.MethodGet, "/v1/capabilities", nil, &out)
	return out.Capabilities, err
}

// Lease refuses changes by anybody but this client's holder for a time, at most
// 5 minutes, unless it is renewed; 0 gives it back. It is refused with
// ProblemLease while somebody else holds it.
func (c *Client) Lease(ctx context.Context, ttl time.Duration) (time.Time, error) {
	return c.do(ctx, 0, http.MethodPost, "/v1/lease", LeaseRequest{Holder: c.holder, TTL: ttl})
}

func (c *Client) act(ctx context.Context, req AgentRequest) (time.Time, error) {
	req.Holder = c.holder
	return c.do(ctx, c.slow, http.MethodPost, "/v1/agent", req)
}

func (c *Client) do(ctx context.Context, timeout time.Duration, method, path string, in any) (time.Time, error) {
	var out Done
	err := c.http.Call(ctx, timeout, method, path, in, &out)
	return out.At, err
}

// knockEvery is the pause after a question at the gate that failed.
const knockEvery = 200 * time.Millisecond

// Pass waits at the gate until this process may become the agent, and returns
// what the agent's environment has in addition. It asks again for as long as
// the fault agent is not up or has another agent, and tells why it waits to
// notice, once for each reason. Only what no waiting can mend is an error.
func (c *Client) Pass(ctx context.Context, notice func(error)) (map[string]string, error) {
	me, err := self()
	if err != nil {
		return nil, err
	}
	told := ""
	for {
		var answer Gate
		err := c.http.Call(ctx, 0, http.MethodGet, fmt.Sprintf("/v1/gate?pid=%d&start=%d", me.pid, me.start), nil, &answer)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil && answer.Go:
			return answer.Env, CheckSettings(answer.Env)
		case err == nil:
			told = ""
			continue
		case !passing(err):
			return nil, err
		case err.Error() != told:
			told = err.Error()
			notice(err)
		}
		select {
		case <-time.After(knockEvery):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// passing tells whether an error at the gate may go away by itself.
func passing(err error) bool {
	var refused *httpapi.APIError
	if errors.As(err, &refused) {
		return refused.Status == http.StatusConflict || refused.Status >= http.StatusInternalServerError
	}
	return errors.Is(err, httpapi.ErrNotReachable)
}
