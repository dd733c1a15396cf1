// Package cli is the heartbeat command: it reads the command line, carries out
// one verb and renders the answer. Every verb that asks a running agent goes
// through its HTTP API (package httpapi); the package keeps no state of its
// own and never ends the process.
package cli

import (
	"context"
	"io"
	"time"

	"github.com/urfave/cli/v2"
)

// Categories of verbs, as help shows them.
const (
	categoryRun     = "Run a node"
	categoryAsk     = "Ask and steer a running agent"
	categoryPrepare = "Prepare and try"
	categoryOther   = "Other"
)

// app is one invocation of heartbeat.
type app struct {
	stdin  io.Reader
	stdout *terminal
	stderr io.Writer
	now    func() time.Time
	root   *cli.App
}

// Run carries out the command line args (the program's name first) and returns
// the exit code. It ends early when ctx is cancelled, which stands for the
// user's Ctrl-C. Stdout and stderr are only written to by this call's own
// goroutine, apart from the agent's log.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := newApp(stdin, stdout, stderr)
	return finish(ctx, stderr, a.run(ctx, args[min(1, len(args)):]))
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	a := &app{stdin: stdin, stdout: newTerminal(stdout), stderr: stderr, now: time.Now}
	a.root = &cli.App{
		Name:            "heartbeat",
		Usage:           "a live list of which machines in a cluster are up",
		Flags:           globalFlags(),
		Commands:        a.commands(),
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelp:        true, // help.go renders it, so that it also covers topics and options of both kinds
		HideHelpCommand: true,
		HideVersion:     true,
		ExitErrHandler:  func(*cli.Context, error) {}, // finish decides; the library would end the process
		OnUsageError:    onUsageError,
		Before: func(c *cli.Context) error {
			a.stdout.colour = a.stdout.colour && !c.Bool(flagNoColor)
			return nil
		},

		DisableSliceFlagSeparator: true, // the value of a tag may hold a comma
	}
	for c := range walk(a.root.Commands) {
		c.HideHelp = true
		c.OnUsageError = onUsageError
	}
	return a
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return usagef("%w", err)
}

func (a *app) run(ctx context.Context, args []string) error {
	inv, err := a.parse(args)
	if err != nil {
		return err
	}
	if inv.help || len(inv.path) == 0 {
		return a.showHelp(inv.path)
	}
	return a.root.RunContext(ctx, inv.normalised())
}

// walk yields every command below cmds, parents first.
func walk(cmds []*cli.Command) func(yield func(*cli.Command) bool) {
	return func(yield func(*cli.Command) bool) {
		for _, c := range cmds {
			if !yield(c) {
				return
			}
			for sub := range walk(c.Subcommands) {
				if !yield(sub) {
					return
				}
			}
		}
	}
}
