package kernelfault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// comment is how a fault stands in the kernel beside its peers and its time to
// live, which the set keeps itself: words for the eyes of whoever runs
// `nft list ruleset`. At its longest it has 224 bytes, of the 246 that a set's
// user data leaves room for.
func (f Fault) comment() string {
	var b strings.Builder
	b.WriteString("id=" + f.ID)
	word := func(set bool, key, value string) {
		if set {
			b.WriteString(" " + key + "=" + value)
		}
	}
	share := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	span := func(d time.Duration) string { return strconv.FormatInt(int64(d), 10) }
	e := f.Effect
	word(f.Only != "", "only", string(f.Only))
	word(e.Cut, "cut", "1")
	word(e.Loss > 0, "loss", share(e.Loss))
	word(e.Duplicate > 0, "dup", share(e.Duplicate))
	word(e.Delay > 0, "delay", span(e.Delay))
	word(e.Jitter > 0, "jitter", span(e.Jitter))
	word(e.Reorder > 0, "reorder", share(e.Reorder))
	word(e.Rate > 0, "rate", strconv.FormatInt(e.Rate, 10))
	return b.String()
}

// parseComment reads what comment wrote. Peers and TTL stay empty.
func parseComment(s string) (Fault, error) {
	var f Fault
	for word := range strings.FieldsSeq(s) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return Fault{}, fmt.Errorf("comment %q: %q is not KEY=VALUE", s, word)
		}
		var err error
		var n int64
		switch e := &f.Effect; key {
		case "id":
			f.ID = value
		case "only":
			f.Only = Protocol(value)
		case "cut":
			e.Cut, err = strconv.ParseBool(value)
		case "loss":
			e.Loss, err = strconv.ParseFloat(value, 64)
		case "dup":
			e.Duplicate, err = strconv.ParseFloat(value, 64)
		case "reorder":
			e.Reorder, err = strconv.ParseFloat(value, 64)
		case "rate":
			e.Rate, err = strconv.ParseInt(value, 10, 64)
		case "delay":
			n, err = strconv.ParseInt(value, 10, 64)
			e.Delay = time.Duration(n)
		case "jitter":
			n, err = strconv.ParseInt(value, 10, 64)
			e.Jitter = time.Duration(n)
		default:
			err = fmt.Errorf("unknown key")
		}
		if err != nil {
			return Fault{}, fmt.Errorf("comment %q: %q: %w", s, word, err)
		}
	}
	if !idPattern.MatchString(f.ID) {
		return Fault{}, fmt.Errorf("comment %q: no ID of a fault", s)
	}
	return f, nil
}
