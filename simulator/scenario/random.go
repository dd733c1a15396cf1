package scenario

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Random says what [GenerateRandom] makes.
type Random struct {
	// Nodes is the size of the cluster: MinRandomNodes to MaxNodes.
	Nodes int
	// Duration is how long the run goes on after time 0: MinRandomTime to MaxTime.
	Duration time.Duration
	// Seed decides everything that is drawn, and is the seed of the run.
	Seed uint64
	// Faults are the kinds of faults to draw from, of RandomFaults. None means all.
	Faults []string
}

// Bounds of what can be made: all shapes of partitions need four nodes, and a fault and the quiet around it a minute.
const (
	MinRandomNodes = 4
	MinRandomTime  = time.Minute
)

// RandomFaults are the kinds of faults that a random scenario draws from.
func RandomFaults() []string { return slices.Concat(networkFaults, nodeFaults) }

var (
	networkFaults = []string{"partition", "link"}
	nodeFaults    = []string{"pause", "stall", "kill", "restart"}
)

const (
	// randomWithin is how soon after the last fault all views must agree.
	randomWithin = 15 * time.Second
	// maxRandomSteps and maxRandomSize end a timeline early, within what a file may hold; pace keeps them out of reach.
	maxRandomSteps = MaxSteps - 10
	maxRandomSize  = MaxFileSize - 4<<10
)

// GenerateRandom makes the file of a scenario with faults that are drawn from a seed: partitions of all shapes, bad
// links, nodes frozen, reading late, killed and restarted, for times of all lengths, with quiet in between. The same
// request always makes the same file, and every file is valid.
//
// Nodes are stopped or frozen by fewer than half at once, and a quarter of them is never stopped. When the last fault is
// over, every node runs and every link is whole, and the file expects that all views agree soon after.
func GenerateRandom(r Random) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if len(r.Faults) == 0 {
		r.Faults = RandomFaults()
	}
	g := &generated{Random: r, rand: generator(r.Seed, -2, 0, 0)}
	g.mortal = g.rand.Perm(r.Nodes)
	spared := g.mortal[:max(1, r.Nodes/4)]
	g.mortal = g.mortal[len(spared):]
	slices.Sort(spared)
	g.timeline()
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nname: random-%d\n", r.Seed)
	fmt.Fprintf(&b, "description: %q\n", fmt.Sprintf("Random faults for %s, from the seed %d; never stopped: %s.", formatDuration(r.Duration), r.Seed, nodeList(spared)))
	fmt.Fprintf(&b, "cluster: {nodes: %d, join: {seeds: %d}}\n", r.Nodes, min(3, r.Nodes))
	fmt.Fprintf(&b, "seeds: [%d]\nduration: %s\n", r.Seed, formatDuration(r.Duration))
	fmt.Fprintf(&b, "timeline:\n%s", g.steps.String())
	fmt.Fprintf(&b, "expect:\n  - {converged: {within: %s}}\n", formatDuration(randomWithin))
	return []byte(b.String()), nil
}

