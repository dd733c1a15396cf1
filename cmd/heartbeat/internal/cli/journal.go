package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) journalVerb() *cli.Command {
	return &cli.Command{
		Name: "journal", Category: categoryAsk,
		Usage:       "show what the node remembers of a member, or of all: what happened, who said it",
		ArgsUsage:   "[NAME]",
		Description: "Oldest first. The journal is bounded, so the past beyond it is gone.",
		Flags:       []cli.Flag{formatFlag(formatTable, formatJSON, formatJSONL, formatYAML)},
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			name := c.Args().First()
			journal, err := api.Journal(c.Context, name)
			if err != nil {
				return noSuchMember(c.Context, api, name, err)
			}
			switch format := c.String("format"); format {
			case formatJSON, formatYAML:
				return a.document(format, journal)
			case formatJSONL:
				for _, e := range journal.Entries {
					if err := a.jsonLine(e); err != nil {
						return err
					}
				}
				return nil
			}
			if err := a.print(journalTable(a.stdout, journal).String()); err != nil {
				return err
			}
			a.noteCondition(c.Context, api, journal.Node, journal.Condition)
			return nil
		}),
	}
}

func journalTable(term *terminal, journal *httpapi.Journal) *table {
	t := newTable(term, "TIME", "MEMBER", "KIND", "INCARNATION", "BY", "VIA", "NOTE")
	for _, e := range journal.Entries {
		t.add(plain(stamp(e.At)), plain(clean(e.Member)), styled(styleKinds, clean(e.Kind)), plain(fmt.Sprint(e.Incarnation)),
			plain(orDash(clean(e.By))), plain(clean(e.Via)), plain(clean(e.Note)))
	}
	return t
}
