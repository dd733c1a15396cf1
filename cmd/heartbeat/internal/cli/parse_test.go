package cli

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]string{
		"members":                              "heartbeat members --",
		"--address A members":                  "heartbeat --address A members --",
		"members --address A --watch":          "heartbeat --address A members --watch --",
		"force-leave n3 --prune -a A":          "heartbeat --address A force-leave --prune -- n3",
		"force-leave --timeout=3s n3":          "heartbeat --timeout=3s force-leave -- n3",
		"force-leave -- --prune":               "heartbeat force-leave -- --prune",
		"tags set a=1 --token-file F b=2":      "heartbeat --token-file F tags set -- a=1 b=2",
		"keys --address A install -":           "heartbeat --address A keys install -- -",
		"--version":                            "heartbeat version --",
		"version -json":                        "heartbeat version --json --",
		"members --name=-x --tag a=b":          "heartbeat members --name=-x --tag a=b --",
		"--no-color keygen --no-color":         "heartbeat --no-color --no-color keygen --",
		"__complete -- members --format table": "heartbeat __complete -- members --format table",
	} {
		a := newApp(nil, new(bytes.Buffer), new(bytes.Buffer))
		inv, err := a.parse(strings.Fields(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, strings.Join(inv.normalised(), " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

// TestUsageErrors: exit code 2, nothing on stdout, and a message that names
// what is wrong and what was probably meant.
func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"membrs":                              `"membrs" is not a verb; did you mean "members"?`,
		"xyzzyxyzzy":                          `"xyzzyxyzzy" is not a verb: see "heartbeat --help"`,
		"keys isntall":                        `"isntall" is not a subcommand of heartbeat keys; did you mean "install"?`,
		"keys":                                `heartbeat keys needs a subcommand: list, install, use, remove`,
		"members --fromat json":               `heartbeat members has no flag --fromat; did you mean "--format"?`,
		"members --adress A":                  `heartbeat members has no flag --adress; did you mean "--address"?`,
		"members -z":                          `heartbeat members has no flag -z: see "heartbeat members --help"`,
		"keygen --address A":                  `heartbeat keygen has no flag --address`,
		"members --format":                    `flag --format needs a value`,
		"members --format --watch":            `flag --format needs a value`,
		"members --format tabel":              `--format "tabel" is not possible: choose one of table, wide, json, jsonl, yaml, names; did you mean "table"?`,
		"members --state alive,dead":          `--state "dead" is not possible: choose one of alive, suspect, failed, left`,
		"members --tag =x":                    `--tag "=x" is not possible`,
		"members --tag a --tag a=b":           `--tag "a=b" is not possible`,
		"members --watch --format yaml":       `--watch goes with --format table, wide or jsonl`,
		"members --watch=maybe":               `invalid boolean value`,
		"members n3":                          `heartbeat members takes no arguments, not even "n3"`,
		"members --timeout soon":              `flag --timeout: "soon" is not a duration such as 500ms or 30s`,
		"members --timeout -1s":               `one that begins with a dash is written --timeout=-value`,
		"members --timeout=-1s":               `--timeout -1s is not possible: it must be positive`,
		"--address nowhere members":           `address "nowhere" lacks a port`,
		"members --token-file " + dir + "/no": `cannot read the token: open`,
		"members --token-file " + empty:       `cannot read the token: ` + empty + ` is empty`,
		"members --tls-cert x":                `--tls-cert and --tls-key go together`,
		"members --tls-ca " + empty:           empty + ` holds no certificate in PEM`,
		"force-leave":                         `too few arguments: heartbeat force-leave NAME`,
		"force-leave n3 n4":                   `too many arguments, from "n4" on: heartbeat force-leave NAME`,
		"join":                                `too few arguments: heartbeat join SEED...`,
		"tags set a":                          `tag "a" is not of the form key=value`,
		"tags set a=1 a=2":                    `tag "a" is given twice`,
		"events --last 3 --since x-1":         `--last takes a positive number, and does not go with --since`,
		"events --format yaml":                `--format "yaml" is not possible`,
		"monitor --level loud":                `--level "loud" is not possible: choose one of debug, info, warn, error`,
		"keys install " + dir + "/no":         `cannot read the key: open`,
		"keys install " + empty:               `cannot read the key: ` + empty + ` is empty`,
		"keys install":                        `cannot read the key: standard input is empty`,
		"keygen --bits 100":                   `--bits: a key of 100 bits is not possible: choose 128, 192 or 256`,
		"keygen --out a --keyring b":          `--out and --keyring do not go together`,
		"config check " + dir + "/no":         `cannot read the configuration`,
		"config show --set probe.intervall=1": `did you mean "probe.interval"?`,
		"config show --port x":                `flag --port: network.port: "x" is not a whole number`,
		"completion tcsh":                     `shell "tcsh" is not known: choose one of bash, zsh, fish, powershell`,
		"help exitcodes":                      `"exitcodes" is neither a verb nor a topic; did you mean "exit-codes"?`,
		"help keys isntall":                   `did you mean "install"?`,
		"help members x":                      `heartbeat members has no subcommands, not even "x"`,
	} {
		r := heartbeat(t, line)
		if r.code != exitUsage || !strings.HasPrefix(r.stderr, "heartbeat: ") || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want %q", line, r.code, r.stdout, r.stderr, want)
		}
	}
}

// TestSecretsStayHidden: a key on the command line is refused and not repeated.
func TestSecretsStayHidden(t *testing.T) {
	const key = "AAAAAAAAAAAAAAAAAAAAAA=="
	r := heartbeat(t, "keys install "+key)
	if r.code != exitUsage || strings.Contains(r.stderr, key) || !strings.Contains(r.stderr, "a key itself was given") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

func TestArgBounds(t *testing.T) {
	for usage, want := range map[string][2]int{
		"": {0, 0}, "NAME": {1, 1}, "[NAME]": {0, 1}, "SEED...": {1, math.MaxInt}, "[WORD...]": {0, math.MaxInt}, "A [B]": {1, 2},
	} {
		if least, most := argBounds(usage); [2]int{least, most} != want {
			t.Errorf("%q: %d to %d, want %v", usage, least, most, want)
		}
	}
}

// FuzzParse: no command line makes the parser fail in any other way than by a
// usage error, and what it accepts keeps every argument.
func FuzzParse(f *testing.F) {
	f.Add("members --watch -a A")
	f.Add("force-leave n3 --prune -- x")
	f.Add("keys install -")
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, " ")
		a := newApp(nil, new(bytes.Buffer), new(bytes.Buffer))
		inv, err := a.parse(words)
		if err != nil {
			if f := new(failure); !errors.As(err, &f) || f.code != exitUsage {
				t.Errorf("%q: %v is no usage error", line, err)
			}
			return
		}
		if n := len(inv.path) + len(inv.globals) + len(inv.flags) + len(inv.args); !inv.help && n != len(words) && n != len(words)-1 {
			t.Errorf("%q: %d of %d words are left: %q", line, n, len(words), inv.normalised())
		}
	})
}

