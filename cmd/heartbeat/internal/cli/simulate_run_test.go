package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A directory must never hold the traces of one scenario beside the result of
// another.
func TestOldTracesGo(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"seed-1.trace.jsonl", "seed-12.trace.jsonl", "seed-3.trace.jsonl", "notes.txt", "result.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropTraces(dir, []string{"seed-3.trace.jsonl"}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"notes.txt", "result.json", "seed-3.trace.jsonl"}, names); diff != "" {
		t.Error(diff)
	}
	if err := dropTraces(filepath.Join(dir, "not there yet"), nil); err != nil {
		t.Errorf("a new directory: %v", err)
	}
}
