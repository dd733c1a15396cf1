package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// simulated is the compose project with the cluster to break.
type simulated struct {
	project
	subnet  string
	reports string
	image   string
	probe   string // the program's file
}

// owner is whom the reports belong to: another one than us, where we may.
func owner() (uid, gid int) {
	if os.Getuid() == 0 {
		return 23456, 23457
	}
	return os.Getuid(), os.Getgid()
}

func TestComposeSimulate(t *testing.T) {
	need(t, exec.Command("docker", "info").Run() == nil, "a Docker engine that this user may use")
	all := composers()
	need(t, len(all) > 0, "docker-compose or docker compose")
	for _, compose := range all {
		t.Run(strings.Join(compose, " "), func(t *testing.T) { testComposeSimulate(t, compose) })
	}
}

func newSimulated(t *testing.T, compose []string) *simulated {
	id := fmt.Sprintf("%d%03d", os.Getpid(), rand.IntN(1000))
	p := &simulated{
		project: project{t: t, name: "heartbeat-simulate-" + id, root: repository(t), compose: compose},
		subnet:  fmt.Sprintf("172.31.%d", 200+rand.IntN(50)), reports: t.TempDir(), image: "heartbeat:simulate-" + id,
		probe: filepath.Join(t.TempDir(), "probe"),
	}
	uid, gid := owner()
	p.env = []string{"HB_IMAGE=" + p.image, "HB_SUBNET=" + p.subnet, "HB_REPORTS=" + p.reports, fmt.Sprintf("HB_USER=%d:%d", uid, gid), "CGO_ENABLED=0"}
	files, err := filepath.Glob("testdata/compose/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(p.reports, filepath.Base(file)), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(p.reports, 0o755), os.Chown(p.reports, uid, gid)); err != nil {
		t.Fatal(err)
	}
	return p
}

func testComposeSimulate(t *testing.T, compose []string) {
	p := newSimulated(t, compose)
	t.Cleanup(p.removeAll)
	p.must(5*time.Minute, "make", "image")
	p.must(5*time.Minute, "go", "build", "-o", p.probe, "./cmd/heartbeat/internal/e2e/testdata/probe")

	out, err := p.run(3*time.Minute, p.simulate("reports/stranger.yaml")...)
	if err == nil || !strings.Contains(err.Error(), "n7 does not exist: the cluster has 5 nodes") || exitCode(err) != 2 {
		t.Fatalf("a node that the cluster does not have: %v\n%s", err, out)
	}
	pids := p.processes()
	if len(pids) != 10 {
		t.Fatalf("%d containers run, want five sidecars and five agents", len(pids))
	}
	t.Run("nothing without the token", p.testTokens)
	for _, name := range []string{"halves", "deaf", "kill"} {
		t.Run(name, func(t *testing.T) { p.testScenario(t, name) })
	}
	t.Run("interrupted", p.testInterrupted)
	pids = append(pids, p.processes()...)
	for k := 1; k <= 5; k++ { // else Docker waits longer before each
		if n := p.must(time.Minute, "docker", "inspect", "--format", "{{.RestartCount}}", p.container(fmt.Sprintf("sim%d", k))); strings.TrimSpace(n) != "0" {
			t.Errorf("the container of n%d was restarted %s times, want its agents killed and started in one", k, strings.TrimSpace(n))
		}
	}

	p.removeAll()
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid + "/ns"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("process %s of a container is still there (%v)", pid, err)
		}
	}
}

// removeAll removes the project; what is left is an error.
func (p *simulated) removeAll() {
	if _, err := p.run(3*time.Minute, p.with("--profile", "simulate", "down", "--volumes", "--remove-orphans")...); err != nil {
		p.t.Error(err)
	}
	if left := p.leftovers(); len(left) > 0 {
		p.t.Errorf("left behind: %v", left)
	}
	p.must(time.Minute, "docker", "rmi", "--force", p.image)
	// The faults of the cluster were in its namespaces, which are gone; none was
	// done to the machine's own.
	if os.Getuid() == 0 {
		if out := p.must(time.Minute, program, "fault", "list"); !strings.Contains(out, "no faults") {
			p.t.Errorf("the machine itself has faults:\n%s", out)
		}
	}
}

