package membership

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func filled(tb testing.TB, n int) (*Core, []string) {
	tb.Helper()
	core, err := New(Config{Self: "node-0", SuspicionLapse: time.Minute}, epoch)
	if err != nil {
		tb.Fatal(err)
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("node-", i)
		core.Step(epoch, Joined{Name: names[i], Addr: netip.MustParseAddrPort("10.0.0.1:7946"), Incarnation: 1})
	}
	return core, names
}

// BenchmarkJoin is one node hearing of n others.
func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				filled(b, n)
			}
		})
	}
}

// BenchmarkSuspicion is an accusation, nine repetitions of it, and its refutation.
func BenchmarkSuspicion(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			core, names := filled(b, n)
			b.ReportAllocs()
			for i := uint32(1); b.Loop(); i++ {
				name := names[1+int(i)%(n-1)]
				now := epoch.Add(time.Duration(i) * time.Millisecond)
				for range 10 {
					core.Step(now, Accused{Subject: name, Incarnation: i, Accuser: names[2], Source: SourceInbound})
				}
				core.Step(now, Refuted{Subject: name, Incarnation: i + 1})
			}
		})
	}
}

// BenchmarkStale is the common case: a relayed message that says nothing new.
func BenchmarkStale(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			core, names := filled(b, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				core.Step(epoch, Refuted{Subject: names[i%n], Incarnation: 1})
			}
		})
	}
}

// BenchmarkView is a view when nothing has changed, and when one member has.
func BenchmarkView(b *testing.B) {
	for _, n := range []int{100, 1000} {
		for _, changed := range []bool{false, true} {
			b.Run(fmt.Sprintf("changed=%t/n=%d", changed, n), func(b *testing.B) {
				core, names := filled(b, n)
				b.ReportAllocs()
				for i := uint32(2); b.Loop(); i++ {
					if changed {
						core.Step(epoch, Refuted{Subject: names[n/2], Incarnation: i})
					}
					core.View(epoch)
				}
			})
		}
	}
}
