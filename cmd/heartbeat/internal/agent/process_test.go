package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func childFile(name, extra string) string {
	return fmt.Sprintf(`profile: local
api: {address: "127.0.0.1:0"}
probe: {interval: 200ms, timeout: 100ms}
log: {format: json}
node: {name: %s}
%s`, name, extra)
}

func TestSIGTERMAndSIGINTLeaveGracefully(t *testing.T) {
	a := begin(t, "a")
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		name := "b" + fmt.Sprint(int(s))
		b := spawn(t, childFile(name, "network: {port: 0}\ncluster: {seeds: [\""+a.gossip+"\"]}"))
		waitState(t, a.api, name, "alive")
		b.signal(t, s)
		if status := b.exit(t); status != 0 {
			t.Errorf("%v: exit status %d, want 0", s, status)
		}
		waitState(t, a.api, name, "left")
	}
}

// With an hour between two gossip rounds the news of the leave is never handed
// on, so that only a second signal can end the agent before leave.timeout.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	b := spawn(t, childFile("b", "network: {port: 0}\nleave: {timeout: 1m}\ngossip: {interval: 12s}\nsuspicion: {mult: 64}"))
	c := begin(t, "c", "cluster.seeds="+b.gossip)
	waitState(t, b.api, "c", "alive")
	waitState(t, c.api, "b", "alive")
	b.signal(t, syscall.SIGTERM)
	b.log.wait(t, "leaving the cluster")
	var status int
	eventually(t, func() string {
		_ = b.cmd.Process.Signal(syscall.SIGTERM) // fails once the process is gone
		select {
		case err := <-b.exited:
			status = exitStatus(t, err)
			return ""
		default:
			return "the process does not end"
		}
	})
	if status != -int(syscall.SIGTERM) {
		t.Errorf("exit status %d, want the end by the signal", status)
	}
}

// A killed agent must be back quickly under its old name, through the snapshot
// alone. At another port it must wait until the others hold the old one failed.
func TestRestartAfterSIGKILLRejoinsThroughTheSnapshot(t *testing.T) {
	a := begin(t, "a", "suspicion.max_timeout_mult=1", "members.reclaim_after=100ms")
	dir, port := t.TempDir(), freePort(t)
	settings := "data_dir: " + dir + "\nnetwork: {port: " + port + "}\n"
	b := spawn(t, childFile("b", settings+"cluster: {seeds: [\""+a.gossip+"\"]}"))
	waitState(t, a.api, "b", "alive")
	waitSnapshot(t, dir, "a")
	for _, port := range []string{port, freePort(t)} {
		b.signal(t, syscall.SIGKILL)
		if status := b.exit(t); status != -int(syscall.SIGKILL) {
			t.Fatalf("exit status %d", status)
		}
		b = spawn(t, childFile("b", "data_dir: "+dir+"\nnetwork: {port: "+port+"}\n"))
		b.log.wait(t, "joined the cluster")
		waitState(t, b.api, "a", "alive")
		waitState(t, a.api, "b", "alive")
		eventually(t, func() string {
			m, err := a.api.Member(t.Context(), "b")
			if err != nil {
				return err.Error()
			}
			if m.Member.Addr != b.gossip {
				return fmt.Sprintf("b is at %s for a, want %s", m.Member.Addr, b.gossip)
			}
			return ""
		})
	}
}

func waitSnapshot(t *testing.T, dir, want string) {
	t.Helper()
	eventually(t, func() string {
		data, err := os.ReadFile(filepath.Join(dir, snapshotName))
		if err != nil {
			return err.Error()
		}
		s, err := decodeSnapshot(data)
		if err != nil {
			return err.Error()
		}
		if got := names(s.Members); got != want {
			return fmt.Sprintf("the snapshot holds %q, want %q", got, want)
		}
		return ""
	})
}

func TestSIGHUPReloadsAndNeverKills(t *testing.T) {
	b := spawn(t, childFile("b", "network: {port: 0}"))
	b.signal(t, syscall.SIGHUP)
	b.log.wait(t, "the configuration was read anew")
	if err := b.api.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAfterALeaveOnlyTheSeedsCount(t *testing.T) {
	a := begin(t, "a")
	dir := t.TempDir()
	leave := func(r *running) {
		t.Helper()
		r.stop()
		if err := r.end(t); err != nil {
			t.Fatal(err)
		}
		waitState(t, a.api, "b", "left")
	}
	b := begin(t, "b", "data_dir="+dir, "cluster.seeds="+a.gossip)
	waitState(t, b.api, "a", "alive")
	leave(b)
	b = begin(t, "b", "data_dir="+dir, "leave.rejoin=true")
	waitState(t, b.api, "a", "alive")
	leave(b)
	b = begin(t, "b", "data_dir="+dir)
	b.log.wait(t, "the last run left the cluster gracefully")
	b.log.wait(t, "no seeds are set and no members are known")
}
