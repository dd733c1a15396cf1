package cli

import "github.com/urfave/cli/v2"

// commands lists the verbs in the order of help.
func (a *app) commands() []*cli.Command {
	return []*cli.Command{
		a.agentVerb(),
		a.membersVerb(),
		a.infoVerb(),
		a.joinVerb(),
		a.leaveVerb(),
		a.forceLeaveVerb(),
		a.tagsVerb(),
		a.eventsVerb(),
		a.monitorVerb(),
		a.whyVerb(),
		a.observersVerb(),
		a.journalVerb(),
		a.partitionsVerb(),
		a.keysVerb(),
		a.healthVerb(),
		a.demoVerb(),
		a.simulateVerb(),
		a.faultVerb(),
		a.faultAgentVerb(),
		a.configVerb(),
		a.keygenVerb(),
		a.versionVerb(),
		a.completionVerb(),
		a.completeVerb(),
		a.helpVerb(),
	}
}

// formatFlag is the --format of a verb; the first choice is the default.
func formatFlag(choices ...string) cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"o"}, Value: choices[0],
		Usage:  "how to print, a `FORMAT`: " + listedOr(choices),
		Action: func(_ *cli.Context, v string) error { return oneOf("format", v, choices) },
	}
}

// listedOr is "a, b or c".
func listedOr(words []string) string {
	out := words[0]
	for i, w := range words[1:] {
		if i == len(words)-2 {
			out += " or " + w
		} else {
			out += ", " + w
		}
	}
	return out
}
