package cli

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

var logLevels = []string{"debug", "info", "warn", "error"}

func (a *app) monitorVerb() *cli.Command {
	return &cli.Command{
		Name: "monitor", Category: categoryAsk,
		Usage:       "follow the agent's log as it is written",
		Description: "The level is this reader's own: it does not change what the agent logs elsewhere.\nCtrl-C ends.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "level", Value: "info", Usage: "only lines of this `LEVEL` and above: " + listedOr(logLevels),
				Action: func(_ *cli.Context, v string) error { return oneOf("level", v, logLevels) }},
			formatFlag(formatText, formatJSONL),
		},
		Action: a.follow(func(c *cli.Context, api *httpapi.Client) error {
			show := a.logPrinter(c.String("format"))
			return stopped(c.Context, api.Logs(c.Context, c.String("level"), show))
		}),
	}
}

// logPrinter writes log lines as they are, or for people.
func (a *app) logPrinter(format string) func(httpapi.LogLine) error {
	console := zerolog.ConsoleWriter{
		Out: a.stdout, NoColor: !a.stdout.colour, TimeFormat: time.RFC3339, TimeLocation: time.UTC,
		// Names of members come in here from the network.
		FormatMessage: func(v any) string {
			if v == nil {
				return ""
			}
			return clean(fmt.Sprint(v))
		},
	}
	return func(line httpapi.LogLine) error {
		switch {
		case format == formatJSONL && line.Lost > 0:
			return a.jsonLine(line)
		case format == formatJSONL:
			return a.print(escapeUnsafe(line.Line) + "\n")
		case line.Lost > 0:
			return a.print("... missing here: " + plural(int(line.Lost), "line") + "\n")
		}
		_, err := console.Write(line.Line)
		return err
	}
}
