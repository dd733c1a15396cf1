package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip"
)

// invocation is a command line taken apart. The flag library stops at the first
// argument that is not a flag and knows global flags in front of the verb only;
// parse lifts both limits, so that `force-leave n3 --prune --address A` works.
type invocation struct {
	path    []*cli.Command // the verb, and its subcommand if it has some
	globals []string
	flags   []string
	args    []string
	help    bool // -h or --help was among the flags
}

// normalised is the command line as the flag library wants it.
func (inv *invocation) normalised() []string {
	out := append([]string{"heartbeat"}, inv.globals...)
	for _, c := range inv.path {
		out = append(out, c.Name)
	}
	out = append(append(out, inv.flags...), "--")
	return append(out, inv.args...)
}

// command is the innermost command, nil before the verb.
func (inv *invocation) command() *cli.Command {
	if len(inv.path) == 0 {
		return nil
	}
	return inv.path[len(inv.path)-1]
}

func (inv *invocation) name() string {
	names := []string{"heartbeat"}
	for _, c := range inv.path {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// parse finds the verb, sorts flags from arguments and checks their number.
// Every error is the user's to correct.
func (a *app) parse(words []string) (*invocation, error) {
	inv := &invocation{}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			inv.args = append(inv.args, words...)
			words = nil
		case word == "--version" && len(inv.path) == 0:
			word = "version"
			fallthrough
		case len(word) < 2 || word[0] != '-':
			if err := a.parseWord(inv, word); err != nil {
				return nil, err
			}
		default:
			used, err := a.parseFlag(inv, word, words)
			if err != nil {
				return nil, err
			}
			words = words[used:]
		}
	}
	if inv.help {
		return inv, nil
	}
	return inv, inv.checkArgs()
}

// parseWord takes a word that is no flag: the verb, a subcommand, or an argument.
func (a *app) parseWord(inv *invocation, word string) error {
	candidates := a.root.Commands
	if c := inv.command(); c != nil {
		candidates = c.Subcommands
	}
	if len(candidates) == 0 {
		inv.args = append(inv.args, word)
		return nil
	}
	for _, c := range candidates {
		if c.HasName(word) {
			inv.path = append(inv.path, c)
			return nil
		}
	}
	what := "verb"
	if len(inv.path) > 0 {
		what = "subcommand of " + inv.name()
	}
	if near := gossip.Nearest(word, visibleNames(candidates)); near != "" {
		return usagef("%q is not a %s%s", word, what, near)
	}
	return usagef("%q is not a %s: see %q", word, what, inv.name()+" --help")
}

// parseFlag takes the flag word, and its value from rest unless it follows an
// equals sign. It returns how many words of rest were used.
func (a *app) parseFlag(inv *invocation, word string, rest []string) (int, error) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if name == "help" || name == "h" {
		inv.help = true
		return 0, nil
	}
	flag, global := inv.lookupFlag(a.root.Flags, name)
	if flag == nil {
		return 0, inv.unknownFlag(a.root.Flags, word)
	}
	// The library refuses two forms of one flag, so it only sees the first.
	taken := []string{dashed(flag.Names()[0])}
	if hasValue {
		taken[0] += "=" + value
	}
	if flag.TakesValue() && !hasValue {
		// A value with a leading dash is far more often a forgotten value;
		// it can still be given as --flag=-value.
		if len(rest) == 0 {
			return 0, usagef("flag --%s needs a value: see %q", name, inv.name()+" --help")
		}
		if len(rest[0]) > 1 && rest[0][0] == '-' {
			return 0, usagef("flag --%s needs a value: see %q; one that begins with a dash is written --%s=-value", name, inv.name()+" --help", name)
		}
		value = rest[0]
		taken = append(taken, value)
	}
	if _, ok := flag.(*cli.DurationFlag); ok {
		if _, err := time.ParseDuration(value); err != nil {
			return 0, usagef("flag --%s: %q is not a duration such as 500ms or 30s", name, value)
		}
	}
	if global {
		inv.globals = append(inv.globals, taken...)
	} else {
		inv.flags = append(inv.flags, taken...)
	}
	return len(taken) - 1, nil
}

// lookupFlag finds a flag of the command or, where those apply, a global one.
func (inv *invocation) lookupFlag(globals []cli.Flag, name string) (flag cli.DocGenerationFlag, global bool) {
	if c := inv.command(); c != nil {
		if f := findFlag(c.Flags, name); f != nil {
			return f, false
		}
		if !takesGlobal(inv.path[0], name) {
			return nil, false
		}
	}
	return findFlag(globals, name), true
}

func findFlag(flags []cli.Flag, name string) cli.DocGenerationFlag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f.(cli.DocGenerationFlag) // every flag type of the library is one
		}
	}
	return nil
}

// takesGlobal reports whether a global flag has a meaning for the verb: those
// that say where and how to reach an agent are for verbs that do.
func takesGlobal(verb *cli.Command, name string) bool {
	return verb.Category == categoryAsk || name == flagNoColor
}

func (inv *invocation) unknownFlag(globals []cli.Flag, word string) error {
	var names []string
	add := func(flags []cli.Flag) {
		for _, f := range flags {
			for _, n := range f.Names() {
				if len(n) > 1 && (len(inv.path) == 0 || takesGlobal(inv.path[0], n) || findFlag(inv.command().Flags, n) != nil) {
					names = append(names, "--"+n)
				}
			}
		}
	}
	add(globals)
	if c := inv.command(); c != nil {
		add(c.Flags)
	}
	typed, _, _ := strings.Cut(word, "=")
	if near := gossip.Nearest("--"+strings.TrimLeft(typed, "-"), names); near != "" {
		return usagef("%s has no flag %s%s", inv.name(), typed, near)
	}
	return usagef("%s has no flag %s: see %q", inv.name(), typed, inv.name()+" --help")
}

// checkArgs compares the number of arguments with the command's ArgsUsage.
func (inv *invocation) checkArgs() error {
	c := inv.command()
	if c == nil {
		return nil
	}
	if len(c.Subcommands) > 0 {
		return usagef("%s needs a subcommand: %s", inv.name(), strings.Join(visibleNames(c.Subcommands), ", "))
	}
	least, most := argBounds(c.ArgsUsage)
	usage := strings.TrimSpace(inv.name() + " " + c.ArgsUsage)
	switch n := len(inv.args); {
	case n < least:
		return usagef("too few arguments: %s", usage)
	case n > most && most == 0:
		return usagef("%s takes no arguments, not even %q", usage, inv.args[0])
	case n > most:
		return usagef("too many arguments, from %q on: %s", inv.args[most], usage)
	}
	return nil
}

// argBounds reads how many arguments "NAME", "[NAME]" and "NAME..." ask for, so
// that what help shows and what is accepted cannot differ.
func argBounds(usage string) (least, most int) {
	for word := range strings.FieldsSeq(usage) {
		if !strings.HasPrefix(word, "[") {
			least++
		}
		most++
		if strings.Contains(word, "...") {
			most = math.MaxInt
			break
		}
	}
	return least, most
}

func visibleNames(cmds []*cli.Command) []string {
	var names []string
	for _, c := range cmds {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// oneOf checks the value of a flag with fixed choices.
func oneOf(flag, value string, choices []string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return usagef("--%s %q is not possible: choose one of %s%s", flag, value,
		strings.Join(choices, ", "), gossip.Nearest(value, choices))
}

// plural is "1 member", "3 members".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
