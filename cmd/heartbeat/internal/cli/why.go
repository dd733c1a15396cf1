package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) whyVerb() *cli.Command {
	return &cli.Command{
		Name: "why", Category: categoryAsk,
		Usage:     "tell why a member is in its state: who said what about it, and what followed",
		ArgsUsage: "NAME",
		Description: "The story is that of the asked node, from its journal: what it did not hear, or has\n" +
			"forgotten, is not in it. Below stands what it rests on, from the first accusation on.\n" +
			"--cluster asks several agents and shows where they disagree: give the address of each\n" +
			"API with --address A --address B, or HEARTBEAT_ADDRESS=A,B; the same token and\n" +
			"certificates go to all. The exit code is then 0 when all that answer hold the member in\n" +
			"one state at one incarnation, and 1 when they do not.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "cluster", Usage: "ask every agent that --address names, and compare"},
			formatFlag(formatTable, formatJSON, formatYAML),
		},
		Action: func(c *cli.Context) error {
			if c.Bool("cluster") {
				return a.whyCluster(c)
			}
			return a.ask(func(c *cli.Context, api *httpapi.Client) error {
				name := c.Args().First()
				why, err := api.Why(c.Context, name)
				if err != nil {
					return noSuchMember(c.Context, api, name, err)
				}
				if format := c.String("format"); format != formatTable {
					return a.document(format, why)
				}
				return a.print(storyText(why) + evidenceText(a.stdout, why))
			})(c)
		},
	}
}

func storyText(why *httpapi.Why) string {
	var b strings.Builder
	for _, line := range why.Story {
		b.WriteString(clean(line) + "\n")
	}
	return b.String()
}

// evidenceText is the journal from the latest case on, with times counted from
// its beginning; empty when there is none.
func evidenceText(term *terminal, why *httpapi.Why) string {
	if why.Case == nil {
		return ""
	}
	t := newTable(term, "TIME", "AFTER", "KIND", "INCARNATION", "BY", "NOTE")
	for _, e := range why.Evidence {
		if e.At.Before(why.Case.Began) {
			continue
		}
		t.add(plain(stamp(e.At)), plain(after(e.At.Sub(why.Case.Began))), styled(styleKinds, clean(e.Kind)), plain(fmt.Sprint(e.Incarnation)),
			plain(orDash(clean(e.By))), plain(orDash(clean(e.Note))))
	}
	return "\n" + t.String()
}

// after is "+1.234s".
func after(d time.Duration) string { return fmt.Sprintf("+%.3fs", d.Seconds()) }
