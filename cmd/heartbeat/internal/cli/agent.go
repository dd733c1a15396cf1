package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"heartbeat/cmd/heartbeat/internal/agent"
	"heartbeat/cmd/heartbeat/internal/config"
)

func (a *app) agentVerb() *cli.Command {
	return &cli.Command{
		Name: "agent", Category: categoryRun,
		Usage: "run a node in the foreground until Ctrl-C or SIGTERM",
		Description: "Settings come from the file, then environment variables (HEARTBEAT_PROBE_INTERVAL\n" +
			"for probe.interval), then flags, the later over the earlier. `heartbeat config\n" +
			"sample` explains them all; `heartbeat config show` with the same flags tells what\n" +
			"would count. The log goes to stderr. Ctrl-C or SIGTERM leaves the cluster\n" +
			"gracefully, a second one ends at once, SIGHUP reads the settings anew.",
		Flags: settingFlags(),
		Action: func(c *cli.Context) error {
			settings, err := resolve(c)
			if err != nil {
				return err
			}
			err = agent.Run(c.Context, agent.Options{
				Settings: settings,
				Reload:   func() (*config.Settings, error) { return resolve(c) },
				Version:  currentBuild().Version,
				Stderr:   a.stderr,
			})
			var unusable *config.Error
			if errors.As(err, &unusable) {
				return badConfig(err)
			}
			if err != nil {
				return &failure{code: exitFailed, err: fmt.Errorf("the agent has stopped: %w", err)}
			}
			return nil
		},
	}
}
