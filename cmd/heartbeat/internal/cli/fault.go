package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator/kernelfault"
)

func (a *app) faultVerb() *cli.Command {
	return &cli.Command{
		Name: "fault", Category: categoryPrepare,
		Usage: "make packets between this machine and others go wrong, for a time",
		Description: "Faults are done by the kernel (nftables) to what this machine, or one network\n" +
			"namespace, receives from the peers given; the senders notice nothing. They need\n" +
			"Linux and root (or CAP_NET_ADMIN); `heartbeat fault doctor` tells what works here.\n" +
			"`heartbeat simulate run` tries faults on simulated nodes and needs nothing.",
		Subcommands: []*cli.Command{
			a.faultApplyCommand(),
			a.faultListCommand(),
			a.faultClearCommand(),
			a.faultDoctorCommand(),
			a.faultGateCommand(),
		},
	}
}

// namedNamespaces is where `ip netns add NAME` puts the file of a namespace.
const namedNamespaces = "/run/netns"

// namespaceFlags say in which network namespace faults are.
func namespaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "netns", Usage: "work in the network namespace of this `FILE`, or of this name in /run/netns"},
		&cli.IntFlag{Name: "pid", Usage: "work in the network namespace of process `PID`"},
	}
}

// inNamespace calls f with a file descriptor of the namespace that the flags
// name; 0 stands for this process's own.
func inNamespace(c *cli.Context, f func(fd int) error) error {
	path := c.String("netns")
	switch pid := c.Int("pid"); {
	case c.IsSet("netns") && c.IsSet("pid"):
		return usagef("--netns and --pid do not go together: choose one")
	case c.IsSet("pid") && pid <= 0:
		return usagef("--pid %d is not possible: it must be positive", pid)
	case c.IsSet("pid"):
		path = "/proc/" + strconv.Itoa(pid) + "/ns/net"
	case c.IsSet("netns") && path == "":
		return usagef("--netns is empty: give the file of a network namespace")
	case path == "":
		return f(0)
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && !strings.Contains(path, "/") {
		file, err = os.Open(filepath.Join(namedNamespaces, path))
	}
	if errors.Is(err, os.ErrPermission) {
		return usagef("needs root: %w", err)
	}
	if err != nil {
		return usagef("cannot use that network namespace: %w", err)
	}
	defer file.Close()
	return f(int(file.Fd()))
}

// cannotFault gives what package kernelfault reports its exit code, and says
// what to do instead where this machine or this user cannot do it.
func cannotFault(err error) error {
	if !errors.Is(err, kernelfault.ErrUnsupported) {
		return err
	}
	if errors.Is(err, os.ErrPermission) {
		return &failure{code: exitUsage, err: fmt.Errorf("needs root or CAP_NET_ADMIN: %w", err), hint: virtualHint}
	}
	return &failure{code: exitUsage, err: err,
		hint: "`heartbeat fault doctor` lists what works here; the virtual engine of `heartbeat simulate run` needs none of it"}
}

func (a *app) faultListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the faults in effect",
		Description: "Those of all processes of this program in the namespace. A fault whose process\n" +
			"has died is marked and ends when its time is over.",
		Flags:  append(namespaceFlags(), formatFlag(formatTable, formatJSON, formatYAML)),
		Action: a.listFaults,
	}
}

func (a *app) listFaults(c *cli.Context) error {
	var owned []kernelfault.Owned
	if err := inNamespace(c, func(fd int) (err error) {
		owned, err = kernelfault.List(fd)
		return cannotFault(err)
	}); err != nil {
		return err
	}
	if format := c.String("format"); format != formatTable {
		if owned == nil {
			owned = []kernelfault.Owned{}
		}
		return a.document(format, owned)
	}
	t := newTable(a.stdout, "FAULT", "FROM", "EFFECT", "LEFT", "OWNER")
	for _, o := range owned {
		owner := "alive"
		if !o.Alive {
			owner = "dead"
		}
		for _, f := range o.Faults {
			t.add(plain(clean(f.ID)), plain(peerList(f.Peers)), plain(effectText(f.Fault)), plain(timeLeft(f.Remaining)), plain(owner))
		}
	}
	if len(t.rows) == 0 {
		return a.print("no faults\n")
	}
	return a.print(t.String())
}

func (a *app) faultClearCommand() *cli.Command {
	return &cli.Command{
		Name: "clear", Usage: "end all faults at once, whoever made them",
		Flags: namespaceFlags(),
		Action: func(c *cli.Context) error {
			return inNamespace(c, func(fd int) error {
				faults, tables, err := kernelfault.Clear(fd)
				if err != nil {
					return cannotFault(err)
				}
				return a.print(fmt.Sprintf("ended %s, removed %s\n", plural(faults, "fault"), plural(tables, "table")))
			})
		},
	}
}

func (a *app) faultDoctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "try what this kernel can do: exit code 0 when cut and loss work, else 2",
		Description: "Each capability is tried for a moment in the network namespace given, or this\nprocess's own; nothing of it stays, and no packet is touched.",
		Flags:       append(namespaceFlags(), formatFlag(formatTable, formatJSON, formatYAML)),
		Action: func(c *cli.Context) error {
			return inNamespace(c, func(fd int) error { return a.showCapabilities(c.String("format"), kernelfault.Capabilities(fd)) })
		},
	}
}

// virtualHint is what can be done where faults of the kernel cannot.
const virtualHint = "use the virtual engine of `heartbeat simulate run`, which needs nothing"

// basicFaults are the faults without which hardly any scenario can run, and the
// capabilities that they need.
var basicFaults = []struct {
	name  string
	needs []string
}{{"cut", []string{"nftables"}}, {"loss", []string{"nftables", "numgen"}}}

func (a *app) showCapabilities(format string, list []kernelfault.Capability) error {
	if format != formatTable {
		if err := a.document(format, list); err != nil {
			return err
		}
	} else {
		t := newTable(a.stdout, "CAPABILITY", "WORKS", "FOR", "DETAIL")
		for _, c := range list {
			works := styled(styleWorks, yesNo(c.OK))
			t.add(plain(clean(c.Name)), works, plain(clean(c.For)), plain(clean(c.Detail)))
		}
		if err := a.print(t.String()); err != nil {
			return err
		}
	}
	var missing []string
	for _, f := range basicFaults {
		if slices.ContainsFunc(f.needs, func(name string) bool { return !works(list, name) }) {
			missing = append(missing, f.name)
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case slices.ContainsFunc(list, func(c kernelfault.Capability) bool { return c.Detail == kernelfault.NotPermitted }):
		return &failure{code: exitUsage, err: errors.New("not root: run it as root (or with CAP_NET_ADMIN)"), hint: virtualHint}
	}
	return &failure{code: exitUsage, err: errors.New("faults of the kernel do not work here: no " + listed(missing)),
		hint: virtualHint}
}

func works(list []kernelfault.Capability, name string) bool {
	for _, c := range list {
		if c.Name == name {
			return c.OK
		}
	}
	return false
}
