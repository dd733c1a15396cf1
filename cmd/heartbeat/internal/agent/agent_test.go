package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
)

func TestAgentsFormAClusterAndLeaveByTheAPI(t *testing.T) {
	a := begin(t, "a")
	b := begin(t, "b", "cluster.seeds="+a.gossip)
	waitState(t, a.api, "b", "alive")
	waitState(t, b.api, "a", "alive")
	if err := b.api.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.end(t); err != nil {
		t.Errorf("Run = %v after a leave by the API, want nil", err)
	}
	waitState(t, a.api, "b", "left")
}

func TestEndingTheContextLeavesGracefully(t *testing.T) {
	a := begin(t, "a")
	b := begin(t, "b", "cluster.seeds="+a.gossip)
	waitState(t, a.api, "b", "alive")
	b.stop()
	if err := b.end(t); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	waitState(t, a.api, "b", "left")
}

func TestAnAgentWithoutSeedsIsReady(t *testing.T) {
	a := begin(t, "a")
	ready, err := a.api.Ready(t.Context())
	if err != nil || !ready.Ready {
		t.Errorf("Readiness = %+v, %v, want ready", ready, err)
	}
}

func TestFailedSeedsAreReportedUntilOneAnswers(t *testing.T) {
	port := freePort(t)
	a := begin(t, "a", "cluster.seeds=127.0.0.1:"+port+",127.0.0.1:"+freePort(t))
	line := a.log.wait(t, "nobody to join through has answered")
	failed := line["failed"].([]any)
	if len(failed) != 2 {
		t.Fatalf("failed = %v, want a reason for each of two seeds", failed)
	}
	for _, f := range failed {
		if !strings.HasPrefix(f.(string), "seed ") {
			t.Errorf("%q does not name its seed", f)
		}
	}
	if line["next_try_in"] == nil || line["attempt"] == nil {
		t.Errorf("%v lacks the attempt or the next one's time", line)
	}
	if ready, err := a.api.Ready(t.Context()); err != nil || ready.Ready || ready.Reason == "" {
		t.Errorf("Readiness = %+v, %v, want not ready and why", ready, err)
	}
	begin(t, "b", "network.port="+port)
	a.log.wait(t, "joined the cluster")
	if ready, err := a.api.Ready(t.Context()); err != nil || !ready.Ready {
		t.Errorf("Readiness = %+v, %v, want ready", ready, err)
	}
}

// freePort returns a port that was free for UDP and TCP a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What cannot be started says which setting is to blame and what to do, and
// leaves nothing behind that would keep the next attempt from working.
func TestStartErrors(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	_, busy, _ := net.SplitHostPort(tcp.Addr().String())
	shared := t.TempDir()
	begin(t, "holder", "data_dir="+shared)
	open := secretFile(t, "0123456789abcdef0123456789abcdef")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		pairs []string
		key   string
		want  []string
	}{
		{"busy gossip port", []string{"network.port=" + busy}, "network.port", []string{"in use", "0 takes a free one"}},
		{"busy API port", []string{"api.address=127.0.0.1:" + busy}, "api.address", []string{"in use", "api.address"}},
		{"API for everybody without a token", []string{"api.address=0.0.0.0:0"}, "api.address", []string{"api.token_file"}},
		{"data directory in use", []string{"data_dir=" + shared}, "data_dir", []string{"another agent", "process "}},
		{"data directory that is a file", []string{"data_dir=" + open}, "data_dir", []string{"not a directory", "data_dir"}},
		{"no keyring", []string{"encryption.keyring=/nowhere/keyring"}, "encryption.keyring", []string{"no such file"}},
		{"keyring that others can read", []string{"encryption.keyring=" + open}, "encryption.keyring", []string{"chmod 600"}},
		{"token that others can read", []string{"api.token_file=" + open}, "api.token_file", []string{"chmod 600"}},
		{"no certificate", []string{"api.tls.cert=/nowhere/c", "api.tls.key=/nowhere/k"}, "api.tls.cert", []string{"no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log logLines
			s := resolve(t, append(baseSettings("n"), tt.pairs...)...)
			err := Run(t.Context(), Options{Settings: s, Stderr: &log})
			blame, ok := errors.AsType[*config.Error](err)
			if !ok || blame.Problems[0].Key != tt.key {
				t.Fatalf("Run = %v, want an error about %s", err, tt.key)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if log.String() != "" {
				t.Errorf("the error was logged as well: %s", &log)
			}
		})
	}
}

// A failed start frees what it had taken.
func TestAFailedStartFreesEverything(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, busy, _ := net.SplitHostPort(tcp.Addr().String())
	dir, api := t.TempDir(), freePort(t)
	pairs := []string{"network.port=" + busy, "api.address=127.0.0.1:" + api, "data_dir=" + dir}
	s := resolve(t, append(baseSettings("n"), pairs...)...)
	if err := Run(t.Context(), Options{Settings: s, Stderr: &logLines{}}); err == nil {
		t.Fatal("Run succeeds with a busy port")
	}
	if err := tcp.Close(); err != nil {
		t.Fatal(err)
	}
	begin(t, "n", pairs...)
}

func TestSecretsAreNeverLogged(t *testing.T) {
	key, err := gossip.GenerateKey(256)
	if err != nil {
		t.Fatal(err)
	}
	other, err := gossip.GenerateKey(256)
	if err != nil {
		t.Fatal(err)
	}
	const token = "correct-horse-battery-staple"
	pairs := []string{"encryption.keyring=" + secretFile(t, `["`+key+`"]`), "api.token_file=" + secretFile(t, token), "log.level=trace"}
	a := begin(t, "a", pairs...)
	stranger := begin(t, "stranger", "cluster.seeds="+a.gossip) // its plain messages are refused, and that is logged
	pairs = append(pairs, "cluster.seeds="+a.gossip)
	b := begin(t, "b", pairs...)
	address := b.log.find("the agent is up")["api"].(string)
	c := client(t, httpapi.ClientConfig{Address: address, Token: token})
	waitState(t, c, "a", "alive")
	if _, err := client(t, httpapi.ClientConfig{Address: address, Token: "wrong-horse-battery-staple"}).Info(t.Context()); err == nil {
		t.Error("a wrong token is accepted")
	}
	if _, err := c.InstallKey(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	stranger.log.wait(t, "nobody to join through has answered")
	for _, r := range []*running{a, b} {
		r.stop()
		if err := r.end(t); err != nil {
			t.Error(err)
		}
		for _, secret := range []string{token, "wrong-horse", key, other} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log shows a secret")
			}
		}
	}
}

func TestTheAPIOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	a := begin(t, "a", "api.address=unix:"+path)
	if info, err := a.api.Info(t.Context()); err != nil || info.Name != "a" || info.Version != "test" {
		t.Errorf("Info = %+v, %v", info, err)
	}
	a.stop()
	if err := a.end(t); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestWithoutAnAPI(t *testing.T) {
	a := begin(t, "a", "api.address=")
	if a.api != nil {
		t.Error("there is an API though none is wanted")
	}
	a.stop()
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}
