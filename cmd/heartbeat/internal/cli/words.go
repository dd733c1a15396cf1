package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ago says how long before now t was, in the largest unit that leaves a number
// of at least 1 (at least 2 above a minute, so that 90 s is "90s ago").
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	if d < time.Second {
		// A clock that is slightly ahead of ours is no news from the future.
		return "now"
	}
	return span(d) + " ago"
}

// span writes a duration for people, with one unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// stamp writes a time in full, in UTC like the API.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// tagList is "a=1,b=2", sorted.
func tagList(tags map[string]string) string {
	pairs := make([]string, 0, len(tags))
	for k, v := range tags {
		pairs = append(pairs, clean(k)+"="+clean(v))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// listed is "a", "a and b", "a, b and c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
