package config

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/gossip"
)

var update = flag.Bool("update", false, "rewrite the golden files and the generated documents")

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func set(t *testing.T, args ...string) []Flag {
	t.Helper()
	flags := make([]Flag, len(args))
	for i, arg := range args {
		f, err := ParseSet(arg)
		if err != nil {
			t.Fatal(err)
		}
		flags[i] = f
	}
	return flags
}

func TestPrecedence(t *testing.T) {
	const file = "probe: {interval: 2s}\n"
	tests := []struct {
		name  string
		file  string
		env   []string
		flags []string
		want  map[string]string
	}{
		{"defaults", "", nil, nil, map[string]string{"probe.interval": "1s", "profile": "lan", "log.level": "info"}},
		{"file over defaults", file, nil, nil, map[string]string{"probe.interval": "2s", "probe.timeout": "500ms"}},
		{"environment over file", file, []string{"HEARTBEAT_PROBE_INTERVAL=3s"}, nil, map[string]string{"probe.interval": "3s"}},
		{"flag over environment", file, []string{"HEARTBEAT_PROBE_INTERVAL=3s"}, []string{"probe.interval=4s"}, map[string]string{"probe.interval": "4s"}},
		{"of two flags the later one", "", nil, []string{"probe.interval=4s", "probe.interval=6s"}, map[string]string{"probe.interval": "6s"}},
		{"profile from the file", "profile: wan\n", nil, nil, map[string]string{"probe.interval": "5s", "gossip.nodes": "4"}},
		{"profile after a setting in the file", "probe: {interval: 2s, timeout: 1s}\nprofile: wan\n", nil, nil, map[string]string{"probe.interval": "2s", "gossip.nodes": "4"}},
		{
			"profile from a flag does not undo the file", file, nil, []string{"profile=wan", "probe.timeout=1s"},
			map[string]string{"profile": "wan", "probe.interval": "2s", "gossip.interval": "500ms"},
		},
		{"profile from a flag over the environment's", "", []string{"HEARTBEAT_PROFILE=wan"}, []string{"profile=local"}, map[string]string{"profile": "local", "probe.timeout": "200ms", "network.bind": "127.0.0.1"}},
		{"lists", "cluster: {seeds: [a, 'b:1', '[::1]:2', '::1']}\n", nil, nil, map[string]string{"cluster.seeds": "a,b:1,[::1]:2,::1"}},
		{"lists are replaced, not added to", "cluster: {seeds: [a]}\n", []string{"HEARTBEAT_CLUSTER_SEEDS=b, c"}, nil, map[string]string{"cluster.seeds": "b,c"}},
		{"a list emptied", "cluster: {seeds: [a]}\n", []string{"HEARTBEAT_CLUSTER_SEEDS="}, nil, map[string]string{"cluster.seeds": ""}},
		{"text keeps its form", "node: {name: 010, tags: {yes: on, n: 1.50, t: true}}\n", nil, nil, map[string]string{"node.name": "010", "node.tags": "n=1.50,t=true,yes=on"}},
		{"networks", "network: {allowed: [10.1.2.3/8, 'fd00::/8']}\n", nil, nil, map[string]string{"network.allowed": "10.0.0.0/8,fd00::/8"}},
		{"three levels", "api: {tls: {cert: /c, key: /k}}\n", nil, nil, map[string]string{"api.tls.cert": "/c", "api.tls.key": "/k"}},
		{"sections with everything commented out", "probe:\n  # interval: 1s\ncluster:\n  seeds:\nnode:\n  tags:\n", nil, nil, map[string]string{"probe.interval": "1s"}},
		{"variables of the command line tool", "", []string{"HEARTBEAT_ADDRESS=x", "HEARTBEAT_TOKEN_FILE=y", "HEARTBEAT_CONFIG=z", "HOME=/"}, nil, map[string]string{"profile": "lan"}},
		{
			"variables of a service called heartbeat", "", []string{
				"HEARTBEAT_SERVICE_HOST=10.0.0.1", "HEARTBEAT_SERVICE_PORT=7946", "HEARTBEAT_SERVICE_PORT_GOSSIP=7946", "HEARTBEAT_PORT=tcp://10.0.0.1:7946",
				"HEARTBEAT_PORT_7946_TCP=tcp://10.0.0.1:7946", "HEARTBEAT_PORT_7946_TCP_ADDR=10.0.0.1", "HEARTBEAT_API_SERVICE_HOST=10.0.0.2",
			}, nil, map[string]string{"network.port": "7946"},
		},
		{"a keyring makes encryption's switches meaningful", "encryption: {keyring: /k, accept_plain: true}\n", nil, nil, map[string]string{"encryption.accept_plain": "true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := Sources{Env: tt.env, Flags: set(t, tt.flags...)}
			if tt.file != "" {
				src.File = write(t, tt.file)
			}
			s, err := Resolve(src)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for key := range tt.want {
				if got[key], err = s.Get(key); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTagValuesOfTheFileMayHoldCommas(t *testing.T) {
	s, err := Resolve(Sources{File: write(t, "node: {tags: {roles: 'a,b', x: 'p=q'}}\n")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"roles": "a,b", "x": "p=q"}, s.Gossip.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestFileErrorsNamePlaceAndNearestKey(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			err := Check(file)
			var problems *Error
			if !errors.As(err, &problems) {
				t.Fatalf("Check(%s) = %v, want an *Error", file, err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorsNameTheirSource(t *testing.T) {
	file := write(t, "probe: {interval: soon}\n")
	_, err := Resolve(Sources{
		File: file,
		Env:  []string{"HEARTBEAT_PROBE_TIMEOUT=x", "HEARTBEAT_PROBE_INTERVALL=1s", "HEARTBEAT_TOKEN=hunter2", "HEARTBEAT_PORT=7946"},
		Flags: append(set(t, "gossip.nodes=many", "prob.interval=1s", "api.token=hunter2"),
			Flag{Name: "--bind", Key: "network.port", Value: "x"}),
	})
	if err == nil {
		t.Fatal("no error")
	}
	want := strings.Join([]string{
		file + `:1:19: probe.interval: "soon" is not a duration such as 500ms, 2s or 1m30s`,
		`environment variable HEARTBEAT_PROBE_INTERVALL: it belongs to no setting; did you mean "HEARTBEAT_PROBE_INTERVAL"?`,
		`environment variable HEARTBEAT_TOKEN: it belongs to no setting`,
		`environment variable HEARTBEAT_PORT: it belongs to no setting`,
		`flag --set prob.interval: setting "prob.interval" is not known; did you mean "probe.interval"?`,
		`flag --set api.token: setting "api.token" is not known; did you mean "api.tls.key"?`,
		`environment variable HEARTBEAT_PROBE_TIMEOUT: probe.timeout: "x" is not a duration such as 500ms, 2s or 1m30s`,
		`flag --set gossip.nodes: gossip.nodes: "many" is not a whole number`,
		`flag --bind: network.port: "x" is not a whole number`,
	}, "\n")
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the error shows a secret")
	}
}

func TestSecretsAreRefusedAsPaths(t *testing.T) {
	key, err := gossip.GenerateKey(256)
	if err != nil {
		t.Fatal(err)
	}
	key = "A" + key[1:] // a leading slash would make it a path
	_, err = Resolve(Sources{Flags: set(t, "encryption.keyring="+key, "api.token_file="+key)})
	if err == nil || strings.Contains(err.Error(), key) || strings.Count(err.Error(), "stay in a file") != 2 {
		t.Errorf("Resolve = %v, want two refusals without the key", err)
	}
}

func TestParseSetRefuses(t *testing.T) {
	for _, arg := range []string{"", "probe.interval", "=1s", " =x"} {
		if f, err := ParseSet(arg); err == nil {
			t.Errorf("ParseSet(%q) = %v, want an error", arg, f)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, bytes.Repeat([]byte("#"), maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	many := filepath.Join(dir, "many.yaml")
	if err := os.WriteFile(many, bytes.Repeat([]byte("- "), maxFileSize/2), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "binary.yaml")
	if err := os.WriteFile(binary, []byte("a: \xff\xfe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		dir:                             "is a directory",
		big:                             "larger than",
		many:                            "too much",
		binary:                          "UTF-8",
	} {
		if err := Check(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Check(%s) = %v, want %q and the path", path, err, want)
		}
	}
}

func TestShowNamesEachSource(t *testing.T) {
	file := write(t, "probe:\n  interval: 2s\n")
	s, err := Resolve(Sources{File: file, Env: []string{"HEARTBEAT_LOG_LEVEL=debug"}, Flags: set(t, "node.name=n1")})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Show(&out, s); err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(out.String()) {
		f := strings.SplitN(strings.Join(strings.Fields(line), " "), " ", 3)
		lines[f[0]] = f[1] + " " + f[2]
	}
	want := map[string]string{
		"probe.interval": "2s " + file + ":2:13",
		"log.level":      "debug environment variable HEARTBEAT_LOG_LEVEL",
		"node.name":      "n1 flag --set node.name",
		"probe.timeout":  "500ms default",
		"data_dir":       "- default",
	}
	for key, w := range want {
		if lines[key] != w {
			t.Errorf("%s: %q, want %q", key, lines[key], w)
		}
	}
	if len(lines) != len(table)+1 {
		t.Errorf("%d lines, want one for each of %d settings and a header", len(lines), len(table))
	}
}

// The table must hold each setting of package gossip once, and no two settings
// may share a variable.
func TestTableIsCompleteAndUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, d := range Table() {
		if other, twice := seen[d.Env()]; twice {
			t.Errorf("%s and %s share %s", d.Key, other, d.Env())
		}
		seen[d.Env()] = d.Key
		if d.Help == "" || d.Kind == "" {
			t.Errorf("%s lacks a help line or a kind", d.Key)
		}
		if isSection(d.Key) {
			t.Errorf("%s is a setting and a section", d.Key)
		}
	}
	for _, g := range gossip.Settings() {
		if !slices.Contains(slices.Collect(maps.Values(seen)), g.Key) {
			t.Errorf("%s is missing", g.Key)
		}
	}
}

// Every setting can be given back its own value.
func TestValuesRoundTrip(t *testing.T) {
	s, err := Defaults("lan")
	if err != nil {
		t.Fatal(err)
	}
	s.Gossip.Tags = map[string]string{"a": "1", "b": ""}
	s.Gossip.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s.Seeds = []string{"a", "[::1]:2"}
	for _, r := range s.List() {
		if err := s.apply(assignment{key: r.Setting.Key, values: []string{r.Value}}); err != nil {
			t.Errorf("%s: %v", r.Setting.Key, err)
		}
		if again, _ := s.Get(r.Setting.Key); again != r.Value {
			t.Errorf("%s: %q became %q", r.Setting.Key, r.Value, again)
		}
	}
	if s.Leave.Timeout != 5*time.Second {
		t.Errorf("leave.timeout is %v", s.Leave.Timeout)
	}
}

var settingLine = regexp.MustCompile(`(?m)^( *)#([a-z_]+:.*)$`)

func TestSampleHoldsEverySettingAtItsDefault(t *testing.T) {
	text := string(Sample())
	text = strings.Replace(text, "#name: node1", "#name: "+hostname(t), 1)
	for name, sample := range map[string]string{"as it is": text, "uncommented": settingLine.ReplaceAllString(text, "$1$2")} {
		path := write(t, sample)
		got, err := Resolve(Sources{File: path})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := Resolve(Sources{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range Table() {
			if w, g := d.get(want), d.get(got); w != g {
				t.Errorf("%s: %s is %q, want %q", name, d.Key, g, w)
			}
			if fromFile := strings.HasPrefix(got.Origin(d.Key), path); fromFile != (name == "uncommented") {
				t.Errorf("%s: %s comes from %s", name, d.Key, got.Origin(d.Key))
			}
		}
	}
}

// The words above each setting must name the bounds of the table.
func TestSampleNamesTheBounds(t *testing.T) {
	text := string(Sample())
	uncommented := settingLine.ReplaceAllString(text, "$1$2")
	given, problems := parse("sample", []byte(uncommented))
	if len(problems) > 0 {
		t.Fatal(&Error{problems})
	}
	lines := strings.Split(text, "\n")
	for _, a := range given {
		d, _ := lookup(a.key)
		if !regexp.MustCompile(`\d`).MatchString(d.Bounds) {
			continue
		}
		comment := ""
		for i := a.line - 2; i >= 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "# "); i-- {
			comment = strings.TrimPrefix(strings.TrimSpace(lines[i]), "# ") + " " + comment
		}
		if !strings.Contains(comment, d.Bounds) {
			t.Errorf("line %d: the words about %s do not name its bounds %q: %q", a.line, a.key, d.Bounds, comment)
		}
		if strings.Contains(comment, "[reload]") != d.Reload {
			t.Errorf("line %d: %s: reload is %v in the table, not in the words", a.line, a.key, d.Reload)
		}
	}
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}
