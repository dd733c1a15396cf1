package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/cmd/heartbeat/internal/offspring"
	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/sidecar"
)

// The environment of the gate, which the agent behind it does not get.
const (
	faultEnvPrefix    = "HEARTBEAT_FAULT_"
	faultAddressEnv   = faultEnvPrefix + "ADDRESS"
	faultTokenFileEnv = faultEnvPrefix + "TOKEN_FILE"
	faultParentEnv    = faultEnvPrefix + "PARENT" // set for its children by a gate that stays: its process id
)

// faultAgentFlags say where the fault agent is.
func faultAgentFlags(address, token string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "address", Value: sidecar.DefaultAddress, EnvVars: []string{faultAddressEnv}, Usage: address},
		&cli.StringFlag{Name: "token-file", EnvVars: []string{faultTokenFileEnv}, Usage: token},
	}
}

func (a *app) faultGateCommand() *cli.Command {
	return &cli.Command{
		Name: "gate", Usage: "wait until the fault agent lets this process go, and become the command given",
		ArgsUsage: "COMMAND [ARG...]",
		Description: "For a container whose agent is killed and started again by a fault agent beside it\n" +
			"(see `heartbeat fault-agent`): heartbeat fault gate -- heartbeat agent. The command\n" +
			"takes the place of this process, with its id. It does not get the variables\n" +
			"HEARTBEAT_FAULT_*, and may get settings that the fault agent was told.\n" +
			"\n" +
			"With --again this process stays, runs gate and command as another one, and does so\n" +
			"again when that was killed (SIGKILL) or ended with status 0; with another status it\n" +
			"ends too. Container engines wait longer and longer before they restart a container\n" +
			"that ended after less than ten seconds; this one goes on. It passes SIGTERM, Ctrl-C\n" +
			"(as SIGTERM) and SIGHUP on, and gives the command no standard input.",
		Flags: append(faultAgentFlags(
			"`ADDRESS` of the fault agent: host:port or unix:/path, in this network namespace",
			"`FILE` with the token that the fault agent asks for"),
			&cli.BoolFlag{Name: "again", Usage: "run gate and command as another process, each time that one was killed or has ended well"}),
		Action: a.faultGate,
	}
}

func (a *app) faultGate(c *cli.Context) error {
	if !c.Bool("again") {
		return a.passGate(c)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the program to run the gate with: %w", err)
	}
	args := append([]string{os.Args[0], "fault", "gate", "--address", c.String("address"), "--token-file", c.String("token-file"), "--"}, c.Args().Slice()...)
	return a.passAgain(c.Context, exe, args)
}

// againPause keeps a command that is killed at once, again and again, from taking the whole machine.
const againPause = 100 * time.Millisecond

// passAgain runs the gate as a child until ctx ends or a child ends badly.
func (a *app) passAgain(ctx context.Context, exe string, args []string) error {
	runtime.LockOSThread() // see offspring.Attr
	defer runtime.UnlockOSThread()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	for {
		child := &exec.Cmd{Path: exe, Args: args, Env: append(os.Environ(), faultParentEnv+"="+strconv.Itoa(os.Getpid())),
			Stdout: a.stdout.Writer, Stderr: a.stderr, SysProcAttr: offspring.Attr()} // files, for Wait also waits for the end of pipes
		if err := child.Start(); err != nil {
			return fmt.Errorf("cannot run the gate: %w", err)
		}
		ended := make(chan struct{})
		go passOn(ctx.Done(), reload, child.Process, ended)
		err := child.Wait()
		close(ended)
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil && err == nil:
			return nil
		case errors.As(err, &exit) && ctx.Err() == nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		case errors.As(err, &exit):
			return &failure{code: max(exit.ExitCode(), exitFailed), err: fmt.Errorf("what was behind the gate has ended: %w", err)}
		case err != nil:
			return fmt.Errorf("cannot wait for what is behind the gate: %w", err)
		}
		select {
		case <-time.After(againPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// passOn passes on to a child what this process is told, until the child has ended.
func passOn(stop <-chan struct{}, reload <-chan os.Signal, child *os.Process, ended <-chan struct{}) {
	for {
		select {
		case <-stop:
			stop = nil
			_ = child.Signal(syscall.SIGTERM) // it may have ended, here and below
		case <-reload:
			_ = child.Signal(syscall.SIGHUP)
		case <-ended:
			return
		}
	}
}

func (a *app) passGate(c *cli.Context) error {
	command := c.Args().Slice()
	path, err := exec.LookPath(command[0])
	if err != nil {
		return usagef("cannot run the command behind the gate: %w", err)
	}
	cfg := sidecar.Config{Address: c.String("address")}
	if file := c.String("token-file"); file != "" {
		if cfg.Token, err = readSecret(file); err != nil {
			return usagef("cannot read the fault agent's token: %w", err)
		}
	}
	client, err := sidecar.NewClient(cfg)
	if err != nil {
		return usagef("%w", err)
	}
	defer client.Close()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // for the command, which does not run yet; exec forgets it
	settings, err := client.Pass(c.Context, func(reason error) {
		fmt.Fprintf(a.stderr, "heartbeat: waiting at the gate: %s\n", clean(reason.Error()))
	})
	if err != nil {
		return explainGate(err)
	}
	if parent, err := strconv.Atoi(os.Getenv(faultParentEnv)); err == nil {
		runtime.LockOSThread()
		if err := offspring.Keep(parent); err != nil {
			return err
		}
	}
	err = syscall.Exec(path, command, behindGate(os.Environ(), settings))
	return fmt.Errorf("cannot run %s behind the gate: %w", path, err)
}

// behindGate is the environment of the command behind the gate.
func behindGate(env []string, settings map[string]string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		_, set := settings[name]
		return set || strings.HasPrefix(name, faultEnvPrefix)
	})
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

func explainGate(err error) error {
	var refused *httpapi.APIError
	switch {
	case errors.Is(err, httpapi.ErrNotAuthorised) && errors.As(err, &refused) && refused.Type == httpapi.ProblemUnauthorised:
		return &failure{code: exitUnauthorised, err: err, hint: "give the fault agent's token with --token-file FILE or " + faultTokenFileEnv}
	case errors.Is(err, httpapi.ErrNotAuthorised) && errors.As(err, &refused):
		return &failure{code: exitUnauthorised, err: err, hint: refused.Hint}
	case errors.As(err, &refused):
		return &failure{code: exitFailed, err: err, hint: refused.Hint}
	}
	return err
}
