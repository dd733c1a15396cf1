package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/sidecar"
)

// The environment of the gate, which the agent behind it does not get.
const (
	faultEnvPrefix    = "HEARTBEAT_FAULT_"
	faultAddressEnv   = faultEnvPrefix + "ADDRESS"
	faultTokenFileEnv = faultEnvPrefix + "TOKEN_FILE"
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
			"HEARTBEAT_FAULT_*, and may get settings that the fault agent was told.",
		Flags: faultAgentFlags(
			"`ADDRESS` of the fault agent: host:port or unix:/path, in this network namespace",
			"`FILE` with the token that the fault agent asks for"),
		Action: a.passGate,
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
	settings, err := client.Pass(c.Context, func(reason error) {
		fmt.Fprintf(a.stderr, "heartbeat: waiting at the gate: %s\n", clean(reason.Error()))
	})
	if err != nil {
		return explainGate(err)
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
