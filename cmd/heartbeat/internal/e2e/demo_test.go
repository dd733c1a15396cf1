package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// leftovers lists what a demo in that temporary directory has left behind:
// files, and processes that have it in their environment.
func leftovers(t *testing.T, tmp string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environs {
		env, err := os.ReadFile(path) // gone meanwhile, or not ours
		if err == nil && bytes.Contains(env, []byte(tmp)) {
			files = append(files, filepath.Dir(path))
		}
	}
	return files
}

func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	out, errs, status := heartbeat(t, []string{"TMPDIR=" + tmp}, "demo")
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	wantIn(t, out, "all 5 see each other", "n4 (pid ", "gets SIGKILL", "holds n4 failed", "all 5 see each other again", "hold n5 left, not failed", "Summary")
	if strings.Contains(out, "\x1b[") {
		t.Error("escape sequences although the output is no terminal")
	}
	if got := leftovers(t, tmp); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestDemoCleansUpAfterCtrlC(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		tmp := t.TempDir()
		cmd := exec.Command(program, "demo", "--keep")
		cmd.Env = []string{"TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")}
		var out syncBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return out.contains("Ctrl-C ends the agents") })
		if len(leftovers(t, tmp)) < 5 {
			t.Error("the search for leftovers does not see running agents")
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := leftovers(t, tmp); len(got) > 0 {
			t.Errorf("%v: left behind: %v", sig, got)
		}
	}
}

// Even a demo that is killed outright takes its agents with it.
func TestDemoKilled(t *testing.T) {
	tmp := t.TempDir()
	cmd := exec.Command(program, "demo", "--keep")
	cmd.Env = []string{"TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")}
	var out syncBuffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return out.contains("Ctrl-C ends the agents") })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, func() error {
		for _, l := range leftovers(t, tmp) {
			if strings.HasPrefix(l, "/proc/") {
				return fmt.Errorf("%s still runs", l)
			}
		}
		return nil
	})
}
