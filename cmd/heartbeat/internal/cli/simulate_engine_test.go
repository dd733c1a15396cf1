package cli

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator/compose"
)

// In the service the command that repeats a run is the host's, without what the
// service adds.
func TestCommandOfTheService(t *testing.T) {
	for _, c := range []struct{ nodes, args, command, note string }{
		{"a b c d e", "--engine compose --set nodes=5 --seeds 1 --out x halves", "docker-compose run --rm simulate halves", "5 nodes instead of the scenario's 6"},
		{"a b c d e", "--engine compose --set nodes=5 --seeds 1 --set nodes=3 --seeds 1-3 --set loss=1% halves",
			"docker-compose run --rm simulate halves --seeds 1-3 --set nodes=3 --set loss=1%", ""},
		{"a b c d e", "--set nodes=5 --seeds 1 halves", "heartbeat simulate run halves --seeds 1 --set nodes=5", ""},
		{"", "--engine compose --set nodes=5 halves", "heartbeat simulate run halves --set nodes=5 --engine compose", ""},
	} {
		t.Setenv(compose.NodesEnv, c.nodes)
		verb := newApp(nil, new(strings.Builder), new(strings.Builder)).simulateRunVerb()
		verb.Action = func(ctx *cli.Context) error {
			if got := commandLine(ctx); got != c.command {
				t.Errorf("%s: %q, want %q", c.args, got, c.command)
			}
			if got := nodesOfService(ctx, 5); !strings.HasPrefix(got, c.note) || c.note == "" && got != "" {
				t.Errorf("%s: %q, want %q", c.args, got, c.note)
			}
			return nil
		}
		app := &cli.App{Commands: []*cli.Command{verb}}
		if err := app.Run(append([]string{"heartbeat", "run"}, strings.Fields(c.args)...)); err != nil {
			t.Error(err)
		}
	}
}
