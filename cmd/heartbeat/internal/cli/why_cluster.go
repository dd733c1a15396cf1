package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

// clusterWhy is what several agents say about one member.
type clusterWhy struct {
	Name string `json:"name"`
	// Agree: all that answered hold it in one state at one incarnation.
	Agree bool `json:"agree"`
	// Observers are in the order of the addresses.
	Observers []observation `json:"observers"`
	// NotAsked are other members that run, as the first one that answered
	// knows them.
	NotAsked []string `json:"not_asked"`
}

// observation is one agent's answer, or why there is none.
type observation struct {
	Address string `json:"address"`
	// Error says why there is no answer; the other fields are then empty.
	Error     string `json:"error,omitempty"`
	Node      string `json:"node,omitempty"`
	Condition string `json:"condition,omitempty"`
	// State is unknown when the node does not know the member.
	State       string     `json:"state,omitempty"`
	Incarnation uint32     `json:"incarnation,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	// Outcome, AccusedBy and ConfirmedBy are those of the latest case.
	Outcome     string   `json:"outcome,omitempty"`
	AccusedBy   []string `json:"accused_by,omitempty"`
	ConfirmedBy []string `json:"confirmed_by,omitempty"`

	// Abstained and Answered count the node's own looks as a witness in that
	// case: its controls were silent as well, or the member answered.
	Abstained int `json:"abstained,omitempty"`
	Answered  int `json:"answered,omitempty"`

	err error
}

// unknown is the state of a member that the observer does not know.
const unknown = "unknown"

func (a *app) whyCluster(c *cli.Context) error {
	apis, err := newClients(c)
	if err != nil {
		return err
	}
	defer func() {
		for _, api := range apis {
			api.Close()
		}
	}()
	if len(apis) < 2 {
		return usagef("--cluster compares agents, and only %s is given: name each one's API with --address A --address B", apis[0].Address())
	}
	name := c.Args().First()
	answer, err := compare(c.Context, apis, name)
	if err != nil {
		return err
	}
	if format := c.String("format"); format != formatTable {
		err = a.document(format, answer)
	} else {
		err = a.print(clusterTable(a.stdout, answer).String() + clusterText(answer))
	}
	if err == nil && !answer.Agree {
		err = &failure{code: exitFailed, err: fmt.Errorf("the agents do not agree about %q", name),
			hint: "see what one of them says with `heartbeat why NAME --address ADDRESS`"}
	}
	return err
}

// compare asks all agents at the same time. It fails when none answers, or
// none knows the member.
func compare(ctx context.Context, apis []*httpapi.Client, name string) (*clusterWhy, error) {
	answer := &clusterWhy{Name: name, Observers: make([]observation, len(apis)), NotAsked: []string{}}
	var all sync.WaitGroup
	for i, api := range apis {
		all.Go(func() { answer.Observers[i] = observe(ctx, api, name) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	first := slices.IndexFunc(answer.Observers, func(o observation) bool { return o.err == nil })
	switch {
	case first < 0:
		return nil, answer.Observers[0].err
	case !slices.ContainsFunc(answer.Observers, func(o observation) bool { return o.err == nil && o.State != unknown }):
		return nil, noSuchMember(ctx, apis[first], name, httpapi.ErrNoSuchMember)
	}
	answer.Agree = agree(answer.Observers)
	if view, err := apis[first].Members(ctx, httpapi.Filter{States: []string{"alive", "suspect"}}); err == nil {
		for _, m := range view.Members {
			if !slices.ContainsFunc(answer.Observers, func(o observation) bool { return o.Node == m.Name }) {
				answer.NotAsked = append(answer.NotAsked, m.Name)
			}
		}
	}
	return answer, nil
}

func observe(ctx context.Context, api *httpapi.Client, name string) observation {
	o := observation{Address: api.Address()}
	why, err := api.Why(ctx, name)
	if errors.Is(err, httpapi.ErrNoSuchMember) {
		info, infoErr := api.Info(ctx)
		if err = infoErr; err == nil {
			o.Node, o.Condition, o.State = info.Name, info.Condition, unknown
			return o
		}
	}
	if err != nil {
		o.err = explain(ctx, api, err)
		o.Error = o.err.Error()
		var f *failure
		if errors.As(o.err, &f) {
			o.Error = f.err.Error() // what to do next is for one agent, not for a row
		}
		return o
	}
	o.Node, o.Condition, o.State = why.Node, why.Condition, unknown
	if m := why.Member; m != nil {
		o.State, o.Incarnation, o.Since = m.State, m.Incarnation, &m.Since
	}
	if why.Case != nil {
		o.Abstained, o.Answered = len(why.Case.Abstentions), len(why.Case.Answers)
		o.Outcome, o.AccusedBy, o.ConfirmedBy = why.Case.Outcome, speakers(why.Case.Accusers), speakers(why.Case.Testimonies)
	}
	return o
}

func speakers(said []httpapi.Statement) []string {
	var names []string
	for _, s := range said {
		names = append(names, s.By)
	}
	return names
}

// agree compares those who answered. An incarnation of 0 is not known there,
// which is no other opinion.
func agree(observers []observation) bool {
	state, incarnation := "", uint32(0)
	for _, o := range observers {
		if o.err != nil {
			continue
		}
		if state != "" && o.State != state || incarnation != 0 && o.Incarnation != 0 && o.Incarnation != incarnation {
			return false
		}
		state, incarnation = o.State, max(incarnation, o.Incarnation)
	}
	return true
}

func clusterTable(term *terminal, answer *clusterWhy) *table {
	t := newTable(term, "OBSERVER", "ADDRESS", "STATE", "INCARNATION", "SINCE", "OUTCOME", "ACCUSED BY", "CONFIRMED BY", "NOTE")
	for _, o := range answer.Observers {
		if o.err != nil {
			t.add(plain("-"), plain(clean(o.Address)), plain("-"), plain("-"), plain("-"), plain("-"), plain("-"), plain("-"), plain(clean(o.Error)))
			continue
		}
		since, incarnation := "-", "-"
		if o.Incarnation != 0 {
			incarnation = fmt.Sprint(o.Incarnation)
		}
		if o.Since != nil {
			since = stamp(*o.Since)
		}
		t.add(plain(clean(o.Node)), plain(clean(o.Address)), styled(styleStates, clean(o.State)), plain(incarnation), plain(since),
			styled(styleKinds, orDash(clean(o.Outcome))), plain(orDash(clean(strings.Join(o.AccusedBy, ",")))),
			plain(orDash(clean(strings.Join(o.ConfirmedBy, ",")))), plain(clean(o.note())))
	}
	return t
}

// note is what makes the answer worth more or less than others.
func (o observation) note() string {
	var notes []string
	if o.Condition != "connected" {
		notes = append(notes, "itself "+o.Condition)
	}
	if o.Abstained > 0 {
		notes = append(notes, "abstained "+plural(o.Abstained, "time"))
	}
	if o.Answered > 0 {
		notes = append(notes, "got an answer "+plural(o.Answered, "time"))
	}
	return strings.Join(notes, ", ")
}

// clusterText sums the table up.
func clusterText(answer *clusterWhy) string {
	var opinions []string
	byOpinion, silent := map[string][]string{}, 0
	for _, o := range answer.Observers {
		if o.err != nil {
			silent++
			continue
		}
		opinion := o.State
		if o.Incarnation != 0 {
			opinion += fmt.Sprintf(" at incarnation %d", o.Incarnation)
		}
		if byOpinion[opinion] == nil {
			opinions = append(opinions, opinion)
		}
		byOpinion[opinion] = append(byOpinion[opinion], o.Node)
	}
	var b strings.Builder
	if answer.Agree {
		b.WriteString("\nAll that answered agree.\n")
	} else {
		b.WriteString("\nThey do not agree.\n")
		for _, opinion := range opinions {
			fmt.Fprintf(&b, "  %s: %s\n", clean(opinion), clean(listed(byOpinion[opinion])))
		}
	}
	if silent > 0 {
		fmt.Fprintf(&b, "No answer from %d of %d addresses.\n", silent, len(answer.Observers))
	}
	if len(answer.NotAsked) > 0 {
		fmt.Fprintf(&b, "Not asked: %s.\n", clean(listed(answer.NotAsked)))
	}
	b.WriteString("Each time is by the observer's own clock.\n")
	return b.String()
}
