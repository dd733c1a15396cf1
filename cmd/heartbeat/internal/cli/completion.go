package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

// completeName is the hidden verb that the shells' scripts call with the words
// typed so far; it prints one candidate a line.
const completeName = "__complete"

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completionVerb() *cli.Command {
	return &cli.Command{
		Name: "completion", Category: categoryOther,
		Usage:     "print the script that makes a shell complete heartbeat's words",
		ArgsUsage: "SHELL",
		Description: "SHELL is bash, zsh, fish or powershell. Try it with one of:\n" +
			"  source <(heartbeat completion bash)\n" +
			"  source <(heartbeat completion zsh)\n" +
			"  heartbeat completion fish | source\n" +
			"  heartbeat completion powershell | Out-String | Invoke-Expression",
		Action: func(c *cli.Context) error {
			shell := c.Args().First()
			script, ok := completionScripts[shell]
			if !ok {
				return usagef("shell %q is not known: choose one of %s", shell, strings.Join(shells, ", "))
			}
			return a.print(script)
		},
	}
}

func (a *app) completeVerb() *cli.Command {
	return &cli.Command{
		Name: completeName, Hidden: true, Category: categoryOther,
		Usage:     "print what the last word could become",
		ArgsUsage: "[WORD...]",
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if len(words) == 0 {
				words = []string{""}
			}
			last := len(words) - 1
			var b strings.Builder
			for _, candidate := range a.candidates(c.Context, words[:last], words[last]) {
				if strings.HasPrefix(candidate, words[last]) {
					b.WriteString(candidate + "\n")
				}
			}
			return a.print(b.String())
		},
	}
}

// candidates lists what may stand after the words before, whatever last begins
// with. Words that make no sense lead to no candidates.
func (a *app) candidates(ctx context.Context, before []string, last string) []string {
	inv := &invocation{}
	for i := 0; i < len(before); i++ {
		word := before[i]
		if len(word) < 2 || word[0] != '-' {
			if a.parseWord(inv, word) != nil {
				return nil
			}
			continue
		}
		if i == len(before)-1 && a.wantsValue(inv, word) {
			return a.values(inv, word)
		}
		used, err := a.parseFlag(inv, word, before[i+1:])
		if err != nil {
			return nil
		}
		i += used
	}
	if strings.HasPrefix(last, "-") {
		return a.flagNames(inv)
	}
	return a.arguments(ctx, inv)
}

func (a *app) wantsValue(inv *invocation, word string) bool {
	if strings.Contains(word, "=") {
		return false
	}
	f, _ := inv.lookupFlag(a.root.Flags, strings.TrimLeft(word, "-"))
	return f != nil && f.TakesValue()
}

// values lists the choices of a flag; the shell completes files where there
// are none.
func (a *app) values(inv *invocation, word string) []string {
	f, _ := inv.lookupFlag(a.root.Flags, strings.TrimLeft(word, "-"))
	if f.Names()[0] == "state" {
		return states()
	}
	_, list, found := strings.Cut(f.GetUsage(), ": ")
	if !found || !slices.Contains([]string{"format", "level", "profile", "bits"}, f.Names()[0]) {
		return nil
	}
	return strings.FieldsFunc(strings.ReplaceAll(list, " or ", ","), func(r rune) bool { return r == ',' || r == ' ' })
}

func (a *app) flagNames(inv *invocation) []string {
	flags := slices.Clone(a.root.Flags)
	if c := inv.command(); c != nil {
		flags = slices.DeleteFunc(flags, func(f cli.Flag) bool { return !takesGlobal(inv.path[0], f.Names()[0]) })
		flags = append(flags, c.Flags...)
	}
	names := []string{"--help"}
	for _, f := range flags {
		names = append(names, dashed(f.Names()[0]))
	}
	slices.Sort(names)
	return names
}

// completeTimeout bounds how long a keystroke may wait for an agent.
const completeTimeout = 500 * time.Millisecond

// arguments lists verbs, subcommands, and the names that an agent knows.
func (a *app) arguments(ctx context.Context, inv *invocation) []string {
	c := inv.command()
	if c == nil {
		return visibleNames(a.root.Commands)
	}
	if len(c.Subcommands) > 0 {
		return visibleNames(c.Subcommands)
	}
	_, most := argBounds(c.ArgsUsage)
	switch {
	case c.Name == "help":
		if len(inv.args) > 0 {
			return nil
		}
		names := visibleNames(a.root.Commands)
		for _, t := range topics {
			names = append(names, t.name)
		}
		return names
	case len(inv.args) >= most:
		return nil
	case c.Name == "completion":
		return shells
	case c.ArgsUsage == scenarioArg:
		return scenarioNames()
	case inv.path[0].Category != categoryAsk:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	return a.askedNames(ctx, inv)
}

// askedNames asks the agent that the line so far names. Completion is silent:
// without an answer there are no candidates.
func (a *app) askedNames(ctx context.Context, inv *invocation) []string {
	var names []string
	collect := func(c *cli.Context, api *httpapi.Client) error {
		switch strings.Trim(inv.command().ArgsUsage, "[].") {
		case "NAME":
			view, err := api.Members(c.Context, httpapi.Filter{})
			if err != nil {
				return err
			}
			for _, m := range view.Members {
				names = append(names, clean(m.Name))
			}
		case "ID":
			keys, err := api.Keys(c.Context)
			if err != nil {
				return err
			}
			for _, k := range keys {
				names = append(names, clean(k.ID))
			}
		case "KEY":
			tags, err := api.Tags(c.Context)
			if err != nil {
				return err
			}
			for k := range tags {
				names = append(names, clean(k))
			}
			slices.Sort(names)
		}
		return nil
	}
	probe := &cli.App{
		Flags: globalFlags(), Action: a.ask(collect), HideHelp: true, HideVersion: true,
		Writer: a.stderr, ErrWriter: a.stderr,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   onUsageError,
	}
	if err := probe.RunContext(ctx, append([]string{"heartbeat"}, inv.globals...)); err != nil {
		return nil
	}
	return names
}

var completionScripts = map[string]string{
	"bash": `_heartbeat() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("$line")
  done < <(heartbeat ` + completeName + ` -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _heartbeat heartbeat
`,
	"zsh": `#compdef heartbeat
_heartbeat() {
  local -a candidates
  candidates=("${(@f)$(heartbeat ` + completeName + ` -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( ${#candidates} )) && [[ -n "${candidates[1]}" ]]; then
    compadd -a candidates
  else
    _files
  fi
}
compdef _heartbeat heartbeat
`,
	"fish": `function __heartbeat_complete
  set -l words (commandline -opc) (commandline -ct)
  heartbeat ` + completeName + ` -- $words[2..-1] 2>/dev/null
end
complete -c heartbeat -a '(__heartbeat_complete)'
`,
	"powershell": `Register-ArgumentCompleter -Native -CommandName heartbeat -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($wordToComplete -eq '') { $words += '""' }
  heartbeat ` + completeName + ` '--' @words 2>$null | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`,
}
