package simulator

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"heartbeat/simulator/scenario"
)

// TestManualNamesEverything looks in docs/simulator.md for every key of a
// scenario file, every word that a value can be, and everything built in.
func TestManualNamesEverything(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "docs", "simulator.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(data), -1) {
		for word := range strings.FieldsFuncSeq(code, func(r rune) bool { return strings.ContainsRune("`{}:=,./ ", r) }) {
			words[word] = true
		}
	}
	var schema any
	if err := json.Unmarshal(scenario.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	wanted := keysAndChoices(schema)
	if len(wanted) < 70 {
		t.Errorf("only %d words in the schema: %q", len(wanted), wanted)
	}
	for _, b := range scenario.Builtins() {
		wanted = append(wanted, b.Name)
	}
	for _, arm := range Presets() {
		wanted = append(wanted, arm.Label)
	}
	for _, w := range wanted {
		if !words[w] {
			t.Errorf("docs/simulator.md does not name `%s`", w)
		}
	}
}

// keysAndChoices collects the properties and the words of enums in a schema.
func keysAndChoices(schema any) (found []string) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			found = append(found, keysAndChoices(v)...)
		}
	case map[string]any:
		if properties, ok := s["properties"].(map[string]any); ok {
			for key := range properties {
				found = append(found, key)
			}
		}
		if choices, ok := s["enum"].([]any); ok {
			for _, c := range choices {
				found = append(found, c.(string))
			}
		}
		for _, v := range s {
			found = append(found, keysAndChoices(v)...)
		}
	}
	return found
}
