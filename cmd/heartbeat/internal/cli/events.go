package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) eventsVerb() *cli.Command {
	return &cli.Command{
		Name: "events", Category: categoryAsk,
		Usage: "follow the changes of the node's view as they happen",
		Description: "Each event has an id (--format jsonl shows it); --since takes up after one. Events\n" +
			"that the agent no longer holds by then are told by a line \"lost\". Ctrl-C ends.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Usage: "begin after the event with this `ID`"},
			&cli.IntFlag{Name: "last", Usage: "begin with the newest `N` events of the past"},
			&cli.StringSliceFlag{Name: "state", Usage: "only events of members that are in this `STATE` afterwards (repeatable)"},
			&cli.StringFlag{Name: "name", Usage: "only events of members whose name matches the `PATTERN`"},
			formatFlag(formatText, formatJSONL),
			&cli.BoolFlag{Name: "reconnect", Usage: "go on when the agent was away, instead of ending with exit code 3"},
		},
		Action: func(c *cli.Context) error {
			filter, err := memberFilter(c)
			if err != nil {
				return err
			}
			opts := httpapi.EventOptions{
				Since: c.String("since"), Backlog: c.Int("last"),
				States: filter.States, Name: filter.Name, Reconnect: c.Bool("reconnect"),
			}
			if opts.Backlog < 0 || opts.Backlog > 0 && opts.Since != "" {
				return usagef("--last takes a positive number, and does not go with --since")
			}
			return a.follow(func(c *cli.Context, api *httpapi.Client) error {
				return stopped(c.Context, api.Events(c.Context, opts, func(ev httpapi.Event) error {
					if c.String("format") == formatJSONL {
						return a.jsonLine(ev)
					}
					return a.print(eventLine(a.stdout, ev) + "\n")
				}))
			})(c)
		},
	}
}

// kindWidth fits the longest kind of event.
const kindWidth = len("suspected")

// eventLine is an event for people: when, what, who, and why.
func eventLine(term *terminal, ev httpapi.Event) string {
	kind := clean(ev.Kind)
	parts := []string{stamp(ev.At), term.paint(styleKinds, kind) + strings.Repeat(" ", max(0, kindWidth-len(kind)))}
	switch {
	case ev.Kind == httpapi.EventLost:
		parts = append(parts, "missing here: "+plural(int(ev.Lost), "event"))
	case ev.Kind == httpapi.EventReset:
		parts = append(parts, "the agent was started anew: what follows are its events since then")
	case ev.Member != nil:
		parts = append(parts, clean(ev.Member.Name), clean(ev.Member.Addr))
	case ev.Condition != "":
		parts = append(parts, "this node is "+clean(ev.Condition))
	}
	if len(ev.By) > 0 {
		by := make([]string, len(ev.By))
		for i, name := range ev.By {
			by[i] = clean(name)
		}
		parts = append(parts, fmt.Sprintf("by %s", listed(by)))
	}
	if ev.Reason != "" {
		parts = append(parts, "("+clean(ev.Reason)+")")
	}
	return strings.Join(parts, gutter)
}
