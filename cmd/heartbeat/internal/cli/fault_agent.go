package cli

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/sidecar"
)

func (a *app) faultAgentVerb() *cli.Command {
	return &cli.Command{
		Name: "fault-agent", Category: categoryPrepare,
		Usage: "serve an API that does faults to this network namespace and its agent",
		Description: "Stands beside an agent that is started by `heartbeat fault gate`, and shares its\n" +
			"network and process ids. Runs in the foreground until Ctrl-C or SIGTERM, ends all\n" +
			"its faults then and lets a frozen agent go on. Needs root or CAP_NET_ADMIN, and\n" +
			"CAP_KILL when the agent is another user's. Without a token it only listens on a\n" +
			"unix socket. docs/faults.md describes the API.",
		Flags: faultAgentFlags(
			"listen on this `ADDRESS`: host:port or unix:/path",
			"`FILE` with the token that clients must show"),
		Action: a.faultAgent,
	}
}

func (a *app) faultAgent(c *cli.Context) error {
	address, token := c.String("address"), ""
	if path := c.String("token-file"); path != "" {
		var err error
		if token, err = httpapi.ReadTokenFile(path); err != nil {
			return usagef("%w", err)
		}
	}
	if _, _, err := net.SplitHostPort(address); err != nil && !strings.HasPrefix(address, "unix:/") {
		return usagef("%.64q is no address: want host:port or unix:/path", address)
	}
	// Unlike the agent's API, not even loopback goes without: it kills
	// processes, and any user of this machine could name another one's.
	if token == "" && !strings.HasPrefix(address, "unix:/") {
		return &failure{code: exitUsage, err: errors.New("any user who reaches " + address + " could stop processes through the fault agent"),
			hint: "give --token-file FILE (`heartbeat keygen --token FILE` makes one), or listen on unix:/path, which only its owner can open"}
	}
	if os.Getpid() == 1 {
		sidecar.ReapOrphans(c.Context)
	}
	ln, err := httpapi.Listen(c.Context, address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &failure{code: exitUsage, err: err, hint: "another fault agent may run here: end it, or choose another --address"}
	case err != nil:
		return usagef("%w", err)
	}
	log := a.faultLog(zerolog.InfoLevel)
	table, err := kernelfault.Open(kernelfault.Config{Log: log})
	if err != nil {
		return errors.Join(cannotFault(err), ln.Close())
	}
	server, err := sidecar.New(sidecar.ServerConfig{Faults: table, Token: token, Logger: log,
		Capabilities: func() []kernelfault.Capability { return kernelfault.Capabilities(0) }})
	if err != nil {
		return errors.Join(err, table.Close(), ln.Close())
	}
	log.Info().Str("address", ln.Addr().String()).Bool("token", token != "").Msg("the fault agent answers")
	return server.Serve(c.Context, ln)
}
