package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/compose"
	"heartbeat/simulator/netns"
)

// composeName is the engine that plays on the docker-compose cluster.
const composeName = "compose"

// engines are the names that --engine takes, with what each is.
var engines = []struct{ name, what string }{
	{simulator.VirtualEngine, "in virtual time, with nothing needed"},
	{"netns", "real agents in network namespaces of this machine, as root"},
	{composeName, "the docker-compose cluster, from its service simulate"},
}

func engineFlag() cli.Flag {
	var usage []string
	for _, e := range engines {
		usage = append(usage, e.name+" ("+e.what+")")
	}
	return &cli.StringFlag{Name: "engine", Value: simulator.VirtualEngine, Usage: "run on `ENGINE`: " + strings.Join(usage, ", ")}
}

// engine returns the engine of a name; nil is the virtual one.
func (a *app) engine(flag, name string) (simulator.Engine, error) {
	switch name {
	case simulator.VirtualEngine:
		return nil, nil
	case "netns":
		self, err := os.Executable()
		if err != nil {
			return nil, usagef("cannot find this program's own file, which the agents are started from: %w", err)
		}
		return &netns.Engine{Program: self, Log: a.notices()}, nil
	case composeName:
		cfg, err := compose.FromEnv(os.Getenv)
		if err != nil {
			return nil, cannotRun(err)
		}
		return compose.New(cfg)
	}
	var names []string
	for _, e := range engines {
		names = append(names, e.name)
	}
	return nil, usagef("--%s: %q is no engine: choose among %s", flag, name, strings.Join(names, ", "))
}

// closeEngines gives back what engines hold while they are used.
func closeEngines(list ...simulator.Engine) {
	for _, e := range list {
		if c, ok := e.(io.Closer); ok {
			_ = c.Close() // what could not be given back ends by itself
		}
	}
}

// ofService are the flags of `simulate run` that the service simulate of
// docker-compose.yml gives; nil outside of it.
func ofService(c *cli.Context) map[string]string {
	nodes := len(strings.Fields(os.Getenv(compose.NodesEnv)))
	if c.Command.Name != "run" || c.String("engine") != composeName || nodes == 0 {
		return nil
	}
	return map[string]string{"engine": composeName, "seeds": "1", "set": "nodes=" + strconv.Itoa(nodes)}
}

// nodesOfService says that the service has changed the scenario's number of
// nodes, when it has; "" otherwise.
func nodesOfService(c *cli.Context, played int) string {
	set := c.StringSlice("set")
	isNodes := func(s string) bool { return strings.HasPrefix(s, "nodes=") }
	if len(set) == 0 || set[0] != ofService(c)["set"] || slices.ContainsFunc(set[1:], isNodes) {
		return ""
	}
	e, err := simulator.Load(c.Args().First(), set[1:])
	if err != nil || e.Scenario.Cluster.Nodes == played { // it need not be possible without
		return ""
	}
	return fmt.Sprintf("%d nodes instead of the scenario's %d: the service simulate says --set %s, and a --set nodes=N of yours replaces that",
		played, e.Scenario.Cluster.Nodes, set[0])
}

// notices is the log of what people should know although it is no result.
func (a *app) notices() zerolog.Logger {
	return zerolog.New(zerolog.ConsoleWriter{Out: a.stderr, NoColor: !newTerminal(a.stderr).colour, PartsExclude: []string{zerolog.TimestampFieldName}})
}

// enginesOf reads --engines.
func (a *app) enginesOf(c *cli.Context) ([]simulator.Engine, error) {
	var list []simulator.Engine
	names := strings.Split(c.String("engines"), ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if slices.Contains(names[:i], names[i]) {
			return nil, usagef("--engines: %s comes twice", names[i])
		}
		e, err := a.engine("engines", names[i])
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if len(list) < 2 {
		return nil, usagef("--engines %s: give two or more to compare, such as virtual,netns", c.String("engines"))
	}
	return list, nil
}
