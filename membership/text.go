package membership

import (
	"fmt"
	"slices"
)

// enum is what the small enumerations of this package share: values count from 1,
// 0 stands for "not known" and has the empty text form.
type enum interface {
	State | Condition | ChangeKind | EntryKind | Source
}

// nameOf returns the name of v for people: names[v], "unknown" for 0, and the number
// for a value that is none of the declared ones.
func nameOf[E enum](names []string, v E) string {
	switch {
	case v == 0:
		return "unknown"
	case int(v) < len(names):
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", uint8(v))
}

func marshalName[E enum](names []string, what string, v E) ([]byte, error) {
	if int(v) >= len(names) {
		return nil, fmt.Errorf("encode %s: %d is not one of the declared values", what, uint8(v))
	}
	return []byte(names[v]), nil
}

// unmarshalName sets *v only when text is a declared name or empty.
func unmarshalName[E enum](names []string, what string, text []byte, v *E) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("decode %s: %.32q is none of %q", what, text, names[1:])
	}
	*v = E(i)
	return nil
}