// closedPort returns an address of this machine where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// gossipPort returns an address that answers as an agent's gossip port does.
func gossipPort(t *testing.T) string {
	t.Helper()
	cfg := gossip.Local()
	cfg.Name, cfg.Port = "n1", 0
	node, err := gossip.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	return node.Info().Advertise
}

// TestFailures: the agent's refusals and silences become the documented exit
// codes, with what to do next.
func TestFailures(t *testing.T) {
	nobody := closedPort(t)
	refuse := func(kind, detail, hint string, status int) string {
		p := httpapi.Problem{Type: kind, Title: "title", Detail: detail, Hint: hint, Status: status}
		agent := sampleAgent()
		for _, route := range []string{"POST /v1/leave", "POST /v1/force-leave", "POST /v1/keys", "PATCH /v1/tags", "GET /healthz"} {
			agent[route] = p
		}
		p.Failed = []httpapi.SeedFailure{{Seed: "db1", Error: "no such host"}, {Seed: "db2", Addr: "10.0.0.9:7946", Error: "timed out"}}
		agent["POST /v1/join"] = p
		return agent.start(t)
	}
	for _, tt := range []struct {
		address, line string
		code          int
		want          string
	}{
		{nobody, "members", exitUnreachable, "no agent answers at " + nobody + " (connection refused): start one with `heartbeat agent`, or name another with --address\n"},
		{nobody, "events", exitUnreachable, "no agent answers at"},
		{nobody, "members --watch", exitUnreachable, "no agent answers at"},
		{nobody, "health", exitFailed, "no agent answers at"},
		{"unix:/nonexistent/sock", "info", exitUnreachable, "no agent answers at unix:/nonexistent/sock (no such file or directory)"},
		{gossipPort(t), "members", exitUnreachable, "what answers at "},
		{"https://" + strings.TrimPrefix(sampleAgent().start(t), "http://"), "members", exitUnreachable, "what answers at https://"},
		{refuse(httpapi.ProblemUnauthorised, "a token is needed", "", 401), "leave", exitUnauthorised, "a token is needed: give the agent's token with --token-file FILE or HEARTBEAT_TOKEN_FILE\n"},
		{refuse(httpapi.ProblemUnauthorised, "a token is needed", "", 401), "health", exitFailed, "a token is needed"},
		{refuse(httpapi.ProblemNoSuchMember, "n33 is not known", "", 404), "force-leave n33", exitNoMember, "n1 knows no member \"n33\": did you mean \"n3\"?\n"},
		{refuse(httpapi.ProblemNoSuchMember, "unknown", "", 404), "force-leave somewhere-else", exitNoMember, "n1 knows no member \"somewhere-else\": `heartbeat members` lists those it knows\n"},
		{sampleAgent().start(t), "info n9", exitNoMember, "n1 knows no member \"n9\": did you mean"},
		{refuse(httpapi.ProblemNoSuchKey, "no such key", "list them", 404), "keys use ff", exitNoMember, "no such key: list them\n"},
		{refuse(httpapi.ProblemPrimaryKey, "it encrypts", "use another first", 409), "keys remove ff", exitFailed, "it encrypts: use another first\n"},
		{refuse(httpapi.ProblemNotFailed, "n2 is alive", "", 409), "force-leave n2", exitFailed, "n2 is alive\n"},
		{refuse(httpapi.ProblemBadRequest, "too long", "", 400), "tags set a=1", exitUsage, "too long\n"},
		{refuse(httpapi.ProblemJoinFailed, "none of 2 seeds answered", "check them", 502), "join db1 db2", exitFailed, "none of 2 seeds answered\n  db1: no such host\n  db2 (10.0.0.9:7946): timed out\n"},
	} {
		r := heartbeat(t, tt.line+" --address "+tt.address)
		if r.code != tt.code || !strings.Contains(r.stderr, "heartbeat: "+tt.want) || r.stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want code %d and %q", tt.line, r.code, r.stdout, r.stderr, tt.code, tt.want)
		}
	}
}

