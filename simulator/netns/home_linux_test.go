package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func itoa(n int) string { return strconv.Itoa(n) }

// sleeper starts a process that does nothing, and returns it with its line in
// the list of a home.
func sleeper(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, fmt.Sprintf("%d %s\n", cmd.Process.Pid, s.started)
}

func running(cmd *exec.Cmd) bool {
	s, err := readStat(cmd.Process.Pid)
	return err == nil && s.state != "Z"
}

// Leftovers of dead runs are removed, their processes ended, and nothing else
// is touched.
func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [strange] *dir?")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	alive, err := newHome(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer alive.remove()
	if err := alive.note(os.Getpid()); err != nil {
		t.Fatal(err)
	}

	orphan, line := sleeper(t)
	stranger, other := sleeper(t)
	dead := filepath.Join(dir, homePrefix+"dead")
	empty := filepath.Join(dir, homePrefix+"empty")
	for _, d := range []string{dead, empty, filepath.Join(dead, "sub")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// The stranger has got the number of an agent that has ended.
	list := line + "1" + other + "nonsense\n0 5\n-1 5\n1 5\n" + itoa(stranger.Process.Pid) + " 12345\n"
	if err := os.WriteFile(filepath.Join(dead, noted), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	link := filepath.Join(dir, homePrefix+"link")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, homePrefix+"file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	second, err := newHome(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for path, there := range map[string]bool{
		alive.path: true, second.path: true, dead: false, empty: false, link: true, elsewhere: true, file: true,
	} {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) == there {
			t.Errorf("%s: want it there: %v, %v", path, there, err)
		}
	}
	_ = orphan.Wait()
	if running(orphan) || !running(stranger) {
		t.Errorf("the orphan runs: %v, the stranger: %v", running(orphan), running(stranger))
	}
	if err := second.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(second.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second home is still there: %v", err)
	}
}

func TestTail(t *testing.T) {
	log := new(tail)
	for i := range 100_000 {
		fmt.Fprintf(log, "line %d\n", i)
	}
	lines := strings.Split(log.String(), "\n")
	if len(lines) != tailLines || lines[tailLines-1] != "line 99999" || len(log.buf) > tailBytes {
		t.Errorf("%d lines, %d bytes kept: %q", len(lines), len(log.buf), lines)
	}
	fmt.Fprintf(log, "panic: oh\n\n%s", strings.Repeat("goroutine\n", 1000))
	if got := log.String(); !strings.HasPrefix(got, "panic: oh\n") || strings.Count(got, "\n") != tailLines-1 {
		t.Errorf("a crash: %q", got)
	}
	if got := log.panic(); got != "panic: oh" {
		t.Errorf("the panic was noted as %q", got)
	}
	survived := new(tail)
	_, _ = survived.Write([]byte("12:00:00 WRN all is well, no panic\n"))
	if got := survived.panic(); got != "" {
		t.Errorf("no panic was noted as %q", got)
	}
	_, _ = survived.Write([]byte("12:00:01 ERR a request made the API fail panic=\"nil map\" part=api\n"))
	if got := survived.panic(); !strings.HasPrefix(got, "12:00:01 ERR a request") {
		t.Errorf("a panic that was survived was noted as %q", got)
	}
	_, _ = log.Write(make([]byte, 3*tailBytes))
	if len(log.buf) != tailBytes {
		t.Errorf("%d bytes after a large write", len(log.buf))
	}
}
