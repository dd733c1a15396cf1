package bubble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"heartbeat/simulator/virtual/bubble"
)

// childVar makes this test's binary run one case as an ordinary program would.
const childVar = "HEARTBEAT_BUBBLE_CASE"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVar); name != "" {
		os.Exit(child(name))
	}
	os.Exit(m.Run())
}

var errBoom = errors.New("boom")

type testCase struct {
	name  string
	f     func(ctx context.Context) error
	want  []string // in the error's text; nil for no error
	stuck bool
}

func sleep(ctx context.Context) error {
	begin := time.Now()
	if want := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); !begin.Equal(want) {
		return fmt.Errorf("virtual time starts at %v, want %v", begin, want)
	}
	time.Sleep(1000 * time.Hour)
	if d := time.Since(begin); d != 1000*time.Hour {
		return fmt.Errorf("slept %v, want 1000h", d)
	}
	return ctx.Err()
}

func deadlock(context.Context) error {
	select {}
}

func cases() []testCase {
	return []testCase{
		{name: "success", f: sleep},
		{name: "error", f: func(context.Context) error { return errBoom }, want: []string{"boom"}},
		{
			name: "panic",
			f:    func(context.Context) error { panic("argh") },
			want: []string{"panic: argh", "bubble_test.go"},
		},
		{
			name: "goexit",
			f:    func(context.Context) error { runtime.Goexit(); return nil },
			want: []string{"without returning"},
		},
		{
			name:  "deadlock",
			f:     deadlock,
			want:  []string{"all goroutines in bubble are blocked", "bubble_test.deadlock"},
			stuck: true,
		},
		{
			name: "goroutine that ends with the context",
			f: func(ctx context.Context) error {
				go func() { <-ctx.Done() }()
				return nil
			},
		},
		{
			name: "goroutine that ends later",
			f: func(context.Context) error {
				go time.Sleep(100 * time.Second)
				return nil
			},
		},
		{
			name: "goroutine that never ends",
			f: func(ctx context.Context) error {
				go func() { _ = deadlock(ctx) }()
				return errBoom
			},
			want:  []string{"boom", "still there 2m0s after the end", "bubble_test.deadlock"},
			stuck: true,
		},
		{
			name: "ticker that never ends",
			f: func(context.Context) error {
				go func() {
					for range time.Tick(time.Second) {
					}
				}()
				return nil
			},
			want:  []string{"still there"},
			stuck: true,
		},
	}
}

func (c *testCase) check(err error) error {
	if (err != nil) != (c.want != nil) || errors.Is(err, bubble.ErrStuck) != c.stuck {
		return fmt.Errorf("got error %v, want one with %q, stuck %v", err, c.want, c.stuck)
	}
	for _, w := range c.want {
		if !strings.Contains(err.Error(), w) {
			return fmt.Errorf("got error %v, want %q in it", err, w)
		}
	}
	return nil
}

// child runs a case twice without a *testing.T: control comes back.
func child(name string) int {
	for _, c := range cases() {
		if c.name != name {
			continue
		}
		for range 2 {
			if err := c.check(bubble.Run(nil, c.f)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		fmt.Println("result")
		return 7
	}
	if name == "panic elsewhere" {
		_ = bubble.Run(nil, func(context.Context) error {
			go func() { panic("argh") }()
			time.Sleep(time.Second)
			return nil
		})
	}
	return 1
}

func TestRunInTest(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if err := c.check(bubble.Run(t, c.f)); err != nil {
				t.Error(err)
			}
		})
	}
}

func runChild(t *testing.T, name string) (stdout, stderr string, code int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Arguments that package testing would refuse are the program's business.
	cmd := exec.CommandContext(t.Context(), exe, "simulate", "--seed", "1")
	cmd.Env = append(os.Environ(), childVar+"="+name)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestRunInProgram(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := runChild(t, c.name)
			if stdout != "result\n" || stderr != "" || code != 7 {
				t.Errorf("stdout %q, stderr %q, exit code %d; want the result, nothing and 7", stdout, stderr, code)
			}
		})
	}
}

func TestPanicElsewhereEndsTheProgram(t *testing.T) {
	stdout, stderr, code := runChild(t, "panic elsewhere")
	if stdout != "" || !strings.Contains(stderr, "panic: argh") || code != 2 {
		t.Errorf("stdout %q, stderr %q, exit code %d; want a panic and 2", stdout, stderr, code)
	}
}
