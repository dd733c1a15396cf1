package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"heartbeat/cmd/heartbeat/internal/demo"
	"heartbeat/gossip/httpapi"
)

func (a *app) demoVerb() *cli.Command {
	return &cli.Command{
		Name: "demo", Category: categoryPrepare,
		Usage: "watch five agents on this machine notice a crash, a return and a leave",
		Description: "The agents are real processes on free ports of 127.0.0.1. They are ended and their\n" +
			"files removed when the demo ends, in whatever way.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "keep", Usage: "only start the agents, and leave them running until Ctrl-C, with commands to try on them"},
		},
		Action: func(c *cli.Context) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find this program's own file, which the agents run: %w", err)
			}
			keep := c.Bool("keep")
			err = demo.Run(c.Context, demo.Options{
				Executable: self, Out: a.stdout, Keep: keep,
				Table: func(w io.Writer, view *httpapi.Members) error {
					_, err := io.WriteString(w, membersTable(a.stdout, view, false, view.At).String())
					return err
				},
			})
			if keep {
				return stopped(c.Context, err)
			}
			return err
		},
	}
}
