package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) partitionsVerb() *cli.Command {
	return &cli.Command{
		Name: "partitions", Category: categoryAsk,
		Usage: "show who holds which view: which members agree, and who disagrees with whom",
		Description: "The agent asks every member that it holds (512 at random of more) for the digest of its\n" +
			"view. Members with the same digest hold the same names, addresses and tags; a group of its\n" +
			"own holds another list. Digests differ for a second or two after every change. Failed\n" +
			"members are not asked. Ends with exit code 1 when there is more than one group.",
		Flags: []cli.Flag{formatFlag(formatTable, formatJSON, formatYAML)},
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			answer, err := api.Partitions(c.Context)
			if err != nil {
				return err
			}
			if format := c.String("format"); format != formatTable {
				err = a.document(format, answer)
			} else {
				err = a.print(partitionsTable(a.stdout, answer).String() + partitionsText(answer))
				a.noteCondition(c.Context, api, answer.Node, answer.Condition)
			}
			if err == nil && !answer.Agree {
				err = &failure{code: exitFailed, err: errors.New("the members do not all hold the same view"),
					hint: "look again in a few seconds; then compare what `heartbeat members` shows on a node of each group"}
			}
			return err
		}),
	}
}

// shownNames is how many names a group's line has; JSON has all.
const shownNames = 20

func partitionsTable(term *terminal, p *httpapi.Partitions) *table {
	t := newTable(term, "DIGEST", "HOLDS", "NODES", "NAMES")
	for _, g := range p.Groups {
		sum := clean(g.Sum)
		if g.Own {
			sum += " *"
		}
		t.add(plain(sum), plain(fmt.Sprint(g.Held)), plain(fmt.Sprint(len(g.Nodes))), plain(someNames(g.Nodes)))
	}
	for _, rest := range []struct {
		what  string
		names []string
	}{{"no answer", p.Silent}, {"no digest", p.NoDigest}} {
		if len(rest.names) > 0 {
			t.add(plain(rest.what), plain("-"), plain(fmt.Sprint(len(rest.names))), plain(someNames(rest.names)))
		}
	}
	return t
}

func someNames(names []string) string {
	text := clean(strings.Join(names[:min(len(names), shownNames)], " "))
	if more := len(names) - shownNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func partitionsText(p *httpapi.Partitions) string {
	text := fmt.Sprintf("\n* as %s, who asked\n", clean(p.Node))
	if p.NotAsked > 0 {
		text += fmt.Sprintf("%d members were not asked, for there are too many; %d of them have told nothing in the last minute.\n", p.NotAsked, p.Unknown)
	}
	return text
}
