package httpapi

import (
	"context"
	"net/http"
	"net/url"
)

// Filter selects members; the zero value selects all. Conditions of different
// kinds must all hold.
type Filter struct {
	// States lets only these through: alive, suspect, failed, left.
	States []string
	// Name is a pattern: * stands for any characters, ? for one.
	Name string
	// Tags are patterns of values by key; a member needs all of them.
	Tags map[string]string
}

func (f Filter) query() url.Values {
	q := url.Values{}
	for _, s := range f.States {
		q.Add("state", s)
	}
	if f.Name != "" {
		q.Set("name", f.Name)
	}
	for k, v := range f.Tags {
		q.Add("tag", k+"="+v)
	}
	return q
}

// Members returns the members that the filter lets through, sorted by name.
func (c *Client) Members(ctx context.Context, filter Filter) (*Members, error) {
	var out Members
	return answer(&out, c.call(ctx, c.timeout, http.MethodGet, "/v1/members", filter.query(), nil, &out))
}

// Member returns one member; an unknown one is an error that is
// ErrNoSuchMember.
func (c *Client) Member(ctx context.Context, name string) (*MemberAnswer, error) {
	var out MemberAnswer
	return answer(&out, c.call(ctx, c.timeout, http.MethodGet, "/v1/members/"+url.PathEscape(name), nil, nil, &out))
}

// Info returns a summary of the node.
func (c *Client) Info(ctx context.Context) (*Info, error) {
	var out Info
	return answer(&out, c.call(ctx, c.timeout, http.MethodGet, "/v1/info", nil, nil, &out))
}

// Journal returns the history of one member, or of all when member is empty.
func (c *Client) Journal(ctx context.Context, member string) (*Journal, error) {
	q := url.Values{}
	if member != "" {
		q.Set("member", member)
	}
	var out Journal
	return answer(&out, c.call(ctx, c.timeout, http.MethodGet, "/v1/journal", q, nil, &out))
}

// Why returns why the node holds a member in its state; a name that it does not
// even remember is an error that is ErrNoSuchMember.
func (c *Client) Why(ctx context.Context, name string) (*Why, error) {
	var out Why
	return answer(&out, c.call(ctx, c.timeout, http.MethodGet, "/v1/why/"+url.PathEscape(name), nil, nil, &out))
}

// Partitions asks all members, through the node, which view they hold.
func (c *Client) Partitions(ctx context.Context) (*Partitions, error) {
	var out Partitions
	return answer(&out, c.call(ctx, max(c.timeout, slowTimeout), http.MethodGet, "/v1/partitions", nil, nil, &out))
}

// Join makes the node join through the seeds. It succeeds when one answered;
// when none did, the *APIError has Failed set.
func (c *Client) Join(ctx context.Context, seeds []string) (*JoinAnswer, error) {
	var out JoinAnswer
	return answer(&out, c.call(ctx, max(c.timeout, slowTimeout), http.MethodPost, "/v1/join", nil, JoinRequest{Seeds: seeds}, &out))
}

// Leave makes the node leave gracefully; the agent ends afterwards.
func (c *Client) Leave(ctx context.Context) error {
	var out LeaveAnswer
	return c.call(ctx, max(c.timeout, slowTimeout), http.MethodPost, "/v1/leave", nil, struct{}{}, &out)
}

// ForceLeave turns a failed member into one that has left; prune removes it
// from the list at once.
func (c *Client) ForceLeave(ctx context.Context, name string, prune bool) error {
	var out ForceLeaveAnswer
	return c.call(ctx, max(c.timeout, slowTimeout), http.MethodPost, "/v1/force-leave", nil, ForceLeaveRequest{Name: name, Prune: prune}, &out)
}

// Tags returns the node's own tags.
func (c *Client) Tags(ctx context.Context) (map[string]string, error) {
	var out Tags
	err := c.call(ctx, c.timeout, http.MethodGet, "/v1/tags", nil, nil, &out)
	return out.Tags, err
}

// UpdateTags sets and removes tags of the node in one step and returns them
// as they are then.
func (c *Client) UpdateTags(ctx context.Context, set map[string]string, remove []string) (map[string]string, error) {
	var out Tags
	err := c.call(ctx, max(c.timeout, slowTimeout), http.MethodPatch, "/v1/tags", nil, TagsRequest{Set: set, Remove: remove}, &out)
	return out.Tags, err
}

// Keys lists the installed keys of this node, the primary one first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	var out Keys
	err := c.call(ctx, c.timeout, http.MethodGet, "/v1/keys", nil, nil, &out)
	return out.Keys, err
}

// InstallKey adds a base64 key to this node's keyring and returns its id.
func (c *Client) InstallKey(ctx context.Context, key string) (string, error) {
	out, err := c.changeKey(ctx, KeyRequest{Action: keyInstall, Key: key})
	return out.ID, err
}

// UseKey makes an installed key the one that this node encrypts with.
func (c *Client) UseKey(ctx context.Context, id string) error {
	_, err := c.changeKey(ctx, KeyRequest{Action: keyUse, ID: id})
	return err
}

// RemoveKey takes a key out of this node's keyring.
func (c *Client) RemoveKey(ctx context.Context, id string) error {
	_, err := c.changeKey(ctx, KeyRequest{Action: keyRemove, ID: id})
	return err
}

func (c *Client) changeKey(ctx context.Context, req KeyRequest) (Keys, error) {
	var out Keys
	err := c.call(ctx, c.timeout, http.MethodPost, "/v1/keys", nil, req, &out)
	return out, err
}

// Health fails unless the agent's process answers.
func (c *Client) Health(ctx context.Context) error {
	var out Health
	return c.call(ctx, c.timeout, http.MethodGet, "/healthz", nil, nil, &out)
}

// Ready tells whether the node has joined and takes part; not being ready is
// an answer, no error.
func (c *Client) Ready(ctx context.Context) (*Readiness, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(callCtx, http.MethodGet, "/readyz", nil, nil, nil)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	defer resp.Body.Close()
	unready := resp.StatusCode == http.StatusServiceUnavailable && mediaType(resp.Header) == typeJSON
	if !unready {
		if err := c.checkStatus(resp); err != nil {
			return nil, err
		}
	}
	var out Readiness
	return answer(&out, c.decode(ctx, resp, &out))
}

func answer[T any](out *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return out, nil
}
