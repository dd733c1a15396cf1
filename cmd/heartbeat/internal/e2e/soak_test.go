package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"heartbeat/simulator/result"
)

// soak prepares scripts/soak.sh; its report goes to out.
func soak(t *testing.T, out string, env ...string) (*exec.Cmd, *syncBuffer) {
	t.Helper()
	cmd := exec.Command("../../../../scripts/soak.sh", program)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "OUT=" + out}, env...)
	output := new(syncBuffer)
	cmd.Stdout, cmd.Stderr = output, output
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the soak:\n%s", output.String())
		}
	})
	return cmd, output
}

// wantSoak checks how a soak ended, and its first and last line.
func wantSoak(t *testing.T, err error, output string, code int, first, last string) {
	t.Helper()
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if got != code || !strings.HasPrefix(lines[0], first) || !strings.HasPrefix(lines[len(lines)-1], last) {
		t.Errorf("it ended with %d, with the first line %q and the last %q; want %d, %q and %q", got, lines[0], lines[len(lines)-1], code, first, last)
	}
}

// A minute of what `make soak` does for hours. What agents keep still fills in the first minutes, so their memory may
// grow here.
func TestSoak(t *testing.T) {
	needNamespaces(t)
	out := t.TempDir()
	cmd, output := soak(t, out, "SEED=1", "NODES=8", "DURATION=75s", "MAX_MEMORY=100%")
	err := cmd.Run()
	wantSoak(t, err, output.String(), 0, "soak: seed 1, 8 nodes, 75s", "soak: HOLDS")
	data, err := os.ReadFile(filepath.Join(out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := result.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 1 || len(r.Runs[0].Processes) < 2 || len(r.Checks) != 2 {
		t.Errorf("%d runs and %d checks, want 1 and 2, with at least 2 processes followed: %+v", len(r.Runs), len(r.Checks), r.Runs)
	}
}

// A soak finds an agent that crashes, and says when it cannot run.
func TestSoakThatFails(t *testing.T) {
	needNamespaces(t)
	cmd, output := soak(t, t.TempDir(), "NODES=3")
	wantSoak(t, cmd.Run(), output.String(), 2, "soak: seed 1, 3 nodes", "soak: COULD NOT RUN")

	cmd, output = soak(t, t.TempDir(), "NODES=4", "DURATION=10m")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !strings.Contains(output.String(), "of the run a second") {
			return errors.New("the run has not begun")
		}
		for _, child := range descendants(t, cmd.Process.Pid) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				return err
			}
			for _, agent := range descendants(t, pid) {
				if pid, err = strconv.Atoi(agent); err == nil {
					return syscall.Kill(pid, syscall.SIGSEGV)
				}
			}
		}
		return errors.New("no agent runs")
	})
	wantSoak(t, cmd.Wait(), output.String(), 1, "soak: seed 1, 4 nodes", "soak: DOES NOT HOLD")
	wantIn(t, output.String(), "an agent failed: n")
}