// simulate is the command that plays a scenario.
func (p *simulated) simulate(args ...string) []string {
	return p.with(append([]string{"run", "-T", "--rm", "simulate"}, args...)...)
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// processes are the ids, on this machine, of the first processes of the
// project's containers.
func (p *simulated) processes() []string {
	p.t.Helper()
	ids := strings.Fields(p.must(time.Minute, "docker", "ps", "-q", "--filter", "label=com.docker.compose.project="+p.name))
	if len(ids) == 0 {
		return nil
	}
	return strings.Fields(p.must(time.Minute, append([]string{"docker", "inspect", "--format", "{{.State.Pid}}"}, ids...)...))
}

// testScenario plays a scenario, which must hold, and looks at the reports.
func (p *simulated) testScenario(t *testing.T, name string) {
	dir := "reports/compose-" + name // after the scenario's name
	out, err := p.run(4*time.Minute, p.simulate("reports/"+name+".yaml")...)
	if err != nil {
		t.Fatal(err)
	}
	wantIn(t, out, "docker-compose run --rm simulate reports/"+name+".yaml\n", "HOLDS", "compose engine, 5 nodes", dir+"/report.html")
	uid, gid := owner()
	for _, file := range []string{"report.html", "junit.xml", "result.json", "seed-1.trace.jsonl"} {
		info, err := os.Stat(filepath.Join(p.reports, "compose-"+name, file))
		if err != nil {
			t.Error(err)
			continue
		}
		if sys := info.Sys().(*syscall.Stat_t); int(sys.Uid) != uid || int(sys.Gid) != gid || info.Size() == 0 {
			t.Errorf("%s has %d bytes and belongs to %d:%d, want %d:%d", file, info.Size(), sys.Uid, sys.Gid, uid, gid)
		}
	}
	var result struct {
		Engine string
		Runs   []json.RawMessage
	}
	data, err := os.ReadFile(filepath.Join(p.reports, "compose-"+name, "result.json"))
	if err == nil {
		err = json.Unmarshal(data, &result)
	}
	if err != nil || result.Engine != "compose" || len(result.Runs) != 1 {
		t.Errorf("the result says engine %q, %d runs (%v)", result.Engine, len(result.Runs), err)
	}
	p.wantAtEase(t)
}

// wantAtEase checks that no fault is in effect and that the agents, left to
// themselves, see each other.
func (p *simulated) wantAtEase(t *testing.T) {
	t.Helper()
	for k := 1; k <= 5; k++ {
		out := p.must(time.Minute, p.with("exec", "-T", fmt.Sprintf("net%d", k), "/heartbeat", "fault", "list")...)
		if strings.TrimSpace(out) != "no faults" {
			t.Errorf("n%d has faults:\n%s", k, out)
		}
		eventually(t, func() error {
			out, err := p.run(time.Minute, p.with("exec", "-T", fmt.Sprintf("sim%d", k), "/heartbeat", "members", "--state", "alive", "--format", "names")...)
			if err == nil && strings.Count(out, "\n") != 5 {
				err = fmt.Errorf("n%d lists as alive:\n%s", k, out)
			}
			return err
		})
	}
}

// testInterrupted ends a run by Ctrl-C while a fault is in effect. Meanwhile
// another run is refused, and the report of before stays.
func (p *simulated) testInterrupted(t *testing.T) {
	report := filepath.Join(p.reports, "compose-halves", "report.html")
	before, err := os.Stat(report)
	if err != nil {
		t.Fatal(err)
	}
	argv := p.simulate("reports/halves.yaml")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = p.root, append(os.Environ(), p.env...)
	var said syncBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C goes to the group
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Logf("the run said:\n%s", said.String())
		}
	}()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	net1 := p.container("net1")
	eventually(t, func() error {
		out, err := p.run(time.Minute, "docker", "exec", net1, "/heartbeat", "fault", "list")
		if err == nil && !strings.Contains(out, "cut") {
			err = fmt.Errorf("no fault yet: %s", out)
		}
		select {
		case ended := <-done:
			t.Fatalf("it ended before the fault: %v", ended)
		default:
		}
		return err
	})
	if _, err := p.run(time.Minute, p.simulate("reports/deaf.yaml")...); err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), "another run is under way on this cluster") {
		t.Errorf("a second run: %v", err)
	}
	if out := p.must(time.Minute, "docker", "exec", net1, "/heartbeat", "fault", "list"); !strings.Contains(out, "cut") {
		t.Errorf("the second run ended the first one's faults: %s", out)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("an interrupted run ended with status 0")
		}
	case <-time.After(90 * time.Second):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Fatalf("it still runs after Ctrl-C: %v", <-done)
	}
	if after, err := os.Stat(report); err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("an interrupted run has replaced the report of before (%v)", err)
	}
	p.wantAtEase(t)
	if left := p.must(time.Minute, "docker", "ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name, "--filter", "label=com.docker.compose.oneoff=True"); left != "" {
		t.Errorf("the container of the run is left: %s", left)
	}
}

