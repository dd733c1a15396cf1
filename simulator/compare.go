package simulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// Arm is one side of a comparison: overrides under a name.
type Arm struct {
	Label string
	Set   []string // key=value
}

// Presets are arms that are known by name: those of others, to compare with, and
// heartbeat's own.
//
//   - memberlist: the engine as it comes, Lifeguard included.
//   - swim: SWIM with suspicion as in the paper, without what Lifeguard adds to
//     it: no stretching of probes by nodes that are slow themselves, and a
//     suspicion timeout that does not depend on how many accuse.
//   - verdicts: the engine with heartbeat's own detector, in which a quorum of
//     witnesses decides, and nothing else of heartbeat.
//   - heartbeat: everything as shipped, with verdicts.
func Presets() []Arm {
	return []Arm{
		{Label: "memberlist", Set: engineAlone("detector=memberlist")},
		{Label: "swim", Set: engineAlone("detector=memberlist", "probe.awareness_max=1", "suspicion.max_timeout_mult=1")},
		{Label: "verdicts", Set: engineAlone("detector=verdicts")},
		{Label: "heartbeat", Set: []string{"detector=verdicts"}},
	}
}

// engineAlone adds to the overrides those that turn off what heartbeat adds to the engine beside the detector:
// what is left is memberlist with its settings for a LAN.
func engineAlone(set ...string) []string {
	return append(set, "heal.interval=0", "sync.digest=false", "sync.interval=30s")
}

// AsItIs is the arm without overrides.
func AsItIs() Arm { return Arm{Label: "as it is", Set: []string{}} }

// ParseArm reads an arm: label:key=value,key=value; key=value,key=value, which
// is its own label; label: without overrides; or the name of a preset.
func ParseArm(text string) (Arm, error) {
	if i := slices.IndexFunc(Presets(), func(a Arm) bool { return a.Label == text }); i >= 0 {
		return Presets()[i], nil
	}
	label, list := text, text
	if colon := strings.IndexByte(text, ':'); colon >= 0 && !strings.Contains(text[:colon], "=") {
		label, list = text[:colon], text[colon+1:]
	}
	arm := Arm{Label: strings.TrimSpace(label), Set: []string{}}
	if arm.Label == "" {
		return arm, fmt.Errorf("the arm %q has no label: write it like fast:probe.interval=500ms,suspicion.mult=3", text)
	}
	for kv := range strings.SplitSeq(list, ",") {
		kv = strings.TrimSpace(kv)
		switch key, _, ok := strings.Cut(kv, "="); {
		case kv == "" && list == "":
		case !ok && list == text:
			var names []string
			for _, p := range Presets() {
				names = append(names, p.Label)
			}
			return arm, fmt.Errorf("the arm %q is neither known by name (%s) nor of the form label:key=value,key=value", text, strings.Join(names, ", "))
		case !ok:
			return arm, fmt.Errorf("the arm %q: %q is not of the form key=value", text, kv)
		case key == "seeds":
			return arm, fmt.Errorf("the arm %q: all arms have the same seeds, or they could not be compared", text)
		default:
			arm.Set = append(arm.Set, kv)
		}
	}
	return arm, nil
}

// Compare runs the experiment with the same seeds under two or more groups of
// overrides, and says which differences from the first are real. All arms are
// checked before the first is run.
//
// When ctx ends early the result has the arms that were begun and is marked as
// partial, and the error is nil. opts.TraceDir is not used.
func Compare(ctx context.Context, e *Experiment, arms []Arm, opts Options) (*result.Comparison, error) {
	if len(arms) < 2 {
		return nil, errors.New("a comparison takes at least two arms")
	}
	for i, a := range arms {
		if slices.ContainsFunc(arms[:i], func(b Arm) bool { return b.Label == a.Label }) {
			return nil, fmt.Errorf("two arms are called %q: they could not be told apart", a.Label)
		}
	}
	done, partial, err := runArms(ctx, e, arms, opts)
	if done == nil {
		return nil, err
	}
	c := &result.Comparison{Version: result.Version, Arms: done, Against: []oracle.Comparison{}, Partial: partial}
	for i := 1; i < len(done); i++ {
		c.Against = append(c.Against, oracle.Compare(done[0].Result.Runs, done[i].Result.Runs))
	}
	return c, err
}
