package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip"
)

func (a *app) keygenVerb() *cli.Command {
	return &cli.Command{
		Name: "keygen", Category: categoryPrepare,
		Usage: "make an encryption key",
		Description: "Prints the key in base64 unless it goes into a file, which must not exist yet and\n" +
			"which only its owner can read. All nodes of a cluster need the same key: copy the\n" +
			"keyring file to each and name it in the configuration (encryption.keyring).",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "bits", Value: 256, Usage: "length `N` of the key: 128, 192 or 256"},
			&cli.StringFlag{Name: "out", Usage: "write the key alone to a new `FILE`, as `heartbeat keys install` reads it"},
			&cli.StringFlag{Name: "keyring", Usage: "write a new keyring `FILE` for the agent"},
		},
		Action: func(c *cli.Context) error {
			out, keyring := c.String("out"), c.String("keyring")
			if out != "" && keyring != "" {
				return usagef("--out and --keyring do not go together: choose one")
			}
			key, err := gossip.GenerateKey(c.Int("bits"))
			if err != nil {
				return usagef("--bits: %w", err)
			}
			switch {
			case keyring != "":
				_, err = gossip.CreateKeyring(keyring, key)
				return a.keyWritten(keyring, key, err)
			case out != "":
				return a.keyWritten(out, key, writeNew(out, key+"\n"))
			}
			return a.print(key + "\n")
		},
	}
}

func (a *app) keyWritten(path, key string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: it was not changed, since the key in it may be in use; choose another name", path)
	}
	if err != nil {
		return fmt.Errorf("cannot write the key: %w", err)
	}
	raw, err := gossip.ParseKey(key)
	if err != nil {
		return err
	}
	return a.print("key " + gossip.KeyID(raw) + " is in " + path + "\n")
}

// writeNew creates a file for its owner alone. A file that is there already is
// left as it is; one that could not be written whole is removed.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
