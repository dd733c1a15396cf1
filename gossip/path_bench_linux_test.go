package gossip

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// counting is a delegate that notes each user message.
type counting chan struct{}

func (c counting) NotifyMsg([]byte)              { c <- struct{}{} }
func (counting) NodeMeta(int) []byte             { return nil }
func (counting) GetBroadcasts(int, int) [][]byte { return nil }
func (counting) LocalState(bool) []byte          { return nil }
func (counting) MergeRemoteState([]byte, bool)   {}

// quietly makes an engine say nothing by itself while a benchmark runs.
func quietly(mc *memberlist.Config, got counting) {
	mc.ProbeInterval, mc.GossipInterval, mc.PushPullInterval = time.Hour, time.Hour, 0
	mc.Delegate = got
}

// pathArms are a node of ours and memberlist as it is, with its compression, which is on by default, and without.
var pathArms = []struct {
	name  string
	start func(b *testing.B, name string, keys *Keyring, got counting) *memberlist.Memberlist
}{
	{"ours", func(b *testing.B, name string, keys *Keyring, got counting) *memberlist.Memberlist {
		c := Local()
		c.Name, c.Port, c.Keyring = name, 0, keys
		c.Engine = func(mc *memberlist.Config) { quietly(mc, got) }
		n, err := Start(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := n.Close(); err != nil {
				b.Error(err)
			}
		})
		return n.engine
	}},
	{"memberlist", startBare(true)},
	{"memberlist-uncompressed", startBare(false)},
}

func startBare(compression bool) func(*testing.B, string, *Keyring, counting) *memberlist.Memberlist {
	return func(b *testing.B, name string, keys *Keyring, got counting) *memberlist.Memberlist {
		mc := memberlist.DefaultLANConfig()
		mc.Name, mc.BindAddr, mc.BindPort, mc.AdvertisePort = name, "127.0.0.1", 0, 0
		mc.EnableCompression, mc.LogOutput = compression, io.Discard
		if keys != nil {
			mc.SecretKey = keys.active()[0]
		}
		quietly(mc, got)
		m, err := memberlist.Create(mc)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := m.Shutdown(); err != nil {
				b.Error(err)
			}
		})
		return m
	}
}

func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkNodePath sends user messages from one node to another, and probes with their acks: engine, encryption, tap and
// transport together. What a message says is like gossip, names and numbers.
func BenchmarkNodePath(b *testing.B) {
	const burst = 32
	for _, encrypted := range []bool{false, true} {
		for _, what := range []string{"probe", "100", "1200"} {
			for _, arm := range pathArms {
				b.Run(fmt.Sprintf("encrypted=%v/packet=%s/impl=%s", encrypted, what, arm.name), func(b *testing.B) {
					var keys *Keyring
					if encrypted {
						text, err := GenerateKey(256)
						if err != nil {
							b.Fatal(err)
						}
						if keys, err = NewKeyring(text); err != nil {
							b.Fatal(err)
						}
					}
					got := make(counting, burst)
					from, to := arm.start(b, "n1", keys, make(counting, burst)), arm.start(b, "n2", keys, got)
					target := to.LocalNode()
					addr := &net.UDPAddr{IP: target.Addr, Port: int(target.Port)}
					var text strings.Builder
					for i := 0; text.Len() < 1200; i++ {
						fmt.Fprintf(&text, "node-%d 10.0.%d.%d:7946 ", i*7919%1000, i*31%256, i*101%256)
					}
					message := []byte(text.String()[:100])
					if what == "1200" {
						message = []byte(text.String()[:1200])
					}
					packets := 0
					b.ReportAllocs()
					start := cpuSeconds(b)
					for b.Loop() {
						if what == "probe" {
							if _, err := from.Ping("n2", addr); err != nil {
								b.Fatal(err)
							}
							packets += 2
							continue
						}
						for range burst {
							if err := from.SendBestEffort(target, message); err != nil {
								b.Fatal(err)
							}
						}
						for range burst {
							<-got
						}
						packets += burst
					}
					b.ReportMetric(float64(packets)/(cpuSeconds(b)-start), "packets/cpu-s")
				})
			}
		}
	}
}

// BenchmarkTap is what the whole tap adds to a packet that holds only a probe or an ack: the peeker, the note of a probe sent,
// and the listener with suspects that are nobody, others than the sender, or the sender among them. cpu-ns is processor
// time, which other programs on the machine do not stretch.
func BenchmarkTap(b *testing.B) {
	for _, c := range tapCases(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpuSeconds(b)
			for b.Loop() {
				c.run()
			}
			b.ReportMetric(1e9*(cpuSeconds(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}