func (r *Random) check() error {
	var errs []error
	if r.Nodes < MinRandomNodes || r.Nodes > MaxNodes {
		errs = append(errs, fmt.Errorf("%d nodes are not possible: %d to %d", r.Nodes, MinRandomNodes, MaxNodes))
	}
	if r.Duration < MinRandomTime || r.Duration > MaxTime {
		errs = append(errs, fmt.Errorf("a duration of %s is not possible: %s to %s", r.Duration, formatDuration(MinRandomTime), formatDuration(MaxTime)))
	}
	for _, kind := range r.Faults {
		if !slices.Contains(RandomFaults(), kind) {
			errs = append(errs, fmt.Errorf("there is no fault %q: give some of %s", kind, strings.Join(RandomFaults(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// generated is a timeline in the making.
type generated struct {
	Random
	rand   *rand.Rand
	mortal []int // nodes that may be stopped
	steps  strings.Builder
	count  int
}

// timeline draws one episode after the other, each with one or two faults at a time, and quiet after it. An episode
// takes a minute on average, a shorter run has shorter ones, and a very long one has longer ones. The last one is the
// hardest to agree after: two halves, for as long as it takes each to hold the other failed.
func (g *generated) timeline() {
	pace := max(min(max(g.Duration/20, 10*time.Second), time.Minute), g.Duration/300)
	rest := min(max(g.Duration/20, 5*time.Second), 2*time.Minute)
	end := g.Duration - max(rest, 2*randomWithin)
	if slices.Contains(g.Faults, networkFaults[0]) {
		last := min(g.Duration/4, 2*time.Minute).Round(time.Second)
		end -= last
		defer func() { g.step(end, "for: %s, partition: {shape: %s}", formatDuration(last), Halves) }()
	}
	for at := rest; g.count < maxRandomSteps && g.steps.Len() < maxRandomSize; {
		length := min(g.between(pace/10, 2*pace), end-at)
		if length < pace/10 {
			return
		}
		g.episode(at, length)
		at += length + g.between(pace/3, pace)
	}
}

// between draws a time between two, as likely within a factor at the lower end as at the upper one.
func (g *generated) between(low, high time.Duration) time.Duration {
	d := time.Duration(float64(low) * math.Pow(float64(high)/float64(low), g.rand.Float64()))
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// chance is true as often as p says.
func (g *generated) chance(p float64) bool { return g.rand.Float64() < p }

// some draws up to so many of the nodes, few rather than many, and names them.
func (g *generated) some(nodes []int, most int) []int {
	k := min(len(nodes), 1+g.rand.IntN(1+g.rand.IntN(max(1, most))))
	drawn := make([]int, k)
	for i, place := range g.rand.Perm(len(nodes))[:k] {
		drawn[i] = nodes[place]
	}
	slices.Sort(drawn)
	return drawn
}

// minority is the most nodes that are stopped or frozen at once.
func (g *generated) minority() int { return Targets{Pick: PickMinority}.Size(g.Nodes) }

func (g *generated) anybody() []int {
	all := make([]int, g.Nodes)
	for i := range all {
		all[i] = i
	}
	return all
}

// nodeList writes nodes as a list in a file.
func nodeList(nodes []int) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = NodeName(n)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// of draws one of the kinds that are wanted; empty when none is.
func (g *generated) of(kinds []string) string {
	wanted := slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return !slices.Contains(g.Faults, kind) })
	if len(wanted) == 0 {
		return ""
	}
	return wanted[g.rand.IntN(len(wanted))]
}

// episode adds a fault of the network, one of nodes, or both at once.
func (g *generated) episode(at, length time.Duration) {
	network, nodes := g.of(networkFaults), g.of(nodeFaults)
	switch draw := g.rand.IntN(4); {
	case network == "" || nodes == "" || draw == 0:
	case draw == 1:
		nodes = ""
	default:
		network = ""
	}
	g.networkFault(network, at, length)
	g.nodeFault(nodes, at, length)
}

// step adds a step.
func (g *generated) step(at time.Duration, format string, args ...any) {
	fmt.Fprintf(&g.steps, "  - {at: %s, %s}\n", formatDuration(at), fmt.Sprintf(format, args...))
	g.count++
}

// lasting writes the times of a fault that lasts; some come and go.
func (g *generated) lasting(length time.Duration) string {
	text := "for: " + formatDuration(length)
	if g.chance(0.2) {
		text += fmt.Sprintf(", flap: {down: %s, up: %s}", formatDuration(g.between(length/10, length/2)), formatDuration(g.between(length/10, length/2)))
	}
	return text
}

func (g *generated) networkFault(kind string, at, length time.Duration) {
	only := ""
	if g.chance(0.2) {
		only = fmt.Sprintf(", only: %s", []Protocol{UDP, TCP}[g.rand.IntN(2)])
	}
	switch kind {
	case "partition":
		shapes := []Shape{Halves, MajorityShape, MinorityThird, Isolate, Bridge, MajoritiesRing, ""}
		if shape := shapes[g.rand.IntN(len(shapes))]; shape != "" {
			g.step(at, "%s, partition: {shape: %s%s}", g.lasting(length), shape, only)
			return
		}
		// A node that is deaf, or mute.
		ends := []string{nodeList(g.some(g.anybody(), 1)), "all"}
		if g.chance(0.5) {
			slices.Reverse(ends)
		}
		g.step(at, "%s, link: {from: %s, to: %s, cut: true%s}", g.lasting(length), ends[0], ends[1], only)
	case "link":
		worse := fmt.Sprintf("loss: %d%%", 2+g.rand.IntN(49))
		if g.chance(0.3) {
			delay := g.between(5*time.Millisecond, 300*time.Millisecond)
			worse = fmt.Sprintf("%s, delay: %s, jitter: %s", worse, formatDuration(delay), formatDuration(delay/2))
		}
		g.step(at, "%s, link: {from: %s, to: all, both: %v, %s%s}", g.lasting(length), nodeList(g.some(g.anybody(), g.Nodes)), g.chance(0.5), worse, only)
	}
}

func (g *generated) nodeFault(kind string, at, length time.Duration) {
	switch kind {
	case "pause":
		g.step(at, "%s, pause: {nodes: %s}", g.lasting(length), nodeList(g.some(g.anybody(), g.minority())))
	case "stall":
		g.step(at, "%s, stall: {nodes: %s, late: 100ms..%s}", g.lasting(length), nodeList(g.some(g.anybody(), g.minority())),
			formatDuration(g.between(200*time.Millisecond, 3*time.Second)))
	case "kill":
		nodes := nodeList(g.some(g.mortal, g.minority()))
		g.step(at, "kill: {nodes: %s}", nodes)
		g.step(at+length, "start: {nodes: %s}", nodes)
	case "restart":
		nodes := g.some(g.mortal, g.minority())
		// One after another, so that the last is back when the time is over.
		stagger := (length / time.Duration(2*len(nodes))).Round(10*time.Millisecond) * time.Duration(min(1, len(nodes)-1))
		g.step(at, "restart: {nodes: %s, down: %s, stagger: %s, graceful: %v}", nodeList(nodes),
			formatDuration(length-stagger*time.Duration(len(nodes)-1)), formatDuration(stagger), g.chance(0.5))
	}
}
