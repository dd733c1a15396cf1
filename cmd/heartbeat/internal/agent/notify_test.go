package agent

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// manager is a service manager's end of the socket.
type manager struct {
	conn *net.UnixConn
	got  []string // lines, in order
}

func listenNotify(t *testing.T, address string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return &manager{conn: conn}
}

// wait reads until a line with that prefix comes and returns it.
func (m *manager) wait(t *testing.T, prefix string) string {
	t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			t.Fatalf("no %s: %v; what came: %q", prefix, err, m.got)
		}
		lines := strings.Split(string(buf[:n]), "\n")
		m.got = append(m.got, lines...)
		for _, line := range lines {
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	addresses := map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@heartbeat-test-%d", os.Getpid()),
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			m := listenNotify(t, address)
			t.Setenv("WATCHDOG_USEC", "50000")
			t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
			r := beginReloadable(t, "")
			m.wait(t, "READY=1")
			m.wait(t, "STATUS=1 members: 1 alive")
			m.wait(t, "WATCHDOG=1")
			m.wait(t, "WATCHDOG=1")

			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			m.wait(t, "RELOADING=1")
			last := m.got[len(m.got)-3:]
			if usec, ok := strings.CutPrefix(last[1], "MONOTONIC_USEC="); !ok || usec == "0" || strings.Trim(usec, "0123456789") != "" {
				t.Errorf("RELOADING=1 comes with %q, want MONOTONIC_USEC", last)
			}
			m.wait(t, "READY=1")
			r.stop()
			m.wait(t, "STOPPING=1")
			if err := r.end(t); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWithoutAServiceManager(t *testing.T) {
	for _, address := range []string{"", "vsock:2:1234", "/nowhere/notify"} {
		t.Setenv("NOTIFY_SOCKET", address)
		t.Setenv("WATCHDOG_USEC", "50000")
		var log logLines
		n := newNotifier(zerolog.New(&log))
		n.ready("x")
		n.reloading()
		n.close()
		if n.watchdog != 0 {
			t.Errorf("%q: a watchdog is fed that nobody keeps", address)
		}
		if warned := strings.Contains(log.String(), `"warn"`); warned != (address != "") {
			t.Errorf("%q: warned: %v", address, warned)
		}
	}
}

// A service manager that does not read must not hold up the agent.
func TestAStalledServiceManager(t *testing.T) {
	listenNotify(t, filepath.Join(t.TempDir(), "notify"))
	var log logLines
	n := newNotifier(zerolog.New(&log))
	defer n.close()
	eventually(t, func() string {
		n.status(strings.Repeat("x", 1000))
		if log.find("cannot tell the service manager") == nil {
			return "the socket never fills up"
		}
		return ""
	})
}

func TestWatchdogInterval(t *testing.T) {
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0},
		{"30000000", "", 30 * time.Second},
		{"30000000", "42", 30 * time.Second},
		{"30000000", "43", 0},
		{"x", "", 0},
		{"0", "", 0},
		{"-5", "", 0},
		{"99999999999999999999", "", 0},
		{"9223372036854775807", "", 0},
	} {
		if got := watchdogInterval(tt.usec, tt.pid, 42); got != tt.want {
			t.Errorf("watchdogInterval(%q, %q) = %v, want %v", tt.usec, tt.pid, got, tt.want)
		}
	}
}
