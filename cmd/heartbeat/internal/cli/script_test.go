package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"heartbeat": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		os.Exit(Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
	}})
}

// TestScripts plays testdata/script against real agents on 127.0.0.1. Beside
// testscript's own commands there are:
//
//	exits CODE COMMAND...          the command ends with that exit code
//	waitfor REGEXP COMMAND...      repeat until it succeeds and stdout matches
//	waitfile REGEXP FILE           until the file holds a match
//	advertised VARIABLE COMMAND... wait for `info` and keep the gossip address
//	show FILE COMMAND...           keep stdout and stderr, without what varies
func TestScripts(t *testing.T) { runScripts(t, "script") }

// runScripts plays a directory below testdata.
func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", dir),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			// The path of a socket must be short (108 bytes on Linux), which
			// $WORK of a long test name is not.
			dir, err := os.MkdirTemp("", "hb")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(dir) }) // only sockets of ended agents
			env.Setenv("SOCK", "unix:"+dir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				if got := exitCode(ts.Exec(args[1], args[2:]...)); got != want {
					ts.Fatalf("exit code %d, want %d", got, want)
				}
			},
			"waitfor": func(ts *testscript.TestScript, _ bool, args []string) {
				waitFor(ts, args[0], args[1:])
			},
			"waitfile": func(ts *testscript.TestScript, _ bool, args []string) {
				pattern := regexp.MustCompile("(?m)" + args[0])
				poll(ts, func() (bool, string) {
					data, err := os.ReadFile(ts.MkAbs(args[1]))
					return err == nil && pattern.Match(data), string(data)
				})
			},
			"advertised": func(ts *testscript.TestScript, _ bool, args []string) {
				out := waitFor(ts, `^Address +\S`, args[1:])
				ts.Setenv(args[0], regexp.MustCompile(`(?m)^Address +(\S+)`).FindStringSubmatch(out)[1])
			},
			"show": func(ts *testscript.TestScript, _ bool, args []string) {
				code := exitCode(ts.Exec(args[1], args[2:]...))
				out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
				if code != 0 {
					out += "[" + strconv.Itoa(code) + "]\n"
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(steady(out)), 0o600))
			},
		},
	})
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

const scriptPatience = 30 * time.Second

// waitFor repeats a command until it succeeds and its stdout matches.
func waitFor(ts *testscript.TestScript, pattern string, command []string) string {
	re := regexp.MustCompile("(?m)" + pattern)
	var out string
	poll(ts, func() (bool, string) {
		err := ts.Exec(command[0], command[1:]...)
		out = ts.ReadFile("stdout")
		return err == nil && re.MatchString(out), out + ts.ReadFile("stderr")
	})
	return out
}

func poll(ts *testscript.TestScript, done func() (bool, string)) {
	deadline := time.Now().Add(scriptPatience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %v; the last answer was:\n%s", scriptPatience, last)
		}
		<-tick.C
	}
}

// steady replaces what differs from run to run by what it is.
func steady(text string) string {
	for _, r := range []struct{ pattern, by string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`unix:\S*/(\w+)`, "SOCKET/$1"},
		{`\b(\d+[smhd] ago|now)\b`, "AGO"},
		{`(?m)^(Running for +).*`, "${1}AGO"},
		{`(?m)^(Digest +)[0-9a-f]{16}( of [0-9]+ members held).*`, "${1}DIGEST${2}"},
		{`(?m)^(Round trip +).*`, "${1}RTT"},
		{`(?m)^(Incarnation +)\d+`, "${1}N"},
		{`(?m)^(Version +).*`, "${1}VERSION"},
		{`(?m)^(Broadcasts +)\d+`, "${1}N"},
		{`  +`, "  "}, // the widths of columns follow from the above
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
	}
	return text
}
