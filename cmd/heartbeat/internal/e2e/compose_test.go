package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// project is one compose cluster with a name, a network and ports of its own,
// so that it stands beside a user's.
type project struct {
	t       *testing.T
	name    string
	root    string   // of the repository
	compose []string // docker-compose, or docker compose
	env     []string
	ports   string // all but the last digit
}

// run runs a command in the repository's root and returns its output.
func (p *project) run(timeout time.Duration, argv ...string) (string, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // used by Cleanup, too
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = p.root
	cmd.Env = append(os.Environ(), p.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, &out, &errs)
	}
	return out.String(), nil
}

func (p *project) must(timeout time.Duration, argv ...string) string {
	p.t.Helper()
	out, err := p.run(timeout, argv...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *project) with(args ...string) []string {
	return append(append(append([]string{}, p.compose...), "-p", p.name), args...)
}

// container is the ID of a service's container; names are compose's business.
func (p *project) container(service string) string {
	p.t.Helper()
	return strings.TrimSpace(p.must(time.Minute, p.with("ps", "-q", service)...))
}

// leftovers lists what of the project there is: containers, networks, volumes.
func (p *project) leftovers() []string {
	p.t.Helper()
	label := "label=com.docker.compose.project=" + p.name
	var all []string
	for _, argv := range [][]string{
		{"docker", "ps", "-aq", "--filter", label},
		{"docker", "network", "ls", "-q", "--filter", label},
		{"docker", "volume", "ls", "-q", "--filter", label},
	} {
		all = append(all, strings.Fields(p.must(time.Minute, argv...))...)
	}
	return all
}

// freePorts returns the first digits of five ports of which none is in use.
func freePorts(t *testing.T) string {
	t.Helper()
search:
	for range 100 {
		prefix := 2000 + rand.IntN(1000)
		for i := 1; i <= 5; i++ {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d%d", prefix, i))
			if err != nil {
				continue search
			}
			_ = ln.Close()
		}
		return fmt.Sprint(prefix)
	}
	t.Fatal("no five free ports")
	return ""
}

// composers lists the compose programs of this machine.
func composers() [][]string {
	var found [][]string
	for _, argv := range [][]string{{"docker-compose"}, {"docker", "compose"}} {
		if exec.Command(argv[0], append(argv[1:], "version")...).Run() == nil {
			found = append(found, argv)
		}
	}
	return found
}

// repository is its root directory.
func repository(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("cannot tell where the repository is: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// The same life as TestClusterOfProcesses, in containers: from the image to
// nothing left, by the commands that people use.
func TestCompose(t *testing.T) {
	need(t, exec.Command("docker", "info").Run() == nil, "a Docker engine that this user may use")
	all := composers()
	need(t, len(all) > 0, "docker-compose or docker compose")
	for _, compose := range all {
		t.Run(strings.Join(compose, " "), func(t *testing.T) { testCompose(t, compose) })
	}
}

func testCompose(t *testing.T, compose []string) {
	id := fmt.Sprintf("%d%03d", os.Getpid(), rand.IntN(1000))
	p := &project{
		t: t, name: "heartbeat-e2e-" + id, root: repository(t), compose: compose, ports: freePorts(t),
	}
	image := "heartbeat:e2e-" + id
	subnet := fmt.Sprintf("172.31.%d", 100+rand.IntN(100))
	p.env = []string{"HB_IMAGE=" + image, "HB_SUBNET=" + subnet, "HB_PORTS=" + p.ports, "WAIT=120"}
	t.Cleanup(func() { // also after a failure
		_, err := p.run(3*time.Minute, p.with("--profile", "simulate", "down", "--volumes", "--remove-orphans")...)
		if err != nil {
			t.Error(err)
		}
		if left := p.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		p.must(time.Minute, "docker", "rmi", "--force", image)
	})

	p.must(5*time.Minute, "make", "image")
	p.must(3*time.Minute, p.with("up", "-d", "n1", "n2", "n3", "n4", "n5")...)
	out := p.must(3*time.Minute, append([]string{"scripts/compose-wait.sh"}, p.with()...)...)
	wantIn(t, out, "All 5 nodes see each other", "127.0.0.1:"+p.ports+"1")
	out = p.must(time.Minute, p.with("exec", "-T", "n1", "/heartbeat", "members", "--state", "alive", "--format", "names")...)
	if out != "n1\nn2\nn3\nn4\nn5\n" {
		t.Fatalf("n1 lists as alive:\n%s", out)
	}
	if len(p.leftovers()) < 5 {
		t.Error("the search for leftovers does not see running containers")
	}

	token := filepath.Join(t.TempDir(), "token")
	p.must(time.Minute, "docker", "cp", p.container("n1")+":/keys/token", token)
	// state asks one node over its port on this machine's loopback what it
	// holds another one for.
	state := func(observer int, member string) (string, error) {
		address := fmt.Sprintf("127.0.0.1:%s%d", p.ports, observer)
		out, err := p.run(time.Minute, program, "members", "--address", address, "--token-file", token, "--format", "table")
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 2 && f[0] == member {
				return f[2], nil
			}
		}
		return "", fmt.Errorf("n%d lists no %s: %w", observer, member, err)
	}
	become := func(member, want string, observers ...int) {
		t.Helper()
		for _, n := range observers {
			eventually(t, func() error {
				if got, err := state(n, member); err != nil || got != want {
					return fmt.Errorf("n%d holds %s %q, want %q (%v)", n, member, got, want, err)
				}
				return nil
			})
		}
	}
	become("n4", "alive", 1, 2, 3, 5)
	_, errs, status := heartbeat(t, nil, "members", "--address", "127.0.0.1:"+p.ports+"1")
	if status != 4 {
		t.Errorf("without the token: status %d\n%s", status, errs)
	}

	p.must(time.Minute, "docker", "kill", p.container("n4"))
	become("n4", "failed", 1, 2, 3, 5)
	p.must(2*time.Minute, p.with("start", "n4")...)
	become("n4", "alive", 1, 2, 3, 4, 5)
	p.must(2*time.Minute, p.with("stop", "n5")...)
	become("n5", "left", 1, 2, 3, 4)
}
