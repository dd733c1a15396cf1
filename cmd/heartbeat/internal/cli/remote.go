package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/gossip/httpapi"
)

// Names of the global flags.
const (
	flagAddress   = "address"
	flagTokenFile = "token-file"
	flagTLSCA     = "tls-ca"
	flagTLSCert   = "tls-cert"
	flagTLSKey    = "tls-key"
	flagTimeout   = "timeout"
	flagNoColor   = "no-color"
)

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: flagAddress, Aliases: []string{"a"}, Value: cli.NewStringSlice(config.DefaultAPIAddress), EnvVars: []string{"HEARTBEAT_ADDRESS"},
			Usage: "`ADDRESS` of the agent's API: host:port, https://host:port or unix:/path (why --cluster: repeat, or separate by commas)"},
		&cli.StringFlag{Name: flagTokenFile, EnvVars: []string{"HEARTBEAT_TOKEN_FILE"},
			Usage: "`FILE` with the token that the agent asks for"},
		&cli.StringFlag{Name: flagTLSCA, Usage: "`FILE` with the CA (PEM) that the agent's certificate comes from; turns TLS on"},
		&cli.StringFlag{Name: flagTLSCert, Usage: "`FILE` with our certificate (PEM), for an agent that asks for one; turns TLS on"},
		&cli.StringFlag{Name: flagTLSKey, Usage: "`FILE` with the private key of that certificate (PEM)"},
		&cli.DurationFlag{Name: flagTimeout, Usage: "longest wait for an answer, a `DURATION`", DefaultText: "10s, for changes that wait for other nodes 1m5s"},
		&cli.BoolFlag{Name: flagNoColor, Usage: "no colours, as with NO_COLOR=1 in the environment"},
	}
}

// ask makes the action of a verb that puts questions to an agent. An explicit
// --timeout bounds all of them together.
func (a *app) ask(f func(c *cli.Context, api *httpapi.Client) error) cli.ActionFunc {
	return a.follow(func(c *cli.Context, api *httpapi.Client) error {
		if !c.IsSet(flagTimeout) {
			return f(c, api)
		}
		d := c.Duration(flagTimeout)
		ctx, cancel := context.WithTimeoutCause(c.Context, d,
			fmt.Errorf("the agent is %w at %s: no answer within %v", httpapi.ErrNotReachable, api.Address(), d))
		defer cancel()
		c.Context = ctx
		return f(c, api)
	})
}

// follow makes the action of a verb that reads a stream, which may last.
func (a *app) follow(f func(c *cli.Context, api *httpapi.Client) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		api, err := newClient(c)
		if err != nil {
			return err
		}
		defer api.Close()
		return explain(c.Context, api, f(c, api))
	}
}

// newClient is the client of a verb that asks one agent.
func newClient(c *cli.Context) (*httpapi.Client, error) {
	if n := len(addresses(c)); n != 1 {
		return nil, usagef("%d addresses are given, and %q asks one agent: only `heartbeat why --cluster` asks several", n, c.Command.FullName())
	}
	apis, err := newClients(c)
	if err != nil {
		return nil, err
	}
	return apis[0], nil
}

// addresses lists the agents to ask, at least one. Commas separate them, but the
// path of a unix socket may hold one.
func addresses(c *cli.Context) []string {
	var all []string
	for _, list := range c.StringSlice(flagAddress) {
		if strings.HasPrefix(list, "unix:") {
			all = append(all, list)
		} else {
			all = append(all, strings.Split(list, ",")...)
		}
	}
	return all
}

// newClients makes a client for each of the addresses.
func newClients(c *cli.Context) ([]*httpapi.Client, error) {
	if c.IsSet(flagTimeout) && c.Duration(flagTimeout) <= 0 {
		return nil, usagef("--%s %v is not possible: it must be positive", flagTimeout, c.Duration(flagTimeout))
	}
	cfg := httpapi.ClientConfig{Timeout: c.Duration(flagTimeout)}
	var err error
	if path := c.String(flagTokenFile); path != "" {
		if cfg.Token, err = readSecret(path); err != nil {
			return nil, usagef("cannot read the token: %w", err)
		}
	}
	if cfg.TLS, err = tlsConfig(c); err != nil {
		return nil, err
	}
	var apis []*httpapi.Client
	for _, address := range addresses(c) {
		cfg.Address = address
		api, err := httpapi.NewClient(cfg)
		if err != nil {
			return nil, usagef("%w", err)
		}
		apis = append(apis, api)
	}
	return apis, nil
}

// maxSecret bounds what is read of a file that should hold one key or token.
const maxSecret = 4096

// readSecret returns the one line of a file. Its errors never show the content.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readSecretFrom(f, path)
}

func readSecretFrom(r io.Reader, name string) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	text := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s holds more than %d bytes", name, maxSecret)
	case text == "":
		return "", fmt.Errorf("%s is empty", name)
	}
	return text, nil
}

// tlsConfig is nil unless a TLS flag was given; an https:// address then uses
// the system's CAs.
func tlsConfig(c *cli.Context) (*tls.Config, error) {
	ca, cert, key := c.String(flagTLSCA), c.String(flagTLSCert), c.String(flagTLSKey)
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	if (cert == "") != (key == "") {
		return nil, usagef("--%s and --%s go together: give both or neither", flagTLSCert, flagTLSKey)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usagef("cannot read the CA: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("%s holds no certificate in PEM", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, usagef("cannot use the certificate %s: %w", cert, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// stopped turns the end of a stream into its meaning: nil when the user ended
// it.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// noteCondition warns on stderr when the answering node knows that its view
// may say more about itself than about the others.
func (a *app) noteCondition(ctx context.Context, api *httpapi.Client, node, condition string) {
	if condition != "degraded" && condition != "minority" && condition != "isolated" {
		return
	}
	info, err := api.Info(ctx)
	if err != nil {
		return // the answer itself stands; a note is not worth failing it
	}
	if note := conditionNote(info, node, condition); note != "" {
		fmt.Fprintln(a.stderr, note)
	}
}

// noteAlone warns on stderr when a node that lists only itself does so because
// it could not join the others.
func (a *app) noteAlone(ctx context.Context, api *httpapi.Client, node string) {
	ready, err := api.Ready(ctx)
	if err == nil && !ready.Ready {
		fmt.Fprintf(a.stderr, "note: %s is not part of a cluster yet: %s\n", clean(node), clean(ready.Reason))
	}
}

func conditionNote(info *httpapi.Info, node, condition string) string {
	seen := info.Members.Alive + info.Members.Suspect
	all := seen + info.Members.Failed
	node = clean(node)
	switch condition {
	case "degraded":
		return fmt.Sprintf("note: the health of %s itself is poor (score %d, 0 is best): what it finds may come late or be wrong", node, info.HealthScore)
	case "minority":
		return fmt.Sprintf("note: %s sees only %d of %s: it may be cut off itself", node, seen, plural(all, "member"))
	case "isolated":
		return fmt.Sprintf("note: %s sees none of the other %s: it may be cut off itself", node, plural(max(all-1, 0), "member"))
	}
	return ""
}
