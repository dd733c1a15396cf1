package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
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
			&cli.StringSliceFlag{Name: "token-for", Usage: "write that token for another user as well: `UID:GID:FILE` (as root, repeatable)"},
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
	copies, err := parseCopies(c.StringSlice("token-for"))
	switch {
	case err != nil:
		return err
	case len(copies) > 0 && token == "":
		return usagef("--token-for needs --token: which token shall the others have?")
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
	return a.copyToken(token, copies)
}

// tokenCopy is a file with the token for another user. One file would not do:
// a token that more than its owner can read is refused.
type tokenCopy struct {
	uid, gid int
	path     string
}

func parseCopies(words []string) ([]tokenCopy, error) {
	var copies []tokenCopy
	for _, word := range words {
		parts := strings.SplitN(word, ":", 3)
		if len(parts) < 3 || parts[2] == "" {
			return nil, usagef("--token-for %s: it takes UID:GID:FILE, such as 65532:65532:/secrets/token", word)
		}
		uid, err := strconv.ParseUint(parts[0], 10, 31)
		gid, err2 := strconv.ParseUint(parts[1], 10, 31)
		if err != nil || err2 != nil {
			return nil, usagef("--token-for %s: the user and the group are numbers, as in 65532:65532:/secrets/token", word)
		}
		copies = append(copies, tokenCopy{int(uid), int(gid), parts[2]})
	}
	return copies, nil
}

// copyToken writes the copies, over those of before: they are nobody's only
// ones.
func (a *app) copyToken(from string, copies []tokenCopy) error {
	if len(copies) == 0 {
		return nil
	}
	token, err := httpapi.ReadTokenFile(from)
	if err != nil {
		return err
	}
	for _, f := range copies {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot replace the token's copy: %w", err)
		}
		if err := writeNew(f.path, token+"\n"); err != nil {
			return fmt.Errorf("cannot write a copy of the token: %w", err)
		}
		if err := os.Chown(f.path, f.uid, f.gid); err != nil {
			return errors.Join(fmt.Errorf("cannot give the token's copy away, it was removed: %w", err), os.Remove(f.path))
		}
		if err := a.print(fmt.Sprintf("wrote the token to %s for user %d\n", f.path, f.uid)); err != nil {
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
