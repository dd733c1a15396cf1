package oracle

import (
	"math"
	"slices"
	"time"

	"heartbeat/simulator/scenario"
)

// Crash is one kill, and how it was noticed. It lasts until the node starts again or the run ends. Each node
// that could be expected to notice, because it ran, was not paused and was not cut off from the kill until it
// noticed (or until the end of the crash), counts once: in Times, Already or Undetected.
type Crash struct {
	Node string `json:"node"`
	// At and Until are when the crash begins and ends.
	At    Number `json:"at_s"`
	Until Number `json:"until_s"`
	// Times are, sorted, the times from the kill to each observer's verdict.
	Times []Number `json:"times_s"`
	// Undetected counts observers without a verdict that listed the node to the end.
	Undetected int `json:"undetected"`
	// Already counts observers without a verdict that did not list the node in the end: it was failed or left to
	// them before the kill. They are part of no time.
	Already int `json:"already"`
	// Excused counts the other nodes, of which nothing could be expected.
	Excused int `json:"excused"`
	// First is the time of the first verdict, Majority that at which more than half of those that count in Times and
	// Undetected have theirs, Full that of the last one when nobody is left, Spread Full minus First. null: never.
	First    Number `json:"first_s"`
	Majority Number `json:"majority_s"`
	Full     Number `json:"full_s"`
	Spread   Number `json:"spread_s"`
}

// values returns all times, with infinity for those who never noticed.
func (c *Crash) values() []float64 {
	var out []float64
	for _, t := range c.Times {
		out = append(out, float64(t))
	}
	for range c.Undetected {
		out = append(out, math.Inf(1))
	}
	return out
}

// witnessed says whether anybody was there to notice.
func (c *Crash) witnessed() bool { return len(c.Times)+c.Undetected > 0 }

// openCrash is a crash that goes on.
type openCrash struct {
	at      time.Duration
	place   int    // in the result
	decided []bool // observers that had their verdict
	times   []time.Duration
}

// noticed notes a verdict about a node that has crashed.
func (j *Judge) noticed(observer, subject int) {
	c := j.crashes[subject]
	if c == nil || c.decided[observer] {
		return
	}
	c.decided[observer] = true
	if !j.nodes[observer].away.since(c.at) {
		c.times = append(c.times, j.now-c.at)
	}
}

// endCrash closes the crash of a node, if it has one.
func (j *Judge) endCrash(at time.Duration, subject int) {
	c := j.crashes[subject]
	if c == nil {
		return
	}
	j.crashes[subject] = nil
	slices.Sort(c.times)
	out := Crash{Node: scenario.NodeName(subject), At: seconds(c.at), Until: seconds(at), Times: []Number{}}
	for _, t := range c.times {
		out.Times = append(out.Times, seconds(t))
	}
	for o := range j.nodes {
		switch {
		case o == subject || c.decided[o] || j.nodes[o].away.since(c.at):
		case j.views.get(o, subject).listed():
			out.Undetected++
		default:
			out.Already++
		}
	}
	out.Excused = len(j.nodes) - 1 - len(c.times) - out.Undetected - out.Already
	values := out.values()
	out.First, out.Majority, out.Full, out.Spread = never, never, never, never
	if len(values) > 0 {
		out.First, out.Majority, out.Full = Number(values[0]), Number(values[len(values)/2]), Number(values[len(values)-1])
	}
	if !out.Full.Never() {
		out.Spread = seconds(c.times[len(c.times)-1] - c.times[0])
	}
	j.result.Crashes[c.place] = out
}
