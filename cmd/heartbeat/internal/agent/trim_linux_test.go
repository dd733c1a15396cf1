package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestCodePages(t *testing.T) {
	const file = "/usr/bin/heart beat"
	for _, tc := range []struct {
		line     string
		from, to uintptr
	}{
		{"00400000-00a1f000 r-xp 00000000 fe:00 1234                       /usr/bin/heart beat", 0x400000, 0xa1f000},
		{"00a1f000-01000000 r--p 0061f000 fe:00 1234                       /usr/bin/heart beat", 0xa1f000, 0x1000000},
		{"01000000-01080000 rw-p 00c00000 fe:00 1234                       /usr/bin/heart beat", 0, 0},
		{"7f0000000000-7f0000001000 r-xp 00000000 fe:00 99                 /lib/libc.so", 0, 0},
		{"c000000000-c000400000 rw-p 00000000 00:00 0 ", 0, 0},
		{"nonsense", 0, 0},
		{"x-y r-xp 0 0 0 /usr/bin/heart beat", 0, 0},
	} {
		from, to, ok := codePages(tc.line, file)
		if ok != (tc.to != 0) || ok && (from != tc.from || to != tc.to) {
			t.Errorf("%q: %x to %x, %v", tc.line, from, to, ok)
		}
	}
}

// After a trim less is resident, and the program goes on.
func TestTrim(t *testing.T) {
	before := residentFile(t)
	if err := trim(); err != nil {
		t.Fatal(err)
	}
	if after := residentFile(t); after >= before {
		t.Errorf("%d kB of files are resident, %d before", after, before)
	}
}

// A position-independent program has read-only pages that no file holds: the
// addresses that it was relocated to. A trim must spare them.
func TestTrimOfPositionIndependentProgram(t *testing.T) {
	if os.Getenv("TRIM_HERE") != "" {
		TestTrim(t)
		runtime.GC() // walks the relocated types
		return
	}
	program := filepath.Join(t.TempDir(), "agent.test")
	if out, err := exec.Command("go", "test", "-c", "-buildmode=pie", "-o", program, ".").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: cannot build a position-independent program here: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TRIM_HERE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("it did not survive a trim: %v\n%.2000s", err, out)
	}
}

func residentFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Skip("SKIPPED: this kernel does not tell how much of files is resident")
	return 0
}
