package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
	"heartbeat/membership"
)

var memberFormats = []string{formatTable, formatWide, formatJSON, formatJSONL, formatYAML, formatNames}

func (a *app) membersVerb() *cli.Command {
	return &cli.Command{
		Name: "members", Category: categoryAsk,
		Usage: "list the members as the agent's node knows them",
		Description: "The list is one node's view. Filters of different kinds must all hold;\n" +
			"of the states given, one must. --watch redraws the list on a terminal; elsewhere\n" +
			"it appends the line of each member that changes.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "state", Usage: "only members in this `STATE`: alive, suspect, failed or left (repeat, or separate by commas)"},
			&cli.StringFlag{Name: "name", Usage: "only members whose name matches the `PATTERN`; * stands for any characters, ? for one"},
			&cli.StringSliceFlag{Name: "tag", Usage: "only members with the tag `KEY=PATTERN`, or with any value of KEY (repeat: all must match)"},
			formatFlag(memberFormats...),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "stay and show changes as they happen (table, wide, jsonl)"},
		},
		Action: func(c *cli.Context) error {
			filter, err := memberFilter(c)
			if err != nil {
				return err
			}
			if c.Bool("watch") {
				return a.follow(func(c *cli.Context, api *httpapi.Client) error {
					return a.watchMembers(c.Context, api, filter, c.String("format"))
				})(c)
			}
			return a.ask(func(c *cli.Context, api *httpapi.Client) error {
				view, err := api.Members(c.Context, filter)
				if err != nil {
					return err
				}
				if err := a.printMembers(view, c.String("format")); err != nil {
					return err
				}
				a.noteCondition(c.Context, api, view.Node, view.Condition)
				if view.Total == 1 {
					a.noteAlone(c.Context, api, view.Node)
				}
				return nil
			})(c)
		},
	}
}

func memberFilter(c *cli.Context) (httpapi.Filter, error) {
	filter := httpapi.Filter{Name: c.String("name")}
	if c.Bool("watch") && !slices.Contains([]string{formatTable, formatWide, formatJSONL}, c.String("format")) {
		return filter, usagef("--watch goes with --format table, wide or jsonl: for a program, jsonl has one member a line")
	}
	for _, list := range c.StringSlice("state") {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if err := oneOf("state", name, states()); err != nil {
				return filter, err
			}
			filter.States = append(filter.States, name)
		}
	}
	for _, tag := range c.StringSlice("tag") {
		key, pattern, valued := strings.Cut(tag, "=")
		if !valued {
			pattern = "*"
		}
		if _, twice := filter.Tags[key]; key == "" || twice {
			return filter, usagef("--tag %q is not possible: give KEY=PATTERN or KEY, each key once", tag)
		}
		if filter.Tags == nil {
			filter.Tags = map[string]string{}
		}
		filter.Tags[key] = pattern
	}
	return filter, nil
}

func states() []string {
	var names []string
	for s := membership.Alive; s <= membership.Left; s++ {
		names = append(names, s.String())
	}
	return names
}

// printMembers writes the whole view in one of memberFormats.
func (a *app) printMembers(view *httpapi.Members, format string) error {
	switch format {
	case formatJSON, formatYAML:
		return a.document(format, view)
	case formatJSONL:
		for _, m := range view.Members {
			if err := a.jsonLine(m); err != nil {
				return err
			}
		}
		return nil
	case formatNames:
		var b strings.Builder
		for _, m := range view.Members {
			b.WriteString(clean(m.Name) + "\n")
		}
		return a.print(b.String())
	}
	return a.print(membersTable(a.stdout, view, format == formatWide, view.At).String())
}

// membersTable renders a view; ages are counted up to now, which is the
// answering node's time.
func membersTable(term *terminal, view *httpapi.Members, wide bool, now time.Time) *table {
	header := []string{"NAME", "ADDRESS", "STATE", "SINCE", "TAGS"}
	if wide {
		header = []string{"NAME", "ADDRESS", "STATE", "SINCE", "INCARNATION", "RTT", "FIRST SEEN", "TAGS"}
	}
	t := newTable(term, header...)
	for _, m := range view.Members {
		t.add(memberRow(m, wide, now)...)
	}
	return t
}

func memberRow(m httpapi.Member, wide bool, now time.Time) []cell {
	state := styled(styleStates, clean(m.State))
	name, addr, tags := plain(clean(m.Name)), plain(clean(m.Addr)), plain(tagList(m.Tags))
	if !wide {
		return []cell{name, addr, state, plain(ago(now, m.Since)), tags}
	}
	if m.ForcedOut {
		state.text += " (forced out)"
	}
	if m.Probation {
		state.text += " (on probation)"
	}
	if len(m.AccusedBy) > 0 {
		state.text += " (by " + clean(strings.Join(m.AccusedBy, ",")) + ")"
	}
	return []cell{name, addr, state, plain(stamp(m.Since)), plain(fmt.Sprint(m.Incarnation)),
		plain(roundTrip(m.RTTMS)), plain(stamp(m.FirstSeen)), tags}
}

func roundTrip(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return time.Duration(*ms * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}
