package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// The exit codes of heartbeat. They are part of its interface: scripts branch
// on them.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitUnreachable  = 3
	exitUnauthorised = 4
	exitNoMember     = 5
	exitInterrupted  = 130 // 128 + SIGINT, as shells count
)

// exitCodesTopic is `heartbeat help exit-codes` and a section of docs/cli.md.
const exitCodesTopic = `0    done; also a stream (events, monitor, members --watch) that was ended with Ctrl-C
1    the operation failed, "health" found the agent unwell, or what a simulated scenario expects
     does not hold; or those that "why --cluster" or "partitions" asked do not agree
2    the command line, the configuration or the scenario is wrong, and nothing was done; or this
     machine cannot run the simulation or make the fault
3    no agent answers at the address
4    the agent refuses: the token or the certificate is missing or wrong
5    no such member (or no such key, or no such node in a trace)
130  interrupted with Ctrl-C before it was done
`

// failure is an error that says how the process ends and what to do next.
type failure struct {
	code int
	err  error
	hint string // what to do next; "" when err says so already
}

func (f *failure) Error() string {
	if f.hint == "" {
		return f.err.Error()
	}
	return f.err.Error() + ": " + f.hint
}

func (f *failure) Unwrap() error { return f.err }

// usagef reports a command line that cannot be carried out.
func usagef(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// finish turns what a verb returned into the exit code and, for a failure, one
// message on stderr.
func finish(ctx context.Context, stderr io.Writer, err error) int {
	var f *failure
	switch {
	case err == nil:
		return exitOK
	case isClosedPipe(err):
		// The reader (head, a pager) has all it wanted.
		return exitOK
	case errors.As(err, &f):
		fmt.Fprintf(stderr, "heartbeat: %v\n", f)
		return f.code
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(stderr, "heartbeat: interrupted before it was done")
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "heartbeat: %v\n", err)
	return exitFailed
}

func isClosedPipe(err error) bool {
	// Only our own output is meant: a connection that breaks while it is
	// written to reports EPIPE, too, but inside a *net.OpError.
	var path *fs.PathError
	if errors.As(err, &path) {
		return errors.Is(path.Err, syscall.EPIPE)
	}
	return errors.Is(err, io.ErrClosedPipe)
}
