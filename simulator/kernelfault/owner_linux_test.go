package kernelfault

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// ownerVar makes the test binary an owner of faults in the namespace that is
// its file descriptor 3. It says so and waits to be killed.
const ownerVar = "KERNELFAULT_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(rightsVar) != "" {
		fmt.Println(try())
		os.Exit(0)
	}
	if os.Getenv(ownerVar) != "" {
		if err := own(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		select {}
	}
	goleak.VerifyTestMain(m)
}

func own() error {
	table, err := Open(Config{Namespace: 3, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	ttl, err := time.ParseDuration(os.Getenv(ownerVar))
	if err != nil {
		return err
	}
	peers := []netip.Addr{netip.MustParseAddr("10.77.0.1")}
	if err := table.Change([]Fault{
		{ID: "cut", Peers: peers, Only: TCP, Effect: Effect{Cut: true}, TTL: ttl},
		{ID: "late", Peers: peers, Only: UDP, Effect: Effect{Delay: 200 * ms}, TTL: ttl},
	}, nil); err != nil {
		return err
	}
	fmt.Println("ready")
	return nil
}

// killedOwner puts the faults of own into effect in a host, from a process that
// is then killed.
func killedOwner(t *testing.T, h host, ttl time.Duration) {
	t.Helper()
	if _, err := List(int(h.ns)); errors.Is(err, ErrUnsupported) {
		need(t, "nftables", err)
	}
	ns := os.NewFile(uintptr(mustDup(t, int(h.ns))), "namespace")
	defer func() { _ = ns.Close() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerVar+"="+ttl.String())
	cmd.ExtraFiles = []*os.File{ns}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if strings.TrimSpace(line) != "ready" {
		t.Fatalf("the owner says %q", line)
	}
}

func mustDup(t *testing.T, fd int) int {
	t.Helper()
	dup, err := holdNamespace(fd)
	if err != nil {
		t.Fatal(err)
	}
	return dup
}

func TestFaultsOutliveTheirOwnerOnlyByTheirTime(t *testing.T) {
	a, b := newPair(t)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	listener := b.listen(t, b.addr)
	const ttl = 3 * time.Second
	killedOwner(t, b, ttl)
	killed := time.Now()

	// Nobody holds packets any more, so they pass; what is cut is still cut.
	send(t, ua, ub, 10)
	if n := received(t, ub, quiet); n != 10 {
		t.Errorf("%d packets of 10 passed the queue of a dead owner", n)
	}
	if time.Since(killed) < ttl/2 && a.answers(t, listener, 100*ms) && time.Since(killed) < ttl/2 {
		t.Error("the cut ended with its owner, before its time")
	}
	eventually(t, ttl+2*time.Second, "the cut ends", func() bool { return a.answers(t, listener, 100*ms) })
	if took := time.Since(killed); took > ttl+2*time.Second {
		t.Errorf("the cut ended %v after it began, want %v at most 2 s late", took, ttl)
	}
}

func TestOpenRemovesWhatTheDeadLeftBehind(t *testing.T) {
	_, b := newPair(t)
	killedOwner(t, b, time.Hour)
	living := newTable(t, b) // the other's lease still runs
	opened := time.Now()
	owned := list(t, b)
	if len(owned) != 2 {
		t.Fatalf("%d tables are listed, want the one of the dead and the one of the living: %+v", len(owned), owned)
	}
	for _, o := range owned {
		if o.Table != living.name && (len(o.Faults) != 2 || o.Faults[0].ID != "cut" || o.Faults[1].Effect.Delay != 200*ms ||
			o.Faults[0].TTL != time.Hour || o.Faults[0].Remaining > time.Hour || o.Faults[0].Remaining < 59*time.Minute) {
			t.Errorf("the dead owner's faults are listed as %+v", o.Faults)
		}
	}
	eventually(t, leaseTime+5*time.Second, "the dead owner's lease ends", func() bool {
		dead := 0
		for _, o := range list(t, b) {
			if !o.Alive {
				dead++
			}
			if o.Table == living.name && !o.Alive {
				t.Fatal("the living owner's lease has ended")
			}
		}
		return dead == 1 && time.Since(opened) > leaseTime+time.Second // so that a lease was renewed
	})
	change(t, living, []Fault{{ID: "mine", Peers: []netip.Addr{netip.MustParseAddr("10.77.0.1")}, Effect: Effect{Cut: true}, TTL: time.Hour}})
	next := newTable(t, b)
	owned = list(t, b)
	if len(owned) != 2 || !owned[0].Alive || !owned[1].Alive {
		t.Errorf("after an Open there are %+v, want the two living", owned)
	}
	faults, tables, err := Clear(int(b.ns))
	if err != nil || faults != 1 || tables != 2 {
		t.Errorf("Clear removed %d faults and %d tables: %v; want 1 and 2", faults, tables, err)
	}
	if owned = list(t, b); len(owned) != 0 {
		t.Errorf("after Clear there are %+v", owned)
	}
	if err := next.Change([]Fault{{ID: "x", Peers: []netip.Addr{netip.MustParseAddr("10.77.0.1")}, Effect: Effect{Cut: true}, TTL: time.Hour}}, nil); err == nil ||
		!strings.Contains(err.Error(), "removed by somebody else") {
		t.Errorf("Change of a table that was cleared: %v", err)
	}
}

func list(t testing.TB, h host) []Owned {
	t.Helper()
	owned, err := List(int(h.ns))
	if err != nil {
		t.Fatal(err)
	}
	return owned
}

func TestTwoOwnersAddUp(t *testing.T) {
	a, b := newPair(t)
	one, two := newTable(t, b), newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	cut := []Fault{{ID: "cut", Peers: []netip.Addr{a.addr}, Effect: Effect{Cut: true}, TTL: time.Minute}}
	late := []Fault{{ID: "late", Peers: []netip.Addr{a.addr}, Effect: Effect{Delay: 60 * ms}, TTL: time.Minute}}
	passes := func() int {
		send(t, ua, ub, 5)
		return received(t, ub, quiet)
	}
	change(t, one, cut)
	change(t, two, cut)
	change(t, one, nil, "cut")
	if n := passes(); n != 0 {
		t.Errorf("%d packets passed though one of two owners still cuts", n)
	}
	change(t, two, nil, "cut")
	if n := passes(); n != 5 {
		t.Errorf("%d packets of 5 passed after both cuts have ended", n)
	}
	change(t, one, late)
	change(t, two, late)
	go sendStamped(ua, ub, 20, 16, ms)
	if m := median(arrivals(t, ub, time.Second)); m < 120*ms || m > 220*ms {
		t.Errorf("two delays of 60 ms make %v", m)
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if err := two.Change(cut, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Change of a closed table: %v", err)
	}
	if err := two.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	go sendStamped(ua, ub, 20, 16, ms)
	if m := median(arrivals(t, ub, time.Second)); m < 60*ms || m > 115*ms {
		t.Errorf("one delay of 60 ms makes %v", m)
	}
	if owned := list(t, b); len(owned) != 1 || owned[0].Table != one.name {
		t.Errorf("after a Close there are %+v", owned)
	}
}

// TestCloseLetsPacketsGo checks that what is held arrives when the table goes.
func TestCloseLetsPacketsGo(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	change(t, table, []Fault{{ID: "late", Peers: []netip.Addr{a.addr}, Effect: Effect{Delay: time.Minute}, TTL: time.Minute}})
	send(t, ua, ub, 20)
	if n := received(t, ub, quiet); n != 0 {
		t.Fatalf("%d packets were not held", n)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if n := received(t, ub, quiet); n != 20 {
		t.Errorf("%d packets of 20 were let go", n)
	}
}
