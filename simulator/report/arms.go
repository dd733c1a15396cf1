package report

import (
	"strings"

	"heartbeat/simulator/result"
)

// aboutArms says what was run, and on which engines: first what all arms have in
// common, then of each arm what they do not.
func aboutArms(arms []result.Arm) []string {
	own := make([]string, len(arms))
	// common returns what a text says of all arms; texts that differ go to the arms.
	common := func(text func(*result.Result) string) string {
		first, differ := text(arms[0].Result), false
		for i := range arms {
			differ = differ || text(arms[i].Result) != first
		}
		if !differ {
			return first
		}
		for i := range arms {
			if t := text(arms[i].Result); t != "" && own[i] != "" {
				own[i] += "; " + t
			} else {
				own[i] += t
			}
		}
		return ""
	}
	engines := enginesOf(arms)
	head := "engines " + strings.Join(engines, " and ")
	if len(engines) == 1 {
		head = engines[0] + " engine"
	}
	if nodes := common(nodesText); nodes != "" {
		head += ", " + nodes
	}
	if runs := common(runsText); runs != "" {
		head += "; each arm " + runs
	}
	lines := []string{head}
	for _, text := range []func(*result.Result) string{changedText, overridesText, machineText, tookText, clockText, pauseText} {
		if t := common(text); t != "" {
			lines = append(lines, t)
		}
	}
	for i, text := range own {
		if text != "" {
			lines = append(lines, arms[i].Label+": "+text)
		}
	}
	return lines
}
