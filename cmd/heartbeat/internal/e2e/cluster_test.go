package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

func TestClusterOfProcesses(t *testing.T) {
	agents := startCluster(t, 5, "CLUSTER_NAME=e2e")
	out, _, status := heartbeat(t, []string{"HEARTBEAT_ADDRESS=" + agents[1].api}, "members", "--format", "names")
	if status != 0 || out != "n1\nn2\nn3\nn4\nn5\n" {
		t.Errorf("members: status %d\n%s", status, out)
	}

	agents[3].signal(syscall.SIGKILL)
	rest := []*agent{agents[0], agents[1], agents[2], agents[4]}
	for _, a := range rest {
		eventually(t, a.sees(4, 1, 0))
	}
	agents[3].start()
	for _, a := range agents {
		eventually(t, a.sees(5, 0, 0))
	}
	if err := agents[4].stop(); err != nil {
		t.Errorf("n5 did not end cleanly: %v\n%s", err, agents[4].output())
	}
	for _, a := range agents[:4] {
		eventually(t, a.sees(4, 0, 1))
	}
}

// A seed that is down when the agent starts is tried until it is there.
func TestAgentRetriesItsSeeds(t *testing.T) {
	seed := newAgent(t, "n1")
	addr := seed.start().Advertise
	if err := seed.stop(); err != nil {
		t.Fatal(err)
	}
	seed.env = append(seed.env, "HEARTBEAT_NETWORK_PORT="+addr[strings.LastIndex(addr, ":")+1:])
	late := newAgent(t, "n2", "CLUSTER_SEEDS="+addr)
	late.start()
	if r, err := late.client.Ready(t.Context()); err == nil && r.Ready {
		t.Error("ready although it could not join")
	}
	eventually(t, func() error {
		if !strings.Contains(late.output(), "nothing listens there") {
			return errors.New("the log does not say why the seed failed")
		}
		return nil
	})
	seed.start()
	eventually(t, late.sees(2, 0, 0))
	eventually(t, func() error {
		if r, err := late.client.Ready(t.Context()); err != nil || !r.Ready {
			return fmt.Errorf("not ready: %+v, %w", r, err)
		}
		return nil
	})
}

// After a crash of everything the snapshots alone bring the cluster together
// again, without any seed.
func TestSnapshotRejoins(t *testing.T) {
	agents := startCluster(t, 3)
	var fixed [3]string
	for i, a := range agents {
		info, err := a.client.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fixed[i] = info.Advertise[strings.LastIndex(info.Advertise, ":")+1:]
	}
	for _, a := range agents {
		eventually(t, func() error {
			if !a.hasSnapshotOf(2) {
				return errors.New(a.name + " has no snapshot of two others yet")
			}
			return nil
		})
	}
	for i, a := range agents {
		a.signal(syscall.SIGKILL)
		<-a.done
		a.env = append(a.env, "HEARTBEAT_NETWORK_PORT="+fixed[i], "HEARTBEAT_CLUSTER_SEEDS=")
	}
	for _, a := range agents {
		a.start()
	}
	for _, a := range agents {
		eventually(t, a.sees(3, 0, 0))
	}
}
