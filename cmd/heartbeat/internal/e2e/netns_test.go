package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"heartbeat/simulator/result"
)

// needNamespaces skips on machines on which no network namespaces with
// nftables can be made.
func needNamespaces(t *testing.T) {
	t.Helper()
	need(t, os.Getuid() == 0, "root, for network namespaces")
	out, err := exec.Command(program, "fault", "doctor").CombinedOutput()
	if err != nil {
		t.Logf("fault doctor: %v\n%s", err, out)
	}
	need(t, err == nil, "a kernel in which faults can be made (see `heartbeat fault doctor`)")
}

// traces is what an engine of real processes could leave behind on a machine.
type traces struct{ namespaces, links, processes, files []string }

// machineTraces lists them: network namespaces that processes are in, network
// interfaces, processes of the program under test, temporary directories.
func machineTraces(t *testing.T, temp string) traces {
	t.Helper()
	var found traces
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		// A process may end meanwhile: then it leaves no trace.
		if ns, err := os.Readlink(p + "/ns/net"); err == nil && !slices.Contains(found.namespaces, ns) {
			found.namespaces = append(found.namespaces, ns)
		}
		if exe, err := os.Readlink(p + "/exe"); err == nil && exe == program {
			cmdline, _ := os.ReadFile(p + "/cmdline")
			found.processes = append(found.processes, filepath.Base(p)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		found.links = append(found.links, l.Name)
	}
	if found.files, err = filepath.Glob(filepath.Join(temp, "heartbeat-*")); err != nil {
		t.Fatal(err)
	}
	return found
}

// beyond says what there is that was not there before.
func (now traces) beyond(before traces) error {
	var left []string
	for _, pair := range [][2][]string{
		{now.namespaces, before.namespaces}, {now.links, before.links}, {now.processes, before.processes}, {now.files, before.files},
	} {
		for _, one := range pair[0] {
			if !slices.Contains(pair[1], one) {
				left = append(left, one)
			}
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	return nil
}

// simulation is a `heartbeat simulate run` on the engine netns.
type simulation struct {
	cmd    *exec.Cmd
	output syncBuffer
}

// simulate starts the run of a scenario; temp is where its temporary files go.
func simulate(t *testing.T, temp string, args ...string) *simulation {
	t.Helper()
	s := &simulation{cmd: exec.Command(program, append([]string{"simulate", "run", "--engine", "netns"}, args...)...)}
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + temp, "HEARTBEAT_NODE_NAME=not-the-agents-business"}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // long over unless the test failed
		_ = s.cmd.Wait()
	})
	return s
}

// What holds in virtual time must hold with real processes, real sockets and a
// kernel that drops the packets.
func TestScenariosInNamespaces(t *testing.T) {
	needNamespaces(t)
	temp := t.TempDir()
	before := machineTraces(t, temp)
	files, err := filepath.Glob("testdata/netns/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	// They mostly wait, so all run at once.
	var running sync.WaitGroup
	for _, file := range files {
		running.Go(func() {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) { runInNamespaces(t, temp, file) })
		})
	}
	running.Wait()
	eventually(t, func() error { return machineTraces(t, temp).beyond(before) })
}

func runInNamespaces(t *testing.T, temp, file string) {
	out := t.TempDir()
	s := simulate(t, temp, file, "--out", out)
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, s.output.String())
	}
	data, err := os.ReadFile(filepath.Join(out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := result.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if r.Engine != "netns" || len(r.Runs) != 1 || !r.Holds() {
		t.Errorf("the result is of engine %q, %d runs, holds: %v", r.Engine, len(r.Runs), r.Holds())
	}
	if c := r.Runs[0].Clock; c == nil {
		t.Error("the result does not say how exact its times are")
	} else {
		t.Logf("clocks: %+v", *c)
	}
	for _, name := range []string{"report.html", "junit.xml", "seed-1.trace.jsonl"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}

// Whatever ends a run, nothing stays: neither Ctrl-C nor the death of the
// engine's own process may leave agents or namespaces.
func TestNothingStaysOfBrokenRuns(t *testing.T) {
	needNamespaces(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			out := t.TempDir()
			s := simulate(t, temp, "testdata/netns/halves.yaml", "--out", out, "--set", "nodes=4")
			var mine []string
			eventually(t, func() error { // until all agents run
				mine = descendants(t, s.cmd.Process.Pid)
				if len(mine) < 4 {
					return fmt.Errorf("%d agents run:\n%s", len(mine), s.output.String())
				}
				return nil
			})
			if err := s.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = s.cmd.Wait()
			eventually(t, func() error {
				for _, pid := range mine {
					if _, err := os.Stat("/proc/" + pid + "/exe"); err == nil {
						return fmt.Errorf("agent %s still runs", pid)
					}
				}
				return nil
			})
			left, _ := filepath.Glob(filepath.Join(temp, "heartbeat-*"))
			if sig != syscall.SIGKILL && len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if sig == syscall.SIGINT {
				interruptedBeforeAnyResult(t, out, s)
			}
			if sig == syscall.SIGKILL {
				removedByTheNext(t, temp, left)
			}
		})
	}
}

// interruptedBeforeAnyResult checks that a run without a finished seed says so
// and writes no report, which might take the place of a good one.
func interruptedBeforeAnyResult(t *testing.T, out string, s *simulation) {
	t.Helper()
	if code := s.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit status %d after Ctrl-C, want 1", code)
	}
	wantIn(t, s.output.String(), "the run was interrupted before a seed was finished: no report was written")
	if _, err := os.Stat(filepath.Join(out, "result.json")); err == nil {
		t.Error("a result was written, although there is none")
	}
}

// removedByTheNext checks that the next start removes what a killed one left.
func removedByTheNext(t *testing.T, temp string, left []string) {
	t.Helper()
	if len(left) == 0 {
		t.Error("a killed run left no directory, so the next one has nothing to find: this test proves nothing")
	}
	s := simulate(t, temp, "testdata/netns/kill-restart.yaml", "--set", "nodes=4", "--set", "duration=41s")
	eventually(t, func() error {
		for _, dir := range left {
			if _, err := os.Stat(dir); err == nil {
				return fmt.Errorf("%s is still there", dir)
			}
		}
		return nil
	})
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
}

// descendants are the pids of the processes that a process has started.
func descendants(t *testing.T, pid int) []string {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, list := range lists {
		data, _ := os.ReadFile(list) // the thread may be gone
		pids = append(pids, strings.Fields(string(data))...)
	}
	return pids
}
