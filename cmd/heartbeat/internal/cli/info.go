package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) infoVerb() *cli.Command {
	return &cli.Command{
		Name: "info", Category: categoryAsk,
		Usage:     "show one member, or the agent's own node",
		ArgsUsage: "[NAME]",
		Flags:     []cli.Flag{formatFlag(formatTable, formatJSON, formatYAML)},
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			if name := c.Args().First(); name != "" {
				return a.memberInfo(c, api, name)
			}
			info, err := api.Info(c.Context)
			if err != nil {
				return err
			}
			if format := c.String("format"); format != formatTable {
				return a.document(format, info)
			}
			if err := a.print(infoTable(a.stdout, info)); err != nil {
				return err
			}
			a.noteCondition(c.Context, api, info.Name, info.Condition)
			return nil
		}),
	}
}

func (a *app) memberInfo(c *cli.Context, api *httpapi.Client, name string) error {
	answer, err := api.Member(c.Context, name)
	if err != nil {
		return noSuchMember(c.Context, api, name, err)
	}
	if format := c.String("format"); format != formatTable {
		return a.document(format, answer)
	}
	m := answer.Member
	state := styled(styleStates, clean(m.State))
	if m.ForcedOut {
		state.text += " (forced out)"
	}
	if m.Probation {
		state.text += " (on probation)"
	}
	if len(m.AccusedBy) > 0 {
		state.text += " (accused by " + clean(listed(m.AccusedBy)) + ")"
	}
	rows := [][2]cell{
		{plain("Name"), plain(clean(m.Name))},
		{plain("Address"), plain(clean(m.Addr))},
		{plain("State"), state},
		{plain("Since"), plain(moment(answer.At, m.Since))},
		{plain("First seen"), plain(moment(answer.At, m.FirstSeen))},
		{plain("Incarnation"), plain(fmt.Sprint(m.Incarnation))},
		{plain("Round trip"), plain(roundTrip(m.RTTMS))},
		{plain("Tags"), plain(orDash(tagList(m.Tags)))},
		{plain("Seen by"), plain(clean(answer.Node))},
	}
	if err := a.print(pairs(a.stdout, rows)); err != nil {
		return err
	}
	a.noteCondition(c.Context, api, answer.Node, answer.Condition)
	return nil
}

func infoTable(term *terminal, info *httpapi.Info) string {
	ready := "yes"
	if !info.Ready {
		ready = "no: " + clean(info.ReadyReason)
	}
	uptime := time.Duration(info.UptimeMS * float64(time.Millisecond))
	return pairs(term, [][2]cell{
		{plain("Name"), plain(clean(info.Name))},
		{plain("Cluster"), plain(orDash(clean(info.Cluster)))},
		{plain("Condition"), styled(styleConditions, info.Condition)},
		{plain("Health score"), plain(fmt.Sprintf("%d (0 is best)", info.HealthScore))},
		{plain("Ready"), plain(ready)},
		{plain("Members"), plain(counts(info.Members))},
		{plain("Digest"), plain(digestText(info))},
		{plain("Address"), plain(clean(info.Advertise))},
		{plain("Bound to"), plain(clean(info.Bind))},
		{plain("Encrypted"), plain(yesNo(info.Encrypted))},
		{plain("Profile"), plain(orDash(clean(info.Profile)))},
		{plain("Detector"), plain(clean(info.Detector))},
		{plain("Running for"), plain(span(uptime) + ", since " + stamp(info.Started))},
		{plain("Version"), plain(orDash(clean(info.Version)))},
		{plain("Left"), plain(yesNo(info.Left))},
		{plain("Broadcasts"), plain(fmt.Sprintf("%d waiting", info.PendingBroadcasts))},
	})
}

// digestText is the digest, and how it compared with those of peers lately.
func digestText(info *httpapi.Info) string {
	d := info.Digest
	if d == nil {
		return "- (sync.digest is off)"
	}
	now := info.Started.Add(time.Duration(info.UptimeMS * float64(time.Millisecond)))
	text := fmt.Sprintf("%s of %d members held", clean(d.Sum), d.Held)
	switch agreed, differed := d.LastAgreed, d.LastDiffered; {
	case agreed == nil && differed == nil:
		return text + "; not compared yet"
	case differed == nil:
		return text + "; the last peer agreed " + ago(now, *agreed)
	case agreed == nil:
		return text + "; no peer has agreed, the last differed " + ago(now, *differed)
	default:
		return text + "; a peer agreed " + ago(now, *agreed) + ", one differed " + ago(now, *differed)
	}
}

func counts(c httpapi.Counts) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{c.Alive, "alive"}, {c.Suspect, "suspect"}, {c.Failed, "failed"}, {c.Left, "left"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return orDash(strings.Join(parts, ", "))
}

// moment is "3m ago (2026-01-02T15:04:05.000Z)".
func moment(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return ago(now, t) + " (" + stamp(t) + ")"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
