package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"heartbeat/simulator/oracle"
)

// unbounded stands for the end of an interval that the data do not bound.
const unbounded = "?"

// figure writes a number to about three digits, never with an exponent.
func figure(n oracle.Number) string {
	v := float64(n)
	switch size := math.Abs(v); {
	case n.Never():
		return "never"
	case v == math.Trunc(v) && size < 1e15:
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case size >= 100:
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', min(9, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}

// count writes a count.
func count(n int) string { return grouped(strconv.Itoa(n)) }

// grouped puts commas between thousands.
func grouped(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// interval writes the interval of an estimate, a dash when the data bound neither side.
func interval(e oracle.Estimate) string {
	if e.Low <= 0 && e.High.Never() {
		return "-"
	}
	high := unbounded
	if !e.High.Never() {
		high = figure(e.High)
	}
	return "[" + figure(e.Low) + ", " + high + "]"
}

// percent writes a share.
func percent(share oracle.Number) string { return figure(share*100) + " %" }

// many counts things in words: 1 run, 2 runs.
func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// seedList names up to ten seeds and counts the rest.
func seedList(seeds []uint64) string {
	const most = 10
	var parts []string
	for _, s := range seeds[:min(most, len(seeds))] {
		parts = append(parts, strconv.FormatUint(s, 10))
	}
	text := strings.Join(parts, ", ")
	if more := len(seeds) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if len(seeds) == 1 {
		return "seed " + text
	}
	return "seeds " + text
}

// clean makes text from a file safe for a terminal: it must not move the
// cursor, change colours or fake a line. White space becomes a blank.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// find returns the entry with a name, the zero value when there is none.
func find[T any](list []T, name string, of func(*T) string) (entry T, ok bool) {
	i := slices.IndexFunc(list, func(e T) bool { return of(&e) == name })
	if i < 0 {
		return entry, false
	}
	return list[i], true
}

func countOf(s *oracle.Summary, name string) (oracle.CountSummary, bool) {
	return find(s.Counts, name, func(c *oracle.CountSummary) string { return c.Name })
}

func timeOf(s *oracle.Summary, name string) (oracle.TimeSummary, bool) {
	return find(s.Times, name, func(t *oracle.TimeSummary) string { return t.Name })
}

func levelOf(s *oracle.Summary, name string) (oracle.LevelSummary, bool) {
	return find(s.Levels, name, func(l *oracle.LevelSummary) string { return l.Name })
}

// name is what a metric is called for people.
type name struct {
	full string
	// short is the name below a heading that says the rest. Empty means full.
	short string
	// depth is how far it is indented below a metric of which it is a part.
	depth int
}

var names = map[string]name{
	"false_alarms":                          {full: "false alarms"},
	"false_alarms_about_healthy":            {full: "false alarms about healthy nodes", short: "about healthy nodes", depth: 1},
	"false_alarms_about_healthy_by_healthy": {full: "… by healthy observers", short: "by healthy observers", depth: 2},
	"false_alarms_about_frozen":             {full: "false alarms about frozen nodes", short: "about frozen nodes", depth: 1},
	"false_subjects":                        {full: "nodes with a false alarm", short: "nodes concerned", depth: 1},
	"justified":                             {full: "justified verdicts"},
	"undetected":                            {full: "verdicts missing after a crash"},
	"suspicions":                            {full: "suspicions"},
	"false_suspicions":                      {full: "suspicions of reachable nodes", short: "of reachable running nodes", depth: 1},
	"refutations":                           {full: "refutations"},
	"view_changes":                          {full: "view changes"},
	"list_changes":                          {full: "list changes", short: "that enter or leave the list", depth: 1},
	"runs_with_false_death":                 {full: "runs with a false alarm"},
	"runs_with_healthy_false_death":         {full: "runs with one about a healthy node"},
	"runs_with_undetected_crash":            {full: "runs with a verdict missing"},
	"runs_not_settled":                      {full: "runs that did not settle"},
	"detection":                             {full: "detection by every observer", short: "every observer"},
	"first_detection":                       {full: "detection by the first observer", short: "first observer"},
	"full_detection":                        {full: "detection by the last observer", short: "last observer"},
	"spread":                                {full: "first to last detection", short: "first to last"},
	"joined":                                {full: "joined"},
	"converged":                             {full: "views right"},
	"settled":                               {full: "views right for good"},
	"udp_packets_out":                       {full: "UDP packets out"},
	"udp_bytes_out":                         {full: "UDP bytes out"},
	"udp_bytes_in":                          {full: "UDP bytes in"},
	"tcp_packets_out":                       {full: "TCP packets out"},
	"tcp_bytes_out":                         {full: "TCP bytes out"},
	"tcp_bytes_in":                          {full: "TCP bytes in"},
	"peak_bytes_out_p99":                    {full: "peak out (p99)"},
	"peak_bytes_in_p99":                     {full: "peak in (p99)"},
	"cpu":                                   {full: "CPU of a run"},
	"detection_p50":                         {full: "detection, median"},
	"detection_p99":                         {full: "detection, p99"},
	"first_detection_p50":                   {full: "first detection, median"},
	"full_detection_max":                    {full: "full detection, slowest"},
	"spread_max":                            {full: "first to last, widest"},
	"settled_max":                           {full: "views right for good"},
}

// fullName names a metric by itself. One that is not known here is shown by its
// own name.
func fullName(metric string) string {
	if n, ok := names[metric]; ok {
		return n.full
	}
	return strings.ReplaceAll(metric, "_", " ")
}

// nestedName names a metric in a list with those of which it is a part.
func nestedName(metric string) string {
	n, ok := names[metric]
	if !ok || n.short == "" {
		return fullName(metric)
	}
	return strings.Repeat("  ", n.depth) + n.short
}

// levelUnit is a unit in words.
func levelUnit(unit string) string {
	return strings.NewReplacer("B/node/s", "bytes a second", "B/s", "bytes a second", "/node/s", " a second").Replace(unit)
}
