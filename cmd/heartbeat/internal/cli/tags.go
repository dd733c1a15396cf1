package cli

import (
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
)

func (a *app) tagsVerb() *cli.Command {
	format := func() []cli.Flag { return []cli.Flag{formatFlag(formatTable, formatJSON, formatYAML)} }
	return &cli.Command{
		Name: "tags", Category: categoryAsk,
		Usage:       "show and change the tags of the agent's node",
		Description: "Changes reach the whole cluster, and last until the agent restarts: put lasting\ntags into its configuration (node.tags).",
		Subcommands: []*cli.Command{
			{
				Name: "show", Usage: "show the tags", Flags: format(),
				Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
					tags, err := api.Tags(c.Context)
					return a.printTags(c, tags, err)
				}),
			},
			{
				Name: "set", Usage: "add tags or change their values, then show all", ArgsUsage: "KEY=VALUE...", Flags: format(),
				Action: func(c *cli.Context) error {
					set, err := gossip.ParseTags(c.Args().Slice())
					if err != nil {
						return usagef("%w", err)
					}
					return a.ask(func(c *cli.Context, api *httpapi.Client) error {
						tags, err := api.UpdateTags(c.Context, set, nil)
						return a.printTags(c, tags, err)
					})(c)
				},
			},
			{
				Name: "remove", Usage: "take tags away, then show the others", ArgsUsage: "KEY...", Flags: format(),
				Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
					tags, err := api.UpdateTags(c.Context, nil, c.Args().Slice())
					return a.printTags(c, tags, err)
				}),
			},
		},
	}
}

func (a *app) printTags(c *cli.Context, tags map[string]string, err error) error {
	if err != nil {
		return err
	}
	if format := c.String("format"); format != formatTable {
		return a.document(format, httpapi.Tags{Tags: tags})
	}
	t := newTable(a.stdout, "KEY", "VALUE")
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		t.add(plain(clean(k)), plain(clean(tags[k])))
	}
	return a.print(t.String())
}
