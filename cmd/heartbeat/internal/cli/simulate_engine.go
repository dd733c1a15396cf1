package cli

import (
	"io"
	"os"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/compose"
	"heartbeat/simulator/netns"
)

// engines are the names that --engine takes, with what each is.
var engines = []struct{ name, what string }{
	{simulator.VirtualEngine, "in virtual time, with nothing needed"},
	{"netns", "real agents in network namespaces of this machine, as root"},
	{"compose", "the docker-compose cluster, from its service simulate"},
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
	case "compose":
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
