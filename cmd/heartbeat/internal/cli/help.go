package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip"
)

// topics are the help texts that belong to no verb.
var topics = []struct{ name, title, text string }{
	{"exit-codes", "what the exit codes mean", exitCodesTopic},
}

func (a *app) helpVerb() *cli.Command {
	return &cli.Command{
		Name: "help", Category: categoryOther,
		Usage:     "explain a verb or a topic (exit-codes)",
		ArgsUsage: "[VERB|TOPIC] [SUBCOMMAND]",
		Action: func(c *cli.Context) error {
			inv := &invocation{}
			for i, word := range c.Args().Slice() {
				for _, t := range topics {
					if i == 0 && t.name == word {
						return a.print(t.text)
					}
				}
				if cmd := inv.command(); cmd != nil && len(cmd.Subcommands) == 0 {
					return usagef("%s has no subcommands, not even %q", inv.name(), word)
				}
				if err := a.parseWord(inv, word); err != nil {
					return a.noTopic(inv, word, err)
				}
			}
			return a.showHelp(inv.path)
		},
	}
}

func (a *app) noTopic(inv *invocation, word string, err error) error {
	if len(inv.path) > 0 {
		return err
	}
	names := visibleNames(a.root.Commands)
	for _, t := range topics {
		names = append(names, t.name)
	}
	near := gossip.Nearest(word, names)
	if near == "" {
		near = ": `heartbeat help` lists them"
	}
	return usagef("%q is neither a verb nor a topic%s", word, near)
}

// showHelp prints the help of the command that path leads to.
func (a *app) showHelp(path []*cli.Command) error {
	if len(path) == 0 {
		return a.print(a.overview())
	}
	return a.print(a.commandHelp(path))
}

func (a *app) overview() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s VERB [flags] [arguments]\n", a.root.Name, a.root.Usage, a.root.Name)
	for _, category := range []string{categoryRun, categoryAsk, categoryPrepare, categoryOther} {
		var rows [][2]string
		for _, c := range a.root.Commands {
			if c.Category == category && !c.Hidden {
				rows = append(rows, [2]string{c.Name, c.Usage})
			}
		}
		writeSection(&b, category, rows)
	}
	writeSection(&b, "Global flags, before or after the verb", flagRows(a.root.Flags))
	var rows [][2]string
	for _, t := range topics {
		rows = append(rows, [2]string{t.name, t.title})
	}
	writeSection(&b, "Topics", rows)
	b.WriteString("\n`heartbeat help VERB` says more.\n")
	return b.String()
}

func (a *app) commandHelp(path []*cli.Command) string {
	inv := invocation{path: path}
	c := inv.command()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s\n", inv.name(), c.Usage, usageLine(&inv))
	if c.Description != "" {
		b.WriteString("\n" + c.Description + "\n")
	}
	var rows [][2]string
	for _, sub := range c.Subcommands {
		if sub.Hidden {
			continue
		}
		rows = append(rows, [2]string{strings.TrimSpace(sub.Name + " " + sub.ArgsUsage), sub.Usage})
	}
	writeSection(&b, "Subcommands", rows)
	writeSection(&b, "Flags", flagRows(c.Flags))
	if path[0].Category == categoryAsk {
		writeSection(&b, "Flags for the way to the agent", flagRows(a.root.Flags))
	}
	return b.String()
}

func usageLine(inv *invocation) string {
	c := inv.command()
	line := inv.name()
	if len(c.Subcommands) > 0 {
		line += " " + strings.Join(visibleNames(c.Subcommands), "|")
	}
	if len(c.Flags) > 0 || inv.path[0].Category == categoryAsk {
		line += " [flags]"
	}
	return strings.TrimSpace(line + " " + c.ArgsUsage)
}

func writeSection(b *strings.Builder, title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, r := range rows {
		fmt.Fprintf(b, "  %-*s  %s\n", width, r[0], r[1])
	}
}

// flagRows describes flags: "--format FORMAT, -o" and what it does.
func flagRows(flags []cli.Flag) [][2]string {
	var rows [][2]string
	for _, f := range flags {
		names, usage := flagText(f.(cli.DocGenerationFlag)) // every flag type of the library is one
		rows = append(rows, [2]string{names, usage})
	}
	return rows
}

func flagText(f cli.DocGenerationFlag) (names, usage string) {
	placeholder, usage := unquote(f.GetUsage())
	for i, n := range f.Names() {
		if i > 0 {
			names += ", "
		}
		names += dashed(n)
	}
	if f.TakesValue() {
		names += " " + placeholder
	}
	var extra []string
	if d := defaultText(f); d != "" {
		extra = append(extra, "default "+d)
	}
	for _, env := range f.GetEnvVars() {
		extra = append(extra, "environment "+env)
	}
	if len(extra) > 0 {
		usage += " (" + strings.Join(extra, ", ") + ")"
	}
	return names, usage
}

// defaultText leaves out defaults that say nothing.
func defaultText(f cli.DocGenerationFlag) string {
	if !f.TakesValue() {
		return ""
	}
	d := strings.Trim(f.GetDefaultText(), `"`)
	if slices.Contains([]string{"", "0", "0s"}, d) {
		return ""
	}
	return d
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// unquote takes the placeholder, the first word in backquotes, out of a flag's
// usage as package flag does it.
func unquote(usage string) (placeholder, text string) {
	before, rest, found := strings.Cut(usage, "`")
	name, after, closed := strings.Cut(rest, "`")
	if !found || !closed {
		return "VALUE", usage
	}
	return name, before + name + after
}
