package kernelfault

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// rightsVar makes the test binary try all effects in its own namespace, with
// the rights that it was started with, and print how it went.
const rightsVar = "KERNELFAULT_TEST_RIGHTS"

func try() string {
	var missing []string
	for _, c := range Capabilities(0) {
		if !c.OK && c.Detail != NotPermitted {
			missing = append(missing, c.Detail)
		}
		if !c.OK {
			missing = append(missing, c.Name)
		}
	}
	table, err := Open(Config{Log: zerolog.Nop()})
	if err != nil {
		var u *UnsupportedError
		return fmt.Sprintf("unsupported=%v as=%v missing=%s: %v", errors.Is(err, ErrUnsupported), errors.As(err, &u), strings.Join(missing, ","), err)
	}
	err = table.Change([]Fault{{
		ID: "all", Peers: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, TTL: time.Minute,
		Effect: Effect{Loss: 0.5, Duplicate: 0.1, Delay: ms},
	}}, nil)
	listed, errList := List(0)
	faults, tables, errClear := Clear(0)
	return fmt.Sprintf("missing=%s change=%v list=%d %v clear=%d,%d %v", strings.Join(missing, ","), err, len(listed), errList, faults, tables, errClear)
}

// runWith starts this binary in a namespace with no other rights than those
// given, and returns what try said.
func runWith(t *testing.T, h host, rights ...uintptr) string {
	t.Helper()
	var out []byte
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread loses its rights for good
		result <- func() error {
			if err := netns.Set(h.ns); err != nil {
				return err
			}
			for right := uintptr(0); right <= unix.CAP_LAST_CAP; right++ {
				if !slices.Contains(rights, right) {
					if err := unix.Prctl(unix.PR_CAPBSET_DROP, right, 0, 0, 0); err != nil {
						return err
					}
				}
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), rightsVar+"=1")
			var err error
			out, err = cmd.CombinedOutput()
			return err
		}()
	}()
	if err := <-result; err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestRights holds what a sidecar container relies on: CAP_NET_ADMIN is enough.
func TestRights(t *testing.T) {
	h := host{ns: newNamespace(t)}
	newTable(t, h) // or skip
	if got := runWith(t, h); !strings.Contains(got, "unsupported=true as=true missing=nftables,nftables IPv6,") || !strings.Contains(got, "CAP_NET_ADMIN") {
		t.Errorf("without rights: %s", got)
	}
	got := runWith(t, host{ns: newNamespace(t)}, unix.CAP_NET_ADMIN)
	if want := "missing= change=<nil> list=1 <nil> clear=1,1 <nil>"; got != want {
		t.Errorf("with CAP_NET_ADMIN alone: %s, want %s", got, want)
	}
}
