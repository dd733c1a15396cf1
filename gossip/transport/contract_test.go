package transport

import (
	"io"
	"log"
	"net"
	"testing"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"heartbeat/gossip/transport/transporttest"
)

func open(t testing.TB, cfg Config) *Transport {
	t.Helper()
	if cfg.Bind == "" {
		cfg.Bind = "127.0.0.1"
	}
	tr, err := New(cfg)
	if err != nil {
		t.Fatalf("opening a transport: %v", err)
	}
	t.Cleanup(func() {
		if err := tr.Shutdown(); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	return tr
}

// needIPv6 skips a test on a machine without ::1.
func needIPv6(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("SKIPPED, IPv6 IS NOT TESTED HERE: this machine cannot listen on ::1: %v", err)
	}
	ln.Close()
}

func TestContract(t *testing.T) {
	ours := func(a, b string) transporttest.Pair {
		return func(t *testing.T) (memberlist.NodeAwareTransport, memberlist.NodeAwareTransport) {
			return open(t, Config{Bind: a, Logger: zerolog.Nop()}), open(t, Config{Bind: b, Logger: zerolog.Nop()})
		}
	}
	t.Run("ours over IPv4", func(t *testing.T) { transporttest.Run(t, ours("127.0.0.1", "127.0.0.2")) })
	t.Run("ours over IPv6", func(t *testing.T) {
		needIPv6(t)
		transporttest.Run(t, ours("::1", "::1"))
	})
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run("ours over both families, reached at "+host, func(t *testing.T) {
			needIPv6(t)
			transporttest.Run(t, func(t *testing.T) (memberlist.NodeAwareTransport, memberlist.NodeAwareTransport) {
				both := func() memberlist.NodeAwareTransport {
					return reachedAt{open(t, Config{Bind: "::", Logger: zerolog.Nop()}), net.ParseIP(host)}
				}
				return both(), both()
			})
		})
	}
	t.Run("memberlist's over IPv6", func(t *testing.T) {
		needIPv6(t)
		transporttest.Run(t, func(t *testing.T) (memberlist.NodeAwareTransport, memberlist.NodeAwareTransport) {
			return openNet(t, "::1"), openNet(t, "::1")
		})
	})
	t.Run("memberlist's", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) (memberlist.NodeAwareTransport, memberlist.NodeAwareTransport) {
			return openNet(t, "127.0.0.1"), openNet(t, "127.0.0.2")
		})
	})
}

// reachedAt is a transport for all addresses that advertises one of this machine alone.
type reachedAt struct {
	*Transport
	ip net.IP
}

func (r reachedAt) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip != "" {
		return r.Transport.FinalAdvertiseAddr(ip, port)
	}
	if v4 := r.ip.To4(); v4 != nil {
		return v4, r.Port(), nil
	}
	return r.ip, r.Port(), nil
}

// openNet opens memberlist's own transport.
func openNet(t testing.TB, bind string) *memberlist.NetTransport {
	t.Helper()
	tr, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{bind},
		Logger:    log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Shutdown() })
	return tr
}