type probeRequest struct{ Method, URL, Token string }

// ask sends requests from a container in one of the project's networks. The
// answers are HTTP statuses, 0 where none came.
func (p *simulated) ask(t *testing.T, network string, requests []probeRequest) []int {
	t.Helper()
	id := strings.TrimSpace(p.must(time.Minute, "docker", "network", "ls", "-q",
		"--filter", "label=com.docker.compose.project="+p.name, "--filter", "label=com.docker.compose.network="+network))
	body, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "docker", "run", "--rm", "-i", "--network", id, "--no-healthcheck",
		"-v", p.probe+":/probe:ro", "--entrypoint", "/probe", p.image)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(body), &errs
	out, err := cmd.Output()
	var outcomes []struct{ Status int }
	if err == nil {
		err = json.Unmarshal(out, &outcomes)
	}
	if err != nil || len(outcomes) != len(requests) {
		t.Fatalf("the probe in %s: %v\n%s%s", network, err, out, &errs)
	}
	var statuses []int
	for _, o := range outcomes {
		statuses = append(statuses, o.Status)
	}
	return statuses
}

// documented are the routes that a page of the documentation lists, which
// other tests keep complete.
func documented(t *testing.T, page string, atLeast int) [][2]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository(t), "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var routes [][2]string
	for _, m := range regexp.MustCompile("`(GET|POST|PATCH|PUT|DELETE) (/[^`? ]*)`").FindAllStringSubmatch(string(data), -1) {
		route := [2]string{m[1], strings.ReplaceAll(m[2], "{name}", "n1")}
		if !slices.Contains(routes, route) {
			routes = append(routes, route)
		}
	}
	if len(routes) < atLeast {
		t.Fatalf("docs/%s lists %d routes only: %v", page, len(routes), routes)
	}
	return routes
}

// testTokens tries every route of a sidecar and of an agent, from both
// networks.
func (p *simulated) testTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	p.must(time.Minute, "docker", "cp", p.container("sim1")+":/secrets/token", file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(data))
	control, gossip := p.subnet+".131", p.subnet+".21"
	before := p.must(time.Minute, p.with("exec", "-T", "sim1", "/heartbeat", "info", "--format", "json")...)

	var refused []probeRequest
	hosts := map[string][][2]string{"7980": documented(t, "api.md", 14), "7981": documented(t, "faults.md", 8)}
	for port, routes := range hosts {
		for _, route := range routes {
			if route[1] == "/healthz" || route[1] == "/readyz" {
				continue // open to all: they answer yes or no
			}
			for _, wrong := range []string{"", "wrong-" + token, strings.ToLower(token)} {
				refused = append(refused, probeRequest{route[0], "http://" + control + ":" + port + route[1], wrong})
			}
		}
	}
	for i, status := range p.ask(t, "control", refused) {
		if status != 401 {
			t.Errorf("%s %s with a wrong token: status %d, want 401", refused[i].Method, refused[i].URL, status)
		}
	}
	var unanswered []probeRequest
	for port := range hosts {
		for _, host := range []string{gossip, control} {
			unanswered = append(unanswered, probeRequest{"GET", "http://" + host + ":" + port + "/healthz", ""},
				probeRequest{"GET", "http://" + host + ":" + port + "/v1/info", token}, probeRequest{"GET", "http://" + host + ":" + port + "/v1/agent", token})
		}
	}
	for i, status := range p.ask(t, "gossip", unanswered) {
		if status != 0 {
			t.Errorf("%s answers in the gossip network: status %d", unanswered[i].URL, status)
		}
	}
	known := []probeRequest{{"GET", "http://" + control + ":7980/v1/info", token}, {"GET", "http://" + control + ":7981/v1/agent", token}}
	if statuses := p.ask(t, "control", known); !slices.Equal(statuses, []int{200, 200}) {
		t.Errorf("with the token: statuses %v", statuses)
	}
	p.wantAtEase(t)
	if was, is := epoch(t, before), epoch(t, p.must(time.Minute, p.with("exec", "-T", "sim1", "/heartbeat", "info", "--format", "json")...)); was != is {
		t.Error("the agent was restarted by what was refused")
	}
}

// epoch names one life of an agent.
func epoch(t *testing.T, info string) string {
	t.Helper()
	var out struct{ Epoch string }
	if err := json.Unmarshal([]byte(info), &out); err != nil || out.Epoch == "" {
		t.Fatalf("the agent's info has no epoch (%v):\n%s", err, info)
	}
	return out.Epoch
}
