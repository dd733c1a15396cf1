package config

import (
	_ "embed"
	"fmt"
	"io"
	"text/tabwriter"
)

// Resolved is a setting with the value that counts and where it came from.
type Resolved struct {
	Setting Setting
	Value   string
	Source  string
}

// List returns all settings with their values, in the order of Table.
func (s *Settings) List() []Resolved {
	list := make([]Resolved, len(table))
	for i, d := range table {
		list[i] = Resolved{Setting: d, Value: d.get(s), Source: s.Origin(d.Key)}
	}
	return list
}

// Show writes all settings with their values and sources as a table. There are
// no secrets among them: those are only named by their files.
func Show(w io.Writer, s *Settings) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tSOURCE")
	for _, r := range s.List() {
		value := r.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Setting.Key, value, r.Source)
	}
	return tw.Flush()
}

//go:embed heartbeat.yaml
var sample []byte

// Sample returns the annotated sample configuration: every setting commented
// out at its default of the lan profile. docs/heartbeat.yaml is the same text.
func Sample() []byte { return append([]byte(nil), sample...) }
