package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// Set by the linker in a release:
// -ldflags "-X heartbeat/cmd/heartbeat/internal/cli.version=v1.2.3 -X heartbeat/internal/cli.commit=abc".
var version, commit string

// build says what this binary was made of.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// currentBuild takes what the linker was not told from what the Go tool has
// noted.
func currentBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
		dirty := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				b.Commit = cmp.Or(b.Commit, s.Value)
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+changes"
			}
		}
		if commit == "" && b.Commit != "" {
			b.Commit += dirty
		}
	}
	b.Version = cmp.Or(b.Version, "(devel)")
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}

func (a *app) versionVerb() *cli.Command {
	return &cli.Command{
		Name: "version", Category: categoryOther,
		Usage: "show the version of this program",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *cli.Context) error {
			b := currentBuild()
			if c.Bool("json") {
				return a.document(formatJSON, b)
			}
			return a.print("heartbeat " + b.Version + " (commit " + b.Commit + ", " + b.Go + ", " + b.OS + "/" + b.Arch + ")\n")
		},
	}
}
