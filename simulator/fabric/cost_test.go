package fabric_test

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/simulator/fabric"
)

var (
	costNodes = flag.Int("cost.nodes", 20, "nodes of TestCostOfIdleNodes")
	costTime  = flag.Duration("cost.time", time.Minute, "virtual time of TestCostOfIdleNodes")
)

func nodeAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7946)
}

// newNode starts a memberlist node over an endpoint, with LAN defaults.
func newNode(t *testing.T, e *fabric.Endpoint, i int) *memberlist.Memberlist {
	t.Helper()
	cfg := memberlist.DefaultLANConfig()
	cfg.Name = fmt.Sprintf("n%d", i)
	cfg.BindAddr = nodeAddr(i).Addr().String()
	cfg.Transport = e
	cfg.EnableCompression = false
	cfg.LogOutput = io.Discard
	m, err := memberlist.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestCostOfIdleNodes runs a cluster of real memberlist nodes. Nobody may
// suspect anybody, and the log says what a node second costs. For a
// measurement:
//
//	GOMAXPROCS=1 GOGC=400 go test -run CostOfIdle -v -cost.nodes 100 -cost.time 10m -cpuprofile /tmp/cpu
func TestCostOfIdleNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fabric.New(fabric.Config{Seed: 1, Links: func(_, _ int, _ fabric.Proto) fabric.Link {
			return fabric.Link{Delay: 2 * time.Millisecond, Jitter: time.Millisecond}
		}})
		nodes := make([]*memberlist.Memberlist, *costNodes)
		for i := range nodes {
			e, err := n.Listen(i, nodeAddr(i))
			if err != nil {
				t.Fatal(err)
			}
			nodes[i] = newNode(t, e, i)
			if i > 0 {
				if _, err := nodes[i].Join([]string{nodeAddr(0).String()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(30 * time.Second)
		before := n.Stats()
		cpu := cpuTime()
		time.Sleep(*costTime)
		cpu = cpuTime() - cpu
		after := n.Stats()

		seconds := float64(len(nodes)) * costTime.Seconds()
		t.Logf("%d nodes, %v: %.0f node seconds per CPU second; per node and second: %.2f packets, %.0f B UDP, %.0f B TCP",
			len(nodes), *costTime, seconds/cpu.Seconds(), float64(after.PacketsOut-before.PacketsOut)/seconds,
			float64(after.UDPBytesOut-before.UDPBytesOut)/seconds, float64(after.TCPBytesOut-before.TCPBytesOut)/seconds)
		for i, m := range nodes {
			if got := m.NumMembers(); got != len(nodes) {
				t.Errorf("node %d sees %d members, want %d", i, got, len(nodes))
			}
			if h := m.GetHealthScore(); h != 0 {
				t.Errorf("node %d has health score %d, want 0", i, h)
			}
			if err := m.Shutdown(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
	})
}
