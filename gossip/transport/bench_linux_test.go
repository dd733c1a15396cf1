package transport

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// implementations are what the benchmarks compare, each bound to a port of 127.0.0.1.
var implementations = []struct {
	name string
	open func(testing.TB) (memberlist.Transport, int)
}{
	{"ours", func(t testing.TB) (memberlist.Transport, int) {
		tr := open(t, Config{Logger: zerolog.Nop()})
		return tr, tr.Port()
	}},
	{"memberlist", func(t testing.TB) (memberlist.Transport, int) {
		tr := openNet(t, "127.0.0.1")
		return tr, tr.GetAutoBindPort()
	}},
}

// cpuTime is what the process has used of the processors so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU adds packets per second of processor time since start.
func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64(b.N)/(cpuTime(b)-start).Seconds(), "packets/cpu-s")
}

// BenchmarkReceive sends bursts of packets to a transport and takes them from its channel. The sender, a bare socket, is in the
// figures of both.
func BenchmarkReceive(b *testing.B) {
	const burst = 64 // fits in the smallest socket buffer
	for _, impl := range implementations {
		for _, size := range []int{100, 1200} {
			b.Run(fmt.Sprintf("impl=%s/size=%d", impl.name, size), func(b *testing.B) {
				tr, port := impl.open(b)
				sender, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
				if err != nil {
					b.Fatal(err)
				}
				defer sender.Close()
				packet := make([]byte, size)
				b.ReportAllocs()
				b.ResetTimer()
				start := cpuTime(b)
				for left := b.N; left > 0; {
					n := min(burst, left)
					for range n {
						if _, err := sender.Write(packet); err != nil {
							b.Fatal(err)
						}
					}
					for range n {
						<-tr.PacketCh()
					}
					left -= n
				}
				reportCPU(b, start)
			})
		}
	}
}

// BenchmarkSend sends packets to a socket that nobody reads.
func BenchmarkSend(b *testing.B) {
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	to := net.JoinHostPort("127.0.0.1", strconv.Itoa(sink.LocalAddr().(*net.UDPAddr).Port))
	for _, impl := range implementations {
		for _, size := range []int{100, 1200} {
			b.Run(fmt.Sprintf("impl=%s/size=%d", impl.name, size), func(b *testing.B) {
				tr, _ := impl.open(b)
				packet := make([]byte, size)
				b.ReportAllocs()
				b.ResetTimer()
				start := cpuTime(b)
				for range b.N {
					if _, err := tr.WriteTo(packet, to); err != nil {
						b.Fatal(err)
					}
				}
				reportCPU(b, start)
			})
		}
	}
}

// BenchmarkPath sends packets through one transport and takes them from the channel of another of the same kind: what a
// packet costs the cluster.
func BenchmarkPath(b *testing.B) {
	const burst = 64
	for _, impl := range implementations {
		for _, size := range []int{100, 1200} {
			b.Run(fmt.Sprintf("impl=%s/size=%d", impl.name, size), func(b *testing.B) {
				from, _ := impl.open(b)
				to, port := impl.open(b)
				addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
				packet := make([]byte, size)
				b.ReportAllocs()
				b.ResetTimer()
				start := cpuTime(b)
				for left := b.N; left > 0; {
					n := min(burst, left)
					for range n {
						if _, err := from.WriteTo(packet, addr); err != nil {
							b.Fatal(err)
						}
					}
					for range n {
						<-to.PacketCh()
					}
					left -= n
				}
				reportCPU(b, start)
			})
		}
	}
}
