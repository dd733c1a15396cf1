package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestDocumentsAreSafeAndWhole: whatever a tag holds, JSON and YAML carry it
// unchanged and hold nothing that a terminal would act upon.
func TestDocumentsAreSafeAndWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 10, -1).Draw(t, "key")
		want := map[string]any{"tags": map[string]any{key: rapid.String().Draw(t, "value")}}
		data, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := toYAML(data)
		if err != nil {
			t.Fatal(err)
		}
		for format, doc := range map[string]string{formatJSON: escapeUnsafe(data), formatYAML: asYAML} {
			if bad := strings.IndexFunc(doc, func(r rune) bool { return r != '\n' && isUnsafe(r) }); bad >= 0 || !utf8.ValidString(doc) {
				t.Errorf("%s holds something unsafe at %d: %q", format, bad, doc)
			}
			var got map[string]any
			decode := json.Unmarshal
			if format == formatYAML {
				decode = func(data []byte, v any) error { return yaml.Unmarshal(data, v) }
			}
			if err := decode([]byte(doc), &got); err != nil {
				t.Fatalf("%s %q: %v", format, doc, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %q (-want +got):\n%s", format, doc, diff)
			}
		}
	})
}

func TestCleanLeavesNothingUnsafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		got := clean(text)
		if strings.ContainsFunc(got, isUnsafe) {
			t.Errorf("clean(%q) is %q", text, got)
		}
		if !strings.ContainsFunc(text, isUnsafe) && got != text {
			t.Errorf("clean changes %q to %q for no reason", text, got)
		}
	})
}
