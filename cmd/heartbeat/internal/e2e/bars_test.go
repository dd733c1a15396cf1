package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// measuring returns how often scripts/bars.sh wants a measurement repeated.
func measuring(t *testing.T) int {
	t.Helper()
	runs, err := strconv.Atoi(os.Getenv("BARS"))
	if err != nil || runs < 1 {
		t.Skip("SKIPPED: a measurement, not a test; scripts/bars.sh runs it")
	}
	return runs
}

// row prints the figures of one quantity.
func row(what string, figures []time.Duration) {
	s := slices.Clone(figures)
	slices.Sort(s)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	var sum time.Duration
	for _, d := range s {
		sum += d
	}
	fmt.Printf("%-52s %9.1f %9.1f %9.1f %9.1f\n", what, ms(s[len(s)/2]), ms(sum/time.Duration(len(s))), ms(s[0]), ms(s[len(s)-1]))
}

func header(title string) {
	fmt.Printf("\n%-52s %9s %9s %9s %9s\n", title+" (ms)", "median", "mean", "min", "max")
}

// until measures the time from now until the agents see what they should.
func until(t *testing.T, agents []*agent, alive, failed, left int, begin func()) time.Duration {
	t.Helper()
	start := time.Now()
	begin()
	var all sync.WaitGroup
	errs := make([]error, len(agents))
	for i, a := range agents {
		all.Go(func() {
			deadline := time.Now().Add(90 * time.Second)
			for {
				if errs[i] = a.sees(alive, failed, left)(); errs[i] == nil || time.Now().After(deadline) {
					return
				}
				wait(t.Context(), 5*time.Millisecond)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return took
}

// Bar 2: five agents that are started at the same moment, a crash, a leave.
func TestBarsOfFive(t *testing.T) {
	var together, crash, leave []time.Duration
	for range measuring(t) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		seed := ln.Addr().(*net.TCPAddr)
		_ = ln.Close()
		agents := make([]*agent, 5)
		for i := range agents {
			env := []string{"CLUSTER_NAME=bars", "CLUSTER_SEEDS=" + seed.String()}
			if i == 0 {
				env = append(env, fmt.Sprintf("NETWORK_PORT=%d", seed.Port))
			}
			agents[i] = newAgent(t, fmt.Sprintf("n%d", i+1), env...)
		}
		together = append(together, until(t, agents, 5, 0, 0, func() {
			for _, a := range agents {
				a.run()
			}
		}))
		crash = append(crash, until(t, agents[:4], 4, 1, 0, func() { agents[4].signal(syscall.SIGKILL) }))
		leave = append(leave, until(t, agents[:3], 3, 1, 1, func() { agents[3].signal(syscall.SIGTERM) }))
		for _, a := range agents[:3] {
			a.signal(syscall.SIGKILL)
			<-a.done
		}
	}
	header(fmt.Sprintf("five agents, profile lan, %d runs", len(together)))
	row("started together until all see each other", together)
	row("SIGKILL until the four others hold it failed", crash)
	row("SIGTERM until the three others hold it left", leave)
}

// Bar 4: what a command costs that asks an agent which knows 1000 members. The
// members come in as gossip: alive messages like any node's, sent to the port
// of a node without a key.
func TestBarsOfCommands(t *testing.T) {
	runs := 10 * measuring(t)
	const members = 1000
	a := newAgent(t, "n1", "LOG_LEVEL=error")
	info := a.start()
	conn, err := net.Dial("udp", info.Advertise)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range members - 1 {
		m := aliveMsg{Incarnation: 1, Node: fmt.Sprintf("member-%04d", i), Addr: []byte{127, 1, byte(i / 200), byte(1 + i%200)}, Port: 7946, Vsn: []uint8{1, 5, 2, 0, 0, 0}}
		if _, err := conn.Write(pack(typeAlive, m)); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			wait(t.Context(), 5*time.Millisecond)
		}
	}
	eventually(t, func() error {
		info, err := a.client.Info(t.Context())
		if err != nil {
			return err
		}
		if got := info.Members.Alive + info.Members.Suspect; got < members {
			return fmt.Errorf("%s knows %d members", a.name, got)
		}
		return nil
	})

	commands := [][]string{
		{"version"},
		{"members"},
		{"members", "--format", "json"},
		{"members", "--format", "names"},
	}
	wall, cpu := make([][]time.Duration, len(commands)), make([][]time.Duration, len(commands))
	for range runs {
		for i, args := range commands { // in turns, so that a busy moment hits all
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Env = []string{"HEARTBEAT_ADDRESS=" + a.api, "HOME=/"}
			begin := time.Now()
			out, err := cmd.Output()
			took := time.Since(begin)
			if err != nil {
				t.Fatalf("%v: %v", args, err)
			}
			if i > 0 && len(out) < members*10 {
				t.Fatalf("%v: only %d bytes", args, len(out))
			}
			wall[i] = append(wall[i], took)
			cpu[i] = append(cpu[i], cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
	}
	for _, kind := range []struct {
		name    string
		figures [][]time.Duration
	}{{"wall time", wall}, {"CPU time", cpu}} {
		header(fmt.Sprintf("%s, %d members known, %d runs in turns", kind.name, members, runs))
		for i, args := range commands {
			row("heartbeat "+strings.Join(args, " "), kind.figures[i])
		}
		median := func(i int) float64 {
			s := slices.Sorted(slices.Values(kind.figures[i]))
			return float64(s[len(s)/2])
		}
		fmt.Printf("%-52s %9.2f\n", "members : version, medians", median(1)/median(0))
	}
}
