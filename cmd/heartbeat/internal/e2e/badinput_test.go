package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"heartbeat/gossip/httpapi"
)

// write makes a file and returns its path.
func write(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// keyring makes a keyring with one new key.
func keyring(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyring.json")
	if _, errs, status := heartbeat(t, nil, "keygen", "--keyring", path); status != 0 {
		t.Fatalf("keygen: %s", errs)
	}
	return path
}

// busyPort holds a port of 127.0.0.1 for UDP and TCP.
func busyPort(t *testing.T) string {
	t.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenPacket("udp", ln.Addr().String())
		if err != nil {
			_ = ln.Close()
			continue
		}
		t.Cleanup(func() { _ = ln.Close(); _ = conn.Close() })
		return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	}
	t.Fatal("no port is free for UDP and TCP")
	return ""
}

// tmpfs mounts a small file system of its own; the size is rounded up to pages.
func tmpfs(t *testing.T, flags uintptr, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "size="+size)
	need(t, err == nil, fmt.Sprintf("the right to mount a tmpfs (%v)", err))
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// What an agent that cannot start tells, and the status that it ends with: 2
// when the configuration is to be changed, 1 otherwise.
func TestAgentRefusesToStart(t *testing.T) {
	taken := newAgent(t, "taken")
	taken.start()
	port := busyPort(t)
	for _, c := range []struct {
		name   string
		env    []string
		args   []string
		status int
		want   []string
	}{
		{"the gossip port is taken", []string{"NETWORK_PORT=" + port}, nil, 2,
			[]string{"HEARTBEAT_NETWORK_PORT", "127.0.0.1:" + port, "address already in use", "give this agent another network.port (0 takes a free one)"}},
		{"the API's port is taken", []string{"API_ADDRESS=127.0.0.1:" + port}, nil, 2,
			[]string{"HEARTBEAT_API_ADDRESS", "127.0.0.1:" + port, "address already in use", "another agent may run here", "another api.address"}},
		{"the API's socket is taken", []string{"API_ADDRESS=" + taken.api}, nil, 2,
			[]string{"HEARTBEAT_API_ADDRESS", "api.sock", "another agent may run here", "another api.address"}},
		{"the data directory is a file", []string{"DATA_DIR=" + write(t, 0o600, "")}, nil, 2,
			[]string{"HEARTBEAT_DATA_DIR", "not a directory", "set data_dir to another"}},
		{"the data directory cannot be made", []string{"DATA_DIR=/proc/heartbeat"}, nil, 2,
			[]string{"HEARTBEAT_DATA_DIR", "cannot use the data directory /proc/heartbeat", "set data_dir to another"}},
		{"the data directory is another agent's", []string{"DATA_DIR=" + taken.home}, nil, 2,
			[]string{"HEARTBEAT_DATA_DIR", "in use by another agent", strconv.Itoa(taken.cmd.Process.Pid), "give each agent its own data_dir"}},
		{"the keyring is missing", []string{"ENCRYPTION_KEYRING=/nowhere/keyring.json"}, nil, 2,
			[]string{"HEARTBEAT_ENCRYPTION_KEYRING", "/nowhere/keyring.json", "no such file", "heartbeat keygen"}},
		{"the keyring is no keyring", []string{"ENCRYPTION_KEYRING=" + write(t, 0o600, `["c2hvcnQ=`)}, nil, 2,
			[]string{"HEARTBEAT_ENCRYPTION_KEYRING", "keyring"}},
		{"a key has a wrong length", []string{"ENCRYPTION_KEYRING=" + write(t, 0o600, `["c2hvcnQ="]`)}, nil, 2,
			[]string{"HEARTBEAT_ENCRYPTION_KEYRING", "5 bytes", "16, 24 or 32"}},
		{"the keyring can be read by others", []string{"ENCRYPTION_KEYRING=" + write(t, 0o644, `[]`)}, nil, 2,
			[]string{"HEARTBEAT_ENCRYPTION_KEYRING", "0644", "chmod 600"}},
		{"the token can be read by others", []string{"API_TOKEN_FILE=" + write(t, 0o644, "a-token-of-some-length-0123456789")}, nil, 2,
			[]string{"HEARTBEAT_API_TOKEN_FILE", "0644", "chmod 600"}},
		{"the API would be open to the network", []string{"API_ADDRESS=0.0.0.0:0"}, nil, 2,
			[]string{"HEARTBEAT_API_ADDRESS", "0.0.0.0:0", "api.token_file"}},
		{"an unknown variable", []string{"PROBE_INTERVALL=1s"}, nil, 2,
			[]string{"HEARTBEAT_PROBE_INTERVALL", "belongs to no setting", `"HEARTBEAT_PROBE_INTERVAL"`}},
		{"a value that is none", []string{"PROBE_INTERVAL=soon"}, nil, 2,
			[]string{"HEARTBEAT_PROBE_INTERVAL", "probe.interval", `"soon"`}},
		{"a name that cannot be one", []string{"NODE_NAME=a b"}, nil, 2,
			[]string{"HEARTBEAT_NODE_NAME", "node.name"}},
		{"an address that is not this machine's", []string{"NETWORK_BIND=192.0.2.1"}, nil, 2,
			[]string{"192.0.2.1", "network.bind"}},
		{"an interface that does not exist", []string{"NETWORK_BIND=eth99"}, nil, 2,
			[]string{"eth99", "network.bind"}},
		{"a file with mistakes", nil, []string{"--config", write(t, 0o600, "probe:\n  interval: 1s\n  intervall: 2s\nlog:\n  level: loud\n")}, 2,
			[]string{":3:3: ", `"probe.intervall"`, `did you mean "probe.interval"?`, ":5:10: ", `"loud"`}},
		{"no such file", nil, []string{"--config", "/nowhere/heartbeat.yaml"}, 2,
			[]string{"cannot read the configuration", "/nowhere/heartbeat.yaml", "no such file"}},
		{"an unknown flag", nil, []string{"--prot", "7946"}, 2,
			[]string{"--prot", `did you mean "--port"?`}},
		{"an argument too many", nil, []string{"now"}, 2, []string{`"now"`}},
		{"an unknown key of --set", nil, []string{"--set", "probe.intervall=1s"}, 2,
			[]string{"--set probe.intervall", `"probe.interval"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, "n1", c.env...)
			out := a.fails(c.args...)
			if got := a.cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			checkMessage(t, out)
			wantIn(t, out, c.want...)
		})
	}
}

// checkMessage holds what a person reads to a few rules.
func checkMessage(t *testing.T, out string) {
	t.Helper()
	t.Logf("it says:\n%s", out)
	if !strings.HasPrefix(out, "heartbeat: ") {
		t.Error("it does not say who speaks")
	}
	for _, bad := range []string{"panic", "goroutine ", "%!", "<nil>", "{\"level\"", ".go:"} {
		if strings.Contains(out, bad) {
			t.Errorf("%q is nothing for people", bad)
		}
	}
}

func TestAgentRefusesReadOnlyDataDirectory(t *testing.T) {
	dir := tmpfs(t, syscall.MS_RDONLY, "64k")
	a := newAgent(t, "n1", "DATA_DIR="+dir)
	out := a.fails()
	checkMessage(t, out)
	wantIn(t, out, "HEARTBEAT_DATA_DIR", dir, "read-only file system", "set data_dir to another")
}

// A full disk costs the memory of the cluster, not the node.
func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, 0, "64k")
	filler := filepath.Join(dir, "filler")
	fill := func() {
		err := os.WriteFile(filler, make([]byte, 1<<20), 0o600)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
	}
	fill()
	seed := newAgent(t, "n1")
	info := seed.start()
	a := newAgent(t, "n2", "DATA_DIR="+dir, "CLUSTER_SEEDS="+info.Advertise)
	a.start()
	eventually(t, a.sees(2, 0, 0))
	eventually(t, func() error { return contains(a.output(), "cannot save the known members") })
	wantIn(t, a.output(), "no space left on device", "tried again until it works")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return contains(a.output(), "the known members are saved again") })
	eventually(t, a.sees(2, 0, 0))
}

func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("%q is missing from:\n%s", part, text)
	}
	return nil
}

// A snapshot that cannot be read is set aside with a line that says so, and
// the agent starts all the same.
func TestCorruptSnapshot(t *testing.T) {
	agents := startCluster(t, 2)
	a := agents[1]
	eventually(t, func() error {
		if !a.hasSnapshotOf(1) {
			return errors.New("no snapshot yet")
		}
		return nil
	})
	a.signal(syscall.SIGKILL)
	<-a.done
	path := filepath.Join(a.home, "members.snapshot")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"torn":  whole[:len(whole)/2],
		"empty": nil,
		"noise": []byte(strings.Repeat("\x00\xffnoise", 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			a.start()
			wantIn(t, a.output(), "the members of the last run cannot be used: their file was set aside", "members.snapshot.corrupt-")
			eventually(t, a.sees(2, 0, 0))
			a.signal(syscall.SIGKILL)
			<-a.done
		})
	}
	kept, err := filepath.Glob(path + ".corrupt-*")
	if err != nil || len(kept) != 3 {
		t.Errorf("set aside: %v, %v", kept, err)
	}
}

// Reasons for which an agent cannot join: it keeps running and trying, and both
// sides say in words what is wrong.
func TestAgentCannotJoin(t *testing.T) {
	ring, other := keyring(t), keyring(t)
	for _, c := range []struct {
		name         string
		seed, joiner []string
		seeds        string // default: the seed's address
		want         []string
		wantThere    []string
	}{
		{"another key", []string{"ENCRYPTION_KEYRING=" + ring}, []string{"ENCRYPTION_KEYRING=" + other}, "",
			[]string{"another encryption key"}, []string{"no installed keys could decrypt"}},
		{"no key, they have one", []string{"ENCRYPTION_KEYRING=" + ring}, nil, "",
			[]string{"give this node the cluster's keyring"}, []string{"not encrypted"}},
		{"a key, they have none", nil, []string{"ENCRYPTION_KEYRING=" + ring}, "",
			[]string{"it answered in plain text"}, []string{"encrypted"}},
		{"another cluster", []string{"CLUSTER_NAME=blue"}, []string{"CLUSTER_NAME=green"}, "",
			[]string{"cluster", "green"}, []string{"it belongs to another cluster", "green"}},
		{"no cluster name, they have one", []string{"CLUSTER_NAME=blue"}, nil, "",
			[]string{"cluster"}, []string{"it belongs to another cluster"}},
		{"a name that is taken", nil, []string{"NODE_NAME=n1"}, "",
			[]string{"another node already uses this name", "is the node at", "give this node", "another name"}, []string{"another node already uses this name"}},
		{"a seed that does not resolve", nil, nil, "no-such-host.invalid",
			[]string{"no-such-host.invalid", "next_try_in"}, nil},
		{"a seed where nobody listens", nil, nil, "127.0.0.1:1",
			[]string{"127.0.0.1:1", "nothing listens there"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seed := newAgent(t, "n1", c.seed...)
			seeds := c.seeds
			if info := seed.start(); seeds == "" {
				seeds = info.Advertise
			}
			a := newAgent(t, "n2", append([]string{"CLUSTER_SEEDS=" + seeds}, c.joiner...)...)
			a.start()
			for _, w := range c.want {
				eventually(t, func() error { return contains(a.output(), w) })
			}
			for _, w := range c.wantThere {
				eventually(t, func() error { return contains(seed.output(), w) })
			}
			t.Logf("here:\n%s\nthere:\n%s", a.output(), seed.output())
			if r, err := a.client.Ready(t.Context()); err != nil || r.Ready || r.Reason == "" {
				t.Errorf("ready although it could not join: %+v, %v", r, err)
			}
			// The same by hand.
			_, errs, status := heartbeat(t, []string{"HEARTBEAT_ADDRESS=" + a.api}, "join", seeds)
			if status != 1 {
				t.Errorf("join: status %d", status)
			}
			checkMessage(t, errs)
			wantIn(t, errs, seeds)
			if err := seed.sees(1, 0, 0)(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the command line tool says, and its exit codes.
func TestCommandFails(t *testing.T) {
	token := write(t, 0o600, "the-token-that-the-agent-wants-0123456789\n")
	a := newAgent(t, "n1", "API_TOKEN_FILE="+token)
	var err error
	if a.client, err = httpapi.NewClient(httpapi.ClientConfig{Address: a.api, Token: "the-token-that-the-agent-wants-0123456789"}); err != nil {
		t.Fatal(err)
	}
	a.start()
	nobody := "unix:" + filepath.Join(t.TempDir(), "api.sock")
	here := []string{"--address", a.api, "--token-file", token}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   []string
	}{
		{"no agent at the socket", []string{"members", "--address", nobody}, 3, []string{"no agent answers at " + nobody, "heartbeat agent", "--address"}},
		{"no agent at the port", []string{"members", "--address", "127.0.0.1:1"}, 3, []string{"no agent answers at 127.0.0.1:1", "connection refused", "heartbeat agent"}},
		{"no token", []string{"members", "--address", a.api}, 4, []string{"token", "--token-file"}},
		{"a wrong token", []string{"members", "--address", a.api, "--token-file", write(t, 0o600, "not-the-token-at-all-0123456789012345")}, 4, []string{"token"}},
		{"no token file", []string{"members", "--address", a.api, "--token-file", "/nowhere/token"}, 2, []string{"cannot read the token", "/nowhere/token"}},
		{"an empty token file", []string{"members", "--address", a.api, "--token-file", write(t, 0o600, "\n")}, 2, []string{"empty"}},
		{"no such member", append([]string{"info", "n2"}, here...), 5, []string{`n1 knows no member "n2"`, `did you mean "n1"?`}},
		{"no such member to be forced out", append([]string{"force-leave", "n2"}, here...), 5, []string{`"n2"`}},
		{"a member that lives", append([]string{"force-leave", "n1"}, here...), 1, []string{"n1"}},
		{"no such state", append([]string{"members", "--state", "dead"}, here...), 2, []string{`"dead"`, "alive, suspect, failed"}},
		{"no such format", append([]string{"members", "--format", "xml"}, here...), 2, []string{`"xml"`, "json"}},
		{"an address that is none", []string{"members", "--address", "::::"}, 2, []string{"::::"}},
		{"no such verb", []string{"mebmers"}, 2, []string{`"mebmers"`, "members"}},
		{"no such flag", []string{"members", "--colour"}, 2, []string{"--colour", "heartbeat members --help"}},
		{"an argument too few", append([]string{"force-leave"}, here...), 2, []string{"force-leave"}},
		{"a key that is none", append([]string{"keys", "list"}, here...), 1, []string{"encrypt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, status := heartbeat(t, nil, c.args...)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if out != "" {
				t.Errorf("on stdout: %s", out)
			}
			checkMessage(t, errs)
			wantIn(t, errs, c.want...)
		})
	}
}
