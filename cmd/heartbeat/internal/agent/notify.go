package agent

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// notifier tells the service manager about the agent's state, as sd_notify(3)
// describes it: datagrams of NAME=value lines to the socket that NOTIFY_SOCKET
// names. Without one it does nothing.
type notifier struct {
	conn *net.UnixConn // nil: nobody wants to know
	log  zerolog.Logger
	// watchdog is how often the service manager wants a sign of life; 0: never.
	watchdog time.Duration
}

// newNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func newNotifier(log zerolog.Logger) *notifier {
	n := &notifier{log: log}
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return n
	}
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		log.Warn().Str("socket", address).Msg("the service manager's socket is of a kind that is not supported: it is told nothing")
		return n
	}
	// Package net takes a leading @ for an abstract socket, as systemd does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		log.Warn().Err(err).Msg("cannot reach the service manager: it is told nothing")
		return n
	}
	n.conn = conn
	n.watchdog = watchdogInterval(os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID"), os.Getpid())
	return n
}

// watchdogInterval is 0 when no watchdog is set, or one for another process.
func watchdogInterval(usec, pid string, self int) time.Duration {
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(time.Hour/time.Microsecond) || pid != "" && pid != strconv.Itoa(self) {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

// send hands lines over. A service manager that does not read must not hold up
// the agent, so a write takes at most a second, and what fails is only logged.
func (n *notifier) send(lines ...string) {
	if n.conn == nil {
		return
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second)) // fails on a closed connection only, as the write then does
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		n.log.Debug().Err(err).Strs("state", lines).Msg("cannot tell the service manager")
	}
}

func (n *notifier) ready(status string)  { n.send("READY=1", "STATUS="+status) }
func (n *notifier) status(status string) { n.send("STATUS=" + status) }
func (n *notifier) stopping()            { n.send("STOPPING=1", "STATUS=leaving") }
func (n *notifier) alive()               { n.send("WATCHDOG=1") }

// reloading begins a reload, which ready ends.
func (n *notifier) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		n.log.Debug().Err(err).Msg("cannot read the monotonic clock: the service manager is not told of the reload")
		return
	}
	n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000), "STATUS=reloading")
}

func (n *notifier) close() {
	if n.conn != nil {
		_ = n.conn.Close() // a datagram socket has nothing left to lose
	}
}
