package cli

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
)

func (a *app) keysVerb() *cli.Command {
	return &cli.Command{
		Name: "keys", Category: categoryAsk,
		Usage: "list and change the encryption keys of the agent's node",
		Description: "Keys are named by their id, a fingerprint; a key itself is never shown. Each node\n" +
			"has its own keyring. To change the key of a cluster without a break, go through\n" +
			"all nodes three times: install the new key, use it, remove the old one.",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the installed keys", Flags: []cli.Flag{formatFlag(formatTable, formatJSON, formatYAML)},
				Action: a.ask(func(c *cli.Context, api *httpapi.Client) error { return a.listKeys(c, api) }),
			},
			{
				Name: "install", Usage: "add a key, which then decrypts but does not encrypt yet", ArgsUsage: "[FILE]",
				Description: "The base64 key comes from FILE, or from standard input when FILE is missing or -.\nIt is never an argument, since others could read it in the list of processes.",
				Action:      a.installKey,
			},
			{
				Name: "use", Usage: "encrypt with an installed key from now on", ArgsUsage: "ID",
				Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
					if err := api.UseKey(c.Context, c.Args().First()); err != nil {
						return err
					}
					return a.print("key " + c.Args().First() + " encrypts now\n")
				}),
			},
			{
				Name: "remove", Usage: "take a key away that is no longer used", ArgsUsage: "ID",
				Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
					if err := api.RemoveKey(c.Context, c.Args().First()); err != nil {
						return err
					}
					return a.print("key " + c.Args().First() + " is removed\n")
				}),
			},
		},
	}
}

func (a *app) listKeys(c *cli.Context, api *httpapi.Client) error {
	keys, err := api.Keys(c.Context)
	if err != nil {
		return err
	}
	if format := c.String("format"); format != formatTable {
		return a.document(format, httpapi.Keys{Keys: keys})
	}
	t := newTable(a.stdout, "ID", "BITS", "PRIMARY")
	for _, k := range keys {
		t.add(plain(clean(k.ID)), plain(fmt.Sprint(k.Bits)), plain(yesNo(k.Primary)))
	}
	return a.print(t.String())
}

func (a *app) installKey(c *cli.Context) error {
	key, err := a.readKey(c.Args().First())
	if err != nil {
		return usagef("cannot read the key: %w", err)
	}
	if _, err := gossip.ParseKey(key); err != nil {
		return usagef("%w: make one with `heartbeat keygen`", err)
	}
	return a.ask(func(c *cli.Context, api *httpapi.Client) error {
		id, err := api.InstallKey(c.Context, key)
		if err != nil {
			return err
		}
		return a.print("key " + clean(id) + " is installed; `heartbeat keys use` makes it encrypt, once all nodes have it\n")
	})(c)
}

func (a *app) readKey(path string) (string, error) {
	if path == "" || path == "-" {
		if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return "", fmt.Errorf("standard input is a terminal: give a FILE, or pipe the key in")
		}
		return readSecretFrom(a.stdin, "standard input")
	}
	if _, err := gossip.ParseKey(path); err == nil {
		if _, err := os.Stat(path); err != nil {
			// Not repeated: it is a secret, which others may have seen by now.
			return "", fmt.Errorf("a key itself was given instead of a file: discard it and make another one")
		}
	}
	return readSecret(path)
}
