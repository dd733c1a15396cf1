package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Run with -update after a change of the table or of the sample.
func TestDocumentsAreInStep(t *testing.T) {
	for path, want := range map[string]string{
		"../../../../docs/heartbeat.yaml":   string(Sample()),
		"../../../../docs/configuration.md": reference(t),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nrun go test ./cmd/heartbeat/internal/config -update", path, diff)
		}
	}
}

// reference renders the table of settings as a page.
func reference(t *testing.T) string {
	t.Helper()
	profiles := []string{"lan", "wan", "local"}
	var defaults []*Settings
	for _, p := range profiles {
		s, err := Defaults(p)
		if err != nil {
			t.Fatal(err)
		}
		s.Gossip.Name = "the host's name"
		defaults = append(defaults, s)
	}
	var b strings.Builder
	b.WriteString(`# Settings of the agent

<!-- Made from the table of settings by: go test ./cmd/heartbeat/internal/config -update -->

Each setting can be given in four places; the later ones count over the
earlier ones:

1. the defaults of the profile (lan, wan or local),
2. the file: YAML, keys nested at the dots (` + "`probe: {interval: 1s}`" + `),
3. the environment variable,
4. the flag ` + "`--set key=value`" + `.

The profile is settled first, wherever it is given. Lists and tags are
replaced as a whole, never added to; in variables and flags their values are
separated by commas. Keys and tokens are no settings: settings only name the
files that hold them. What each setting costs in both directions is in the
annotated sample, [heartbeat.yaml](heartbeat.yaml).

An unknown key or variable, a wrong type and a bad value are errors; all of
them are reported at once, with file, line and column. Variables that
Kubernetes and Docker make for a service called "heartbeat" are passed over.

A setting marked "yes" under reload is taken over on SIGHUP; the others need a
restart, and the agent's log says so.

| key | variable | kind | default | bounds | reload | meaning |
|---|---|---|---|---|---|---|
`)
	for _, d := range Table() {
		def := code(d.get(defaults[0]))
		for i, s := range defaults[1:] {
			if v := d.get(s); v != d.get(defaults[0]) {
				def += fmt.Sprintf(", %s: %s", profiles[i+1], code(v))
			}
		}
		if d.Key == "node.name" {
			def = d.get(defaults[0])
		}
		reload := ""
		if d.Reload {
			reload = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s | %s |\n", d.Key, d.Env(), d.Kind, def, d.Bounds, reload, d.Help)
	}
	return b.String()
}

func code(v string) string {
	if v == "" {
		return "empty"
	}
	return "`" + v + "`"
}
