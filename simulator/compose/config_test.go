package compose

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	token, open := filepath.Join(dir, "token"), filepath.Join(dir, "open")
	for path, mode := range map[string]os.FileMode{token: 0o600, open: 0o644} {
		if err := os.WriteFile(path, []byte("a-token-of-sufficient-length\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	const two = "10.1.0.1=10.2.0.1 10.1.0.2=10.2.0.2"
	for _, c := range []struct{ name, nodes, token, want string }{
		{"not inside", "", token, "docker-compose run --rm simulate SCENARIO"},
		{"two nodes", two, token, ""},
		{"IPv6 and much space", "\n fd00::1=fd01::1\t fd00::2=fd01::2 \n", token, ""},
		{"one node", "10.1.0.1=10.2.0.1", token, "number of nodes listed: 1, possible are 2 to 100"},
		{"too many", strings.Repeat(two+" ", 60), token, "number of nodes listed: 120"},
		{"no address", "n1=10.2.0.1 10.1.0.2=10.2.0.2", token, `"n1=10.2.0.1" does not say where a node is`},
		{"no control address", "10.1.0.1 10.1.0.2=10.2.0.2", token, `"10.1.0.1" does not say`},
		{"twice", "10.1.0.1=10.2.0.1 10.1.0.1=10.2.0.2", token, "10.1.0.1 comes twice"},
		{"no token", two, "", "HEARTBEAT_COMPOSE_TOKEN_FILE is not set"},
		{"no token file", two, filepath.Join(dir, "none"), "no such file"},
		{"a token for all", two, open, "can be read by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{NodesEnv: c.nodes, TokenFileEnv: c.token}
			cfg, err := FromEnv(func(name string) string { return env[name] })
			if (c.nodes == "") != errors.Is(err, ErrOutside) {
				t.Errorf("the error is %v", err)
			}
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the error is %v, want %q", err, c.want)
				}
				return
			}
			if err != nil || len(cfg.Nodes) != 2 || cfg.Token != "a-token-of-sufficient-length" {
				t.Fatalf("%+v, %v", cfg, err)
			}
			if e, err := New(cfg); err != nil || e.Name() != "compose" {
				t.Errorf("the engine: %v", err)
			}
		})
	}
}

func TestParseNodes(t *testing.T) {
	got, err := parseNodes("10.1.0.1=10.2.0.1 fd00::2=fd01::2")
	want := []Node{
		{netip.MustParseAddr("10.1.0.1"), "10.2.0.1:7981", "10.2.0.1:7980"},
		{netip.MustParseAddr("fd00::2"), "[fd01::2]:7981", "[fd01::2]:7980"},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func FuzzParseNodes(f *testing.F) {
	f.Add("10.1.0.1=10.2.0.1 fd00::2=fd01::2")
	f.Add("a=b c=d")
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := parseNodes(text)
		if err != nil {
			return
		}
		if len(nodes) < 2 || len(nodes) > MaxNodes {
			t.Errorf("%d nodes", len(nodes))
		}
		if _, err := New(Config{Nodes: nodes}); err != nil {
			t.Errorf("nodes that were read cannot be used: %v", err)
		}
	})
}
