package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) observersVerb() *cli.Command {
	return &cli.Command{
		Name: "observers", Category: categoryAsk,
		Usage:     "show who would judge a member, and who has spoken against it lately",
		ArgsUsage: "NAME",
		Description: "Every member is probed by all others in turn. After an accusation its witnesses look at\n" +
			"it: the members listed first, the surest on top. Who they are follows from the names of\n" +
			"those alive and from the member's incarnation, so it changes with both, and nodes that\n" +
			"see other members name others. With the detector memberlist there are none.",
		Flags: []cli.Flag{formatFlag(formatTable, formatJSON, formatYAML)},
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			name := c.Args().First()
			why, err := api.Why(c.Context, name)
			if err != nil {
				return noSuchMember(c.Context, api, name, err)
			}
			answer := observersOf(why)
			if format := c.String("format"); format != formatTable {
				return a.document(format, answer)
			}
			text := observersText(answer)
			if len(answer.Observers) > 0 {
				text += "\n" + observersTable(a.stdout, answer).String()
			}
			if err := a.print(text); err != nil {
				return err
			}
			a.noteCondition(c.Context, api, why.Node, why.Condition)
			return nil
		}),
	}
}

// observersAnswer is who watches a member, as one node knows it.
type observersAnswer struct {
	Node      string         `json:"node"`
	Name      string         `json:"name"`
	Detector  string         `json:"detector"`
	Rules     *httpapi.Rules `json:"rules,omitempty"`
	Observers []observer     `json:"observers"`
}

type observer struct {
	Name string `json:"name"`
	// Rank counts the witnesses from 1; 0 for one that is none now.
	Rank int `json:"rank"`
	// Said is accused, testified or empty; the last word in the latest case.
	Said string     `json:"said,omitempty"`
	At   *time.Time `json:"at,omitempty"`
}

func observersOf(why *httpapi.Why) *observersAnswer {
	answer := &observersAnswer{Node: why.Node, Name: why.Name, Detector: why.Detector, Rules: why.Rules, Observers: []observer{}}
	if why.Rules != nil {
		for i, w := range why.Rules.Witnesses {
			answer.Observers = append(answer.Observers, observer{Name: w, Rank: i + 1})
		}
	}
	if why.Case != nil {
		answer.add("accused", why.Case.Accusers)
		answer.add("testified", why.Case.Testimonies)
	}
	return answer
}

func (o *observersAnswer) add(what string, said []httpapi.Statement) {
	for _, s := range said {
		i := slices.IndexFunc(o.Observers, func(other observer) bool { return other.Name == s.By })
		if i < 0 {
			i = len(o.Observers)
			o.Observers = append(o.Observers, observer{Name: s.By})
		}
		o.Observers[i].Said, o.Observers[i].At = what, &s.At
	}
}

func observersText(o *observersAnswer) string {
	name, node := clean(o.Name), clean(o.Node)
	switch {
	case o.Rules == nil:
		return fmt.Sprintf("%s is not on the list of %s any more: nobody watches it.\n", name, node)
	case o.Rules.Quorum == 0:
		return fmt.Sprintf("At %s the engine (memberlist) alone decides about %s: all members probe it in turn, and who gets no answer accuses it.\n", node, name)
	case len(o.Rules.Witnesses) == 0:
		return fmt.Sprintf("%s does not know the incarnation of %s yet, so it cannot tell its witnesses.\n", node, name)
	}
	text := fmt.Sprintf("As %s sees the members, %s has %d witnesses. A verdict takes %d of them who get no answer, and %v since the accusation.\n",
		node, name, len(o.Rules.Witnesses), o.Rules.Quorum, time.Duration(o.Rules.PatienceMS*float64(time.Millisecond)).Round(100*time.Millisecond))
	if stall := time.Duration(o.Rules.StallMS * float64(time.Millisecond)); stall > 0 {
		text += fmt.Sprintf("That is longer than for others, because %s came back from a silence of %v before.\n", name, stall.Round(100*time.Millisecond))
	}
	if !o.Rules.Majority {
		text += node + " itself passes no verdict now: it sees too few of its last stable view.\n"
	}
	return text
}

func observersTable(term *terminal, o *observersAnswer) *table {
	t := newTable(term, "NAME", "WITNESS", "SAID", "TIME")
	for _, ob := range o.Observers {
		rank, at := "-", "-"
		if ob.Rank > 0 {
			rank = fmt.Sprint(ob.Rank)
		}
		if ob.At != nil {
			at = stamp(*ob.At)
		}
		t.add(plain(clean(ob.Name)), plain(rank), styled(styleKinds, orDash(clean(ob.Said))), plain(at))
	}
	return t
}
