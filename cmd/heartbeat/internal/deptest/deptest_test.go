// Package deptest holds the rules of who may import whom, each with its
// reason. They keep the core free of I/O, the engine replaceable and the agent
// free of test machinery.
package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "heartbeat"

// internal is where the program's own packages live.
const internal = module + "/cmd/heartbeat/internal"

type pkg struct {
	ImportPath string
	Imports    []string // direct
	Deps       []string // all, direct or not
	Standard   bool
}

// list returns the module's packages, without their tests.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Standard", module+"/...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	return pkgs
}

// root is the module's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// under tells whether a package is the one named or below it.
func under(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool {
		return path == tree || strings.HasPrefix(path, tree+"/")
	})
}

func std(path string) bool {
	return !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") && !under(path, module)
}

// rule is one about who may import whom.
type rule struct {
	who    string
	reason string
	forbid func(path string) bool
	deep   bool // the rule is about everything that gets linked in
}

// engines are the packages that play scenarios, and what they are made of.
var engines = []string{
	module + "/simulator/virtual", module + "/simulator/fabric",
	module + "/simulator/live", module + "/simulator/netns", module + "/simulator/compose",
	module + "/simulator/kernelfault", module + "/simulator/sidecar",
}

func TestImports(t *testing.T) {
	rules := []rule{
		{
			who: module + "/membership", deep: true,
			reason: "the core is pure, so that every rule can be tested with a clock in hand and no network",
			forbid: func(p string) bool {
				return !std(p) && p != module+"/membership" || under(p, "net", "os", "log") && p != "net/netip"
			},
		},
		{
			who:    module + "/gossip",
			reason: "the library must be usable without the simulator and the program",
			forbid: func(p string) bool { return under(p, module+"/simulator", module+"/cmd", internal) },
			deep:   true,
		},
		{
			who:    module + "/simulator/scenario",
			reason: "the scenario format knows no engine and no report, so that all engines share it",
			forbid: func(p string) bool {
				return under(p, append(engines, module+"/gossip", module+"/simulator/report", module+"/simulator/oracle")...)
			},
			deep: true,
		},
		{
			who:    module + "/simulator/oracle",
			reason: "the oracle judges what any engine reports and must not share an engine's mistakes",
			forbid: func(p string) bool {
				return under(p, append(engines, module+"/gossip", module+"/simulator/report")...)
			},
			deep: true,
		},
		{
			who:    module + "/simulator/report",
			reason: "a report shows results, whichever engine they came from",
			forbid: func(p string) bool { return under(p, engines...) },
			deep:   true,
		},
		{
			who:    module + "/simulator/kernelfault",
			reason: "faults are done to any network namespace, whoever lives in it",
			forbid: func(p string) bool { return under(p, module) && p != module+"/simulator/kernelfault" },
			deep:   true,
		},
		{
			who:    module + "/simulator/sidecar",
			reason: "the fault agent does as it is told by whoever holds its token, an engine or not, and stands beside every agent",
			forbid: func(p string) bool {
				return under(p, module+"/simulator", "testing") && !under(p, module+"/simulator/sidecar", module+"/simulator/kernelfault")
			},
			deep: true,
		},
		{
			who:    internal + "/agent",
			reason: "the daemon must not carry the simulator or package testing",
			forbid: func(p string) bool { return under(p, module+"/simulator", "testing") },
			deep:   true,
		},
	}
	for _, engine := range engines {
		rules = append(rules, rule{
			who:    engine,
			reason: "an engine runs nodes; what the outcome means and looks like is not its business",
			forbid: func(p string) bool { return under(p, module+"/simulator/oracle", module+"/simulator/report") },
			deep:   true,
		})
	}
	pkgs := list(t)
	for _, rule := range rules {
		for _, p := range pkgs {
			if !under(p.ImportPath, rule.who) {
				continue
			}
			imports := p.Imports
			if rule.deep {
				imports = p.Deps
			}
			for _, imp := range imports {
				// What the standard library imports is its own affair.
				if rule.forbid(imp) && (slices.Contains(p.Imports, imp) || !std(imp) || imp == "testing") {
					t.Errorf("%s imports %s, but %s", p.ImportPath, imp, rule.reason)
				}
			}
		}
	}
}

func TestOnlyTheEnginesOwnersImportIt(t *testing.T) {
	for _, p := range list(t) {
		if under(p.ImportPath, module+"/gossip", module+"/simulator/fabric") {
			continue
		}
		if slices.Contains(p.Imports, "github.com/hashicorp/memberlist") {
			t.Errorf("%s imports memberlist, but only gossip and the simulator's fabric do, so that the engine stays behind one interface", p.ImportPath)
		}
	}
}

func TestTopLevel(t *testing.T) {
	allowed := []string{"cmd", "gossip", "membership", "simulator", "scripts", "docs", "bin", "reports",
		"go.mod", "go.sum", "tools.mod", "tools.sum", "docker-compose.yml", "Dockerfile", "Makefile", "README.md", "ARCHITECTURE.md"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s stands at the top level, where a reader looks for the parts of the project", e.Name())
		}
	}
}

// Files stay small enough to be read in one go.
func TestFileLengths(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "*.go")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("SKIPPED: not a git checkout: %v", err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		data, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			continue // removed but not committed yet
		}
		if n := bytes.Count(data, []byte("\n")); n > 450 && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s has %d lines: split it by meaning", name, n)
		}
	}
}
