// Package bubble runs code in virtual time: in a bubble of testing/synctest,
// where the clock stands still while any goroutine can run and jumps to the
// next timer when all are blocked.
//
// testing/synctest needs a *testing.T, which outside "go test" only package
// testing can make. Of the ways to get one, testing.Main is the least bad. It
// is exported and documented, if only for systems that simulate go test, but
// it ends the process when the tests are done. So the one test given to it
// never ends: it waits for runs and carries them out as subtests, whose output
// package testing keeps for a parent that does not finish. Nothing is printed,
// and control comes back. The alternatives are worse: testing.RunTests runs
// nothing, as only testing.Main sets up what it needs; testing.MainStart wants
// an unexported interface that changes with Go's releases; a zero testing.T is
// not promised to work.
package bubble

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// linger is how long in virtual time goroutines may outlive the function. A
// memberlist node that was shut down still finishes its probe and its streams:
// with the WAN profile, 40 s and 30 s.
const linger = 2 * time.Minute

// ErrStuck is wrapped by the error of a run in which goroutines are left that
// cannot or do not end. Their stacks are part of the error's text, and they
// stay in memory.
var ErrStuck = errors.New("goroutines are stuck in virtual time")

// Run runs f in a bubble and returns its error. Virtual time starts at
// midnight UTC on 2000-01-01.
//
// When f has returned, its context is cancelled and virtual time runs on for
// up to two minutes until all goroutines that f has started have ended. Run
// returns an error that wraps [ErrStuck] when some have not, or when all
// goroutines of the bubble wait for each other, and an error with the stack
// when f panics. A panic in another goroutine ends the process with status 2
// and a stack on stderr, as everywhere in Go. f must not wait for anything
// outside the bubble: virtual time would stand still.
//
// In a test t is the test's own. Elsewhere it is nil: then runs take turns,
// and package testing registers its flags with flag.CommandLine, which is
// marked as parsed unless it was before.
func Run(t *testing.T, f func(ctx context.Context) error) error {
	var err error
	if t != nil {
		inBubble(t, f, &err)
		return err
	}
	start.Do(serve)
	done := make(chan struct{})
	runs <- func(t *testing.T) {
		defer close(done)
		inBubble(t, f, &err)
	}
	<-done
	return err
}

var (
	start sync.Once
	runs  = make(chan func(*testing.T))
)

// serve starts the test that carries out runs and never ends.
func serve() {
	testing.Init()
	if !flag.Parsed() {
		// Otherwise testing.Main would read the arguments of the program.
		_ = flag.CommandLine.Parse(nil)
	}
	test := testing.InternalTest{Name: "bubble", F: func(t *testing.T) {
		for run := range runs {
			t.Run("run", run)
		}
	}}
	go testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}, nil, nil)
}

// inBubble runs f and what it leaves behind. It sets *result before it
// returns, and also when t has failed and the goroutine exits.
func inBubble(t *testing.T, f func(ctx context.Context) error, result *error) {
	*result = errors.New("the run was cut short: package testing has failed it")
	var bubble string
	defer func() {
		// synctest reports by a panic here that goroutines are blocked for good.
		if p := recover(); p != nil && !errors.Is(*result, ErrStuck) {
			*result = fmt.Errorf("%w: %v\n\n%s", ErrStuck, p, stacks(bubble, nil))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		var before map[string]bool
		bubble, before = census()
		ctx, cancel := context.WithCancel(t.Context())
		err := call(ctx, f)
		cancel()
		if left := settle(bubble, before); left != "" {
			err = errors.Join(err, fmt.Errorf("%w: still there %v after the end\n\n%s", ErrStuck, linger, left))
		}
		*result = err
	})
}

// call runs f in a goroutine of its own, so that runtime.Goexit ends f alone.
func call(ctx context.Context, f func(ctx context.Context) error) error {
	err := errors.New("the run ended its goroutine without returning")
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n\n%s", p, debug.Stack())
			}
		}()
		err = f(ctx)
	}()
	<-done
	return err
}

// settle lets virtual time run on until no goroutine is left that was not
// there before, and returns the stacks of those left when time is up.
func settle(bubble string, before map[string]bool) string {
	step := time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		synctest.Wait()
		left := stacks(bubble, before)
		if left == "" || waited >= linger {
			return left
		}
		step = min(2*step, 10*time.Second)
		time.Sleep(step)
	}
}
