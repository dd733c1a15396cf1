package cli

import (
	"errors"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/cmd/heartbeat/internal/config"
)

func (a *app) configVerb() *cli.Command {
	return &cli.Command{
		Name: "config", Category: categoryPrepare,
		Usage: "check a configuration, show what counts, print a sample",
		Subcommands: []*cli.Command{
			{
				Name: "check", Usage: "check a configuration file; nothing is started", ArgsUsage: "FILE",
				Action: func(c *cli.Context) error {
					if err := config.Check(c.Args().First()); err != nil {
						return badConfig(err)
					}
					return a.print(c.Args().First() + " is fine\n")
				},
			},
			{
				Name: "show", Usage: "show every setting as an agent with these flags would have it, and where it comes from",
				Flags: settingFlags(),
				Action: func(c *cli.Context) error {
					settings, err := resolve(c)
					if err != nil {
						return err
					}
					return config.Show(a.stdout, settings)
				},
			},
			{
				Name: "sample", Usage: "print a configuration file with every setting explained",
				Action: func(*cli.Context) error { return a.print(string(config.Sample())) },
			},
		},
	}
}

// badConfig is the failure for a configuration that cannot be used.
func badConfig(err error) error {
	f := &failure{code: exitUsage, err: err}
	var list *config.Error
	if errors.As(err, &list) && len(list.Problems) > 1 {
		f.err = errors.New("the configuration cannot be used:\n  " + strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return f
}

// shorthand is a flag for a setting that is often given by hand.
type shorthand struct {
	flag, placeholder, key string
	aliases                []string
}

var shorthands = []shorthand{
	{"name", "NAME", "node.name", []string{"n"}},
	{"bind", "ADDRESS", "network.bind", nil},
	{"port", "PORT", "network.port", nil},
	{"advertise", "IP", "network.advertise", nil},
	{"profile", "PROFILE", "profile", nil},
	{"keyring", "FILE", "encryption.keyring", nil},
	{"api", "ADDRESS", "api.address", nil},
	{"data-dir", "DIR", "data_dir", nil},
	{"log-level", "LEVEL", "log.level", nil},
	{"log-format", "FORMAT", "log.format", nil},
}

// settingFlags are the flags of all verbs that put an agent's settings
// together.
func settingFlags() []cli.Flag {
	help := map[string]string{}
	for _, s := range config.Table() {
		help[s.Key] = s.Help
		if s.Kind == "choice" {
			help[s.Key] += ": " + s.Bounds
		}
	}
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, EnvVars: []string{"HEARTBEAT_CONFIG"}, Usage: "configuration `FILE` (YAML)"},
		&cli.StringSliceFlag{Name: "join", Aliases: []string{"j"}, Usage: "`SEED` to join through (repeatable; cluster.seeds)"},
		&cli.StringSliceFlag{Name: "tag", Usage: "`KEY=VALUE` that all members see (repeatable; node.tags)"},
	}
	for _, s := range shorthands {
		flags = append(flags, &cli.StringFlag{Name: s.flag, Aliases: s.aliases,
			Usage: "`" + s.placeholder + "`, the " + s.key + " setting: " + help[s.key]})
	}
	return append(flags, &cli.StringSliceFlag{Name: "set", Usage: "any other setting as `KEY=VALUE`, over file and environment (repeatable)"})
}

// resolve puts the settings together from the file, the environment and the
// flags, the later over the earlier.
func resolve(c *cli.Context) (*config.Settings, error) {
	src := config.Sources{File: c.String("config"), Env: os.Environ()}
	for _, list := range []shorthand{{flag: "join", key: "cluster.seeds"}, {flag: "tag", key: "node.tags"}} {
		if values := c.StringSlice(list.flag); len(values) > 0 {
			src.Flags = append(src.Flags, config.Flag{Name: "--" + list.flag, Key: list.key, Value: strings.Join(values, ",")})
		}
	}
	for _, s := range shorthands {
		if c.IsSet(s.flag) {
			src.Flags = append(src.Flags, config.Flag{Name: "--" + s.flag, Key: s.key, Value: c.String(s.flag)})
		}
	}
	for _, arg := range c.StringSlice("set") {
		f, err := config.ParseSet(arg)
		if err != nil {
			return nil, usagef("%w", err)
		}
		src.Flags = append(src.Flags, f)
	}
	settings, err := config.Resolve(src)
	if err != nil {
		return nil, badConfig(err)
	}
	return settings, nil
}
