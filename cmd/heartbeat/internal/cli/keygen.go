package cli

import (
	"crypto/rand"
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
		Usage: "make an encryption key, or a token for the API",
		Description: "Prints a key in base64 unless files are named. Those must not exist yet, and only\n" +
			"their owner can read them. All nodes of a cluster need the same key: copy the\n" +
			"keyring file to each and name it in the configuration (encryption.keyring).",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "bits", Value: 256, Usage: "length `N` of the key: 128, 192 or 256"},
			&cli.StringFlag{Name: "out", Usage: "write the key alone to a new `FILE`, as `heartbeat keys install` reads it"},
			&cli.StringFlag{Name: "keyring", Usage: "write a new keyring `FILE` for the agent"},
			&cli.StringFlag{Name: "token", Usage: "write a random token to a new `FILE` for the API (api.token_file, --token-file)"},
			&cli.BoolFlag{Name: "if-missing", Usage: "leave files that exist as they are, and succeed"},
		},
		Action: a.keygen,
	}
}

func (a *app) keygen(c *cli.Context) error {
	out, keyring, token := c.String("out"), c.String("keyring"), c.String("token")
	if out != "" && keyring != "" {
		return usagef("--out and --keyring do not go together: choose one")
	}
	key, err := gossip.GenerateKey(c.Int("bits"))
	if err != nil {
		return usagef("--bits: %w", err)
	}
	if out == "" && keyring == "" && token == "" {
		return a.print(key + "\n")
	}
	for _, f := range []struct {
		path, what string
		write      func(path string) error
	}{
		{out, "an encryption key", func(path string) error { return writeNew(path, key+"\n") }},
		{keyring, "a keyring", func(path string) error { _, err := gossip.CreateKeyring(path, key); return err }},
		{token, "a token", func(path string) error { return writeNew(path, rand.Text()+"\n") }},
	} {
		if f.path == "" {
			continue
		}
		if err := a.writeSecret(f.path, f.what, c.Bool("if-missing"), f.write); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) writeSecret(path, what string, ifMissing bool, write func(string) error) error {
	err := write(path)
	switch {
	case err == nil:
		return a.print("wrote " + what + " to " + path + "\n")
	case errors.Is(err, fs.ErrExist) && ifMissing:
		return a.print(path + " exists already and stays as it is\n")
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s exists already: it was not changed, since what it holds may be in use; choose another name, or give --if-missing", path)
	}
	return fmt.Errorf("cannot write %s: %w", what, err)
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
