package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

var docPath = filepath.Join("..", "..", "..", "..", "docs", "cli.md")

// docMarker stands before the part of docs/cli.md that -update writes.
const docMarker = "<!-- From here on generated: go test ./cmd/heartbeat/internal/cli -run TestReference -update -->\n"

// TestReference keeps docs/cli.md equal to what --help says.
func TestReference(t *testing.T) {
	data, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	byHand, got, found := strings.Cut(string(data), docMarker)
	if !found {
		t.Fatalf("%s lacks the line %q", docPath, docMarker)
	}
	want := reference()
	if *update {
		if err := os.WriteFile(docPath, []byte(byHand+docMarker+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs from --help (-help +file; go test -run TestReference -update rewrites it):\n%s", docPath, diff)
	}
}

func reference() string {
	a := newApp(nil, new(bytes.Buffer), new(bytes.Buffer))
	var b strings.Builder
	section := func(level, title, text string) {
		fmt.Fprintf(&b, "\n%s %s\n\n```text\n%s```\n", level, title, text)
	}
	section("##", "Overview", a.overview())
	section("##", "Exit codes", exitCodesTopic)
	for _, c := range a.root.Commands {
		if c.Hidden {
			continue
		}
		section("##", "heartbeat "+c.Name, a.commandHelp([]*cli.Command{c}))
		for _, sub := range visible(c.Subcommands) {
			section("###", "heartbeat "+c.Name+" "+sub.Name, a.commandHelp([]*cli.Command{c, sub}))
		}
	}
	return b.String()
}

// visible leaves out the subcommands that are no part of the interface.
func visible(cmds []*cli.Command) []*cli.Command {
	return slices.DeleteFunc(slices.Clone(cmds), func(c *cli.Command) bool { return c.Hidden })
}

// TestEveryVerbIsDocumented does not trust the generator: it looks for each
// verb's heading and each flag in the file itself.
func TestEveryVerbIsDocumented(t *testing.T) {
	data, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(nil, new(bytes.Buffer), new(bytes.Buffer))
	sections := map[string]string{}
	for part := range strings.SplitSeq(string(data), "\n#") {
		title, text, _ := strings.Cut(strings.TrimLeft(part, "# "), "\n")
		sections[title] = text
	}
	check := func(title string, c *cli.Command) {
		text, ok := sections[title]
		if !ok {
			t.Errorf("docs/cli.md has no section %q", title)
			return
		}
		if c.Usage == "" {
			t.Errorf("%s has no usage text", title)
		}
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				if !strings.Contains(text, dashed(name)) {
					t.Errorf("section %q does not mention %s", title, dashed(name))
				}
			}
		}
	}
	for _, c := range a.root.Commands {
		if c.Hidden {
			continue
		}
		check("heartbeat "+c.Name, c)
		for _, sub := range visible(c.Subcommands) {
			check("heartbeat "+c.Name+" "+sub.Name, sub)
		}
	}
	for _, code := range []int{exitOK, exitFailed, exitUsage, exitUnreachable, exitUnauthorised, exitNoMember, exitInterrupted} {
		if !strings.Contains(sections["Exit codes"], fmt.Sprintf("\n%d ", code)) {
			t.Errorf("exit code %d is not documented", code)
		}
	}
}

// TestHelpOfEveryCommand: --help works everywhere, also among other words, and
// `help VERB` says the same.
func TestHelpOfEveryCommand(t *testing.T) {
	a := newApp(nil, new(bytes.Buffer), new(bytes.Buffer))
	for _, c := range a.root.Commands {
		path := c.Name
		if len(c.Subcommands) > 0 {
			path += " " + c.Subcommands[0].Name
		}
		flag, verb := heartbeat(t, path+" --help"), heartbeat(t, "help "+path)
		if flag.code != 0 || flag.stderr != "" || !strings.Contains(flag.stdout, "Usage: heartbeat "+path) {
			t.Errorf("%s --help: exit code %d, stdout %q, stderr %q", path, flag.code, flag.stdout, flag.stderr)
		}
		if diff := cmp.Diff(flag, verb, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%s --help and help %s differ:\n%s", path, path, diff)
		}
	}
}