// TestClosedPipe: a reader that has seen enough, as in `| head`, is no error.
func TestClosedPipe(t *testing.T) {
	address := sampleAgent().start(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr bytes.Buffer
	if code := Run(t.Context(), []string{"heartbeat", "members", "--address", address}, nil, w, &stderr); code != exitOK || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}

// TestInterrupted: Ctrl-C during a question is told; nothing is claimed to be done.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	address := sampleAgent().start(t)
	code := Run(ctx, []string{"heartbeat", "leave", "--address", address}, nil, &stdout, &stderr)
	if code != exitInterrupted || stdout.Len() > 0 || stderr.String() != "heartbeat: interrupted before it was done\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
	code = Run(ctx, []string{"heartbeat", "events", "--address", address}, nil, &stdout, &stderr)
	if code != exitOK {
		t.Errorf("events that the user ended: exit code %d", code)
	}
}

func TestCompletion(t *testing.T) {
	agent := sampleAgent()
	address := agent.start(t)
	for line, want := range map[string]string{
		"mem":                            "members",
		"keys ":                          "list install use remove",
		"members --fo":                   "--format",
		"members --format ":              "table wide json jsonl yaml names",
		"members --state f":              "failed",
		"monitor --level w":              "warn",
		"completion z":                   "zsh",
		"help exit":                      "exit-codes",
		"force-leave n":                  "n1 n2 n3 n4",
		"info n4":                        "n4",
		"force-leave n3 n":               "",
		"keys use 0":                     "00ff00ff00ff00ff",
		"tags remove ":                   "dc role",
		"nonsense ":                      "",
		"members --nonsense x ":          "",
		"keygen --a":                     "",
		"keygen --o":                     "--out",
		"force-leave --pr":               "--prune",
		"--token-file /nonexistent info": "info",
	} {
		words := strings.Split(line, " ")
		var stdout, stderr bytes.Buffer
		args := append([]string{"heartbeat", completeName, "--", "--address", address}, words...)
		code := Run(t.Context(), args, nil, &stdout, &stderr)
		if got := strings.Join(strings.Fields(stdout.String()), " "); code != 0 || got != want || stderr.Len() > 0 {
			t.Errorf("%q: exit code %d, %q, want %q, stderr %q", line, code, got, want, stderr.String())
		}
	}
}
