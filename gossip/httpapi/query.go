package httpapi

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// readQuery parses a query and refuses parameters that the route does not
// have: a misspelt filter would otherwise select everything.
func readQuery(raw string, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("the query cannot be parsed", "escape its values")
	}
	for name := range q {
		if !slices.Contains(known, name) {
			return nil, badRequest(fmt.Sprintf("query parameter %.64q is not known here", name)+gossip.Nearest(clip(name), known),
				"possible are "+orNone(known))
		}
	}
	return q, nil
}

// clip bounds what is compared with known names.
func clip(text string) string { return text[:min(len(text), 64)] }

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// memberFilter is a Filter ready for use.
type memberFilter struct {
	states []membership.State // empty: all
	name   *regexp.Regexp     // nil: all
	tags   []tagFilter
}

type tagFilter struct {
	key   string
	value *regexp.Regexp
}

// readFilter reads state (comma-separated, repeatable), name (a pattern) and
// tag (key=pattern, repeatable).
func readFilter(q url.Values) (memberFilter, error) {
	var f memberFilter
	for _, list := range q["state"] {
		for name := range strings.SplitSeq(list, ",") {
			state, err := membership.ParseState(strings.TrimSpace(name))
			if err != nil {
				return f, badRequest(fmt.Sprintf("state %.32q is not known", name), "possible are alive, suspect, failed and left")
			}
			f.states = append(f.states, state)
		}
	}
	if pattern := q.Get("name"); pattern != "" {
		var err error
		if f.name, err = compileGlob(pattern); err != nil {
			return f, err
		}
	}
	if len(q["name"]) > 1 {
		return f, badRequest("name is given more than once", "use one pattern with * and ?")
	}
	if len(q["tag"]) > maxTagFilters {
		return f, badRequest(fmt.Sprintf("%d tag conditions are too many", len(q["tag"])), fmt.Sprintf("at most %d are possible", maxTagFilters))
	}
	for _, pair := range q["tag"] {
		key, pattern, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return f, badRequest(fmt.Sprintf("tag condition %.64q is not of the form key=pattern", pair), "use tag=key=* for any value")
		}
		value, err := compileGlob(pattern)
		if err != nil {
			return f, err
		}
		f.tags = append(f.tags, tagFilter{key, value})
	}
	return f, nil
}

// maxPattern bounds a pattern, in bytes: the time of a match grows with it.
const maxPattern = 256

// compileGlob reads a pattern of * (any characters) and ? (one). path.Match is
// not used because there * stops at slashes, which tags may hold.
func compileGlob(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern || !utf8.ValidString(pattern) {
		return nil, badRequest(fmt.Sprintf("pattern %.64q is longer than %d bytes or no valid UTF-8", pattern, maxPattern), "* stands for any characters, ? for one")
	}
	expr := regexp.QuoteMeta(pattern)
	expr = strings.ReplaceAll(expr, `\*`, `.*`)
	expr = strings.ReplaceAll(expr, `\?`, `.`)
	return regexp.MustCompile(`(?s)^` + expr + `$`), nil
}

func (f memberFilter) match(m membership.Member) bool {
	if len(f.states) > 0 && !slices.Contains(f.states, m.State) {
		return false
	}
	if f.name != nil && !f.name.MatchString(m.Name) {
		return false
	}
	for _, t := range f.tags {
		if value, ok := m.Tags[t.key]; !ok || !t.value.MatchString(value) {
			return false
		}
	}
	return true
}

// maxBacklog bounds how many events a stream may begin with.
const maxBacklog = 1 << 20

// readBacklog reads how many of the newest events are wanted; 0 when the
// parameter is absent.
func readBacklog(q url.Values) (uint64, error) {
	text := q.Get("backlog")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > maxBacklog {
		return 0, badRequest(fmt.Sprintf("backlog %.32q is no whole number up to %d", text, maxBacklog), "leave it out to begin with what comes next")
	}
	return n, nil
}

// eventID names an event across runs of the node: <epoch>-<number>.
func eventID(epoch string, n uint64) string { return epoch + "-" + strconv.FormatUint(n, 10) }

// parseEventID is the inverse of eventID.
func parseEventID(id string) (epoch string, n uint64, err error) {
	i := strings.LastIndexByte(id, '-')
	if i > 0 && len(id) <= 128 {
		if n, err = strconv.ParseUint(id[i+1:], 10, 64); err == nil {
			return id[:i], n, nil
		}
	}
	return "", 0, badRequest(fmt.Sprintf("event id %.64q is not of the form epoch-number", id), "hand back an id just as an event had it")
}
