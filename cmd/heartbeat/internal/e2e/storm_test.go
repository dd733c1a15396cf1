package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/gossip/httpapi"
)

const (
	// stormPackets go to each of two nodes in each of two phases.
	stormPackets = 270_000
	// stormRate, in packets a second and node, leaves room on two cores for
	// the nodes to read what is sent.
	stormRate = 15_000
	// stormMemory is how much the resident memory of a node may grow.
	stormMemory = 64 << 20
	// stormStreams are open at a node at once, each from its own address.
	stormStreams = 24
	// stormMembers bounds the nodes' tables. The nodes probe each forged member
	// before they give it up, one a second, so a small table heals sooner.
	stormMembers = 32
	// stormLog bounds what a node may write to its log: lines about bad packets
	// are limited in number per second.
	stormLog = 8 << 20
)

// front is a cluster of which the first node is attacked.
type front struct {
	t      *testing.T
	name   string
	label  string
	agents []*agent
	base   []int64 // resident memory before the storm, by agent
	peak   []atomic.Int64
	before []*httpapi.Members
	events []uint64 // as before holds
	epochs []string

	sent    atomic.Uint64
	streams atomic.Uint64
}

func newFront(t *testing.T, name string, env ...string) *front {
	t.Helper()
	f := &front{t: t, name: name, label: name}
	f.agents = startCluster(t, 3, append(env,
		"CLUSTER_NAME="+name, "MEMBERS_MAX="+strconv.Itoa(stormMembers), "NETWORK_ALLOWED=127.0.0.0/8",
		// Lifeguard's patience with slow machines would keep forged members long.
		"PROBE_AWARENESS_MAX=1", "SUSPICION_MAX_TIMEOUT_MULT=1")...)
	f.peak = make([]atomic.Int64, len(f.agents))
	for _, a := range f.agents {
		f.base = append(f.base, a.resident())
	}
	return f
}

func (f *front) target() *agent { return f.agents[0] }

// note remembers what the nodes know now.
func (f *front) note() {
	f.t.Helper()
	f.before, f.events, f.epochs = nil, nil, nil
	for _, a := range f.agents {
		info, err := a.client.Info(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		view, err := a.client.Members(f.t.Context(), httpapi.Filter{})
		if err != nil {
			f.t.Fatal(err)
		}
		f.epochs = append(f.epochs, info.Epoch)
		f.events = append(f.events, uint64(a.metrics()["heartbeat_events_total"]))
		f.before = append(f.before, view)
	}
}

// unchanged fails the test unless every node's view is as note found it and
// was so all the time. A suspicion that was refuted is no change: it is what
// an overloaded probe looks like, and the reason why suspicion exists.
func (f *front) unchanged(when string) {
	f.t.Helper()
	for i, a := range f.agents {
		eventually(f.t, func() error { // a suspicion may still be open
			view, err := a.client.Members(f.t.Context(), httpapi.Filter{})
			if err != nil {
				return err
			}
			if diff := cmp.Diff(summary(f.before[i]), summary(view)); diff != "" {
				return fmt.Errorf("%s: the view of %s has changed:\n%.2000s", when, a.name, diff)
			}
			return nil
		})
		kinds := map[string]int{}
		for _, ev := range a.eventsSince(f.epochs[i], f.events[i]) {
			kinds[ev.Kind]++
			switch ev.Kind {
			case "suspected", "refuted", "lapsed", "condition":
			default:
				f.t.Errorf("%s: %s saw %q of %+v: %s", when, a.name, ev.Kind, ev.Member, ev.Reason)
			}
		}
		f.t.Logf("%s, %s: view unchanged; events meanwhile: %v", when, a.name, kinds)
	}
}

// summary is what a view says of each member, without times and incarnations.
func summary(view *httpapi.Members) []string {
	var lines []string
	for _, m := range view.Members {
		lines = append(lines, fmt.Sprintf("%s %s %s %v %v", m.Name, m.Addr, m.State, m.Tags, m.ForcedOut))
	}
	return lines
}

// bombard sends packets to the attacked node while broken streams come and go.
func (f *front) bombard(seed uint64, members []string, packet func(*storm) []byte) {
	f.t.Helper()
	to, err := net.ResolveUDPAddr("udp", f.before[0].Members[0].Addr)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	var streams sync.WaitGroup
	for i := range stormStreams {
		b := &breaker{storm: newStorm(seed, uint64(100+i), members), target: to.String(), label: f.label, streams: &f.streams}
		streams.Go(func() { b.run(ctx, address(i)) })
	}
	defer streams.Wait()
	defer cancel()

	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address(500))})
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	s, began := newStorm(seed, 1, members), time.Now()
	for i := range stormPackets {
		if _, err := conn.WriteToUDP(packet(s), to); err != nil {
			f.t.Errorf("packet %d: %v", i, err)
			return
		}
		f.sent.Add(1)
		if i%64 == 0 {
			f.pace(to.Port, time.Until(began.Add(time.Duration(i)*time.Second/stormRate)))
		}
	}
}

// pace waits for the rate's sake, and for as long as the kernel holds much
// that the node has not read: packets that the kernel drops test nothing.
func (f *front) pace(port int, ahead time.Duration) {
	wait(f.t.Context(), ahead)
	for kernelQueue(port) > 64<<10 && f.target().running() {
		wait(f.t.Context(), time.Millisecond)
	}
}

// kernelQueue is how many bytes wait in the UDP socket of a port.
func kernelQueue(port int) int64 {
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			_, rx, _ := strings.Cut(f[4], ":")
			n, _ := strconv.ParseInt(rx, 16, 64)
			return n
		}
	}
	return 0
}

// watchMemory samples the nodes' resident memory until ctx ends.
func (f *front) watchMemory(ctx context.Context) {
	for wait(ctx, 100*time.Millisecond) {
		for i, a := range f.agents {
			f.peak[i].Store(max(f.peak[i].Load(), a.resident()))
		}
	}
}

// survived checks what holds for every node after the storm, and prints the
// figures.
func (f *front) survived() {
	f.t.Helper()
	m := f.target().metrics()
	var dropped float64
	for name, n := range m {
		if strings.HasPrefix(name, `heartbeat_transport_drops_total{reason="packet`) {
			dropped += n
			if n > 0 {
				f.t.Logf("%s: %.0f", name, n)
			}
		}
	}
	read := m[`heartbeat_transport_packets_total{direction="in"}`] + dropped
	sent := float64(f.sent.Load())
	f.t.Logf("%s: %.0f packets sent, %.0f read (%.0f for the engine, %.0f turned away or dropped), %d streams", f.name, sent, read, read-dropped, dropped, f.streams.Load())
	if read < sent/2 {
		f.t.Errorf("only %.0f of %.0f packets were read: the storm has tested little", read, sent)
	}
	if f.streams.Load() < 500 {
		f.t.Errorf("only %d streams came through", f.streams.Load())
	}
	for i, a := range f.agents {
		log := a.output()
		f.t.Logf("%s %s: resident %d kB before, %d kB at most, %d kB after; log %d kB", f.name, a.name,
			f.base[i]>>10, f.peak[i].Load()>>10, a.resident()>>10, len(log)>>10)
		if grown := f.peak[i].Load() - f.base[i]; grown > stormMemory {
			f.t.Errorf("%s of %s grew by %d MB", a.name, f.name, grown>>20)
		}
		if len(log) > stormLog {
			f.t.Errorf("%s of %s logged %d MB", a.name, f.name, len(log)>>20)
		}
		if !a.running() || strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
			f.t.Errorf("%s of %s has crashed", a.name, f.name)
		}
	}
}

// A member with a key and one without are pelted with more than a million
// packets and thousands of broken streams. With a key nothing of it may have
// any effect. Without one, whoever knows the format can forge, so there mutated
// messages may do harm for a while; but noise may not, nothing may crash a node
// or let it grow, and when it is over the true members must find each other
// again.
func TestStorm(t *testing.T) {
	var random [8]byte
	rand.Read(random[:])
	seed := binary.BigEndian.Uint64(random[:])
	if s := os.Getenv("STORM_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("STORM_SEED=%d repeats the same packets", seed)

	key := make([]byte, 32)
	rand.Read(key)
	ring := filepath.Join(t.TempDir(), "keyring.json")
	if err := os.WriteFile(ring, fmt.Appendf(nil, "[%q]\n", base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed := newFront(t, "sealed", "ENCRYPTION_KEYRING="+ring)
	plain := newFront(t, "plain")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go sealed.watchMemory(ctx)
	go plain.watchMemory(ctx)
	members := []string{"n1", "n2", "n3"}
	began := time.Now()

	sealed.note()
	plain.note()
	var both sync.WaitGroup
	both.Go(func() {
		sealed.bombard(seed, members, func(s *storm) []byte { return sometimesLabelled(s, sealed.label, s.broken()) })
	})
	both.Go(func() {
		plain.bombard(seed, members, func(s *storm) []byte { return sometimesLabelled(s, plain.label, s.broken()) })
	})
	both.Wait()
	sealed.unchanged("with a key, after noise")
	plain.unchanged("without a key, after noise")

	both.Go(func() {
		sealed.bombard(seed+1, members, func(s *storm) []byte { return s.sealed(sealed.label, key) })
	})
	both.Go(func() {
		plain.bombard(seed+1, members, func(s *storm) []byte { return sometimesLabelled(s, plain.label, s.mutated()) })
	})
	both.Wait()
	took := time.Since(began)
	sealed.unchanged("with a key, after mutated packets")
	plain.heals(members)
	t.Logf("the storm took %s, healing %s more", took.Round(time.Second), (time.Since(began) - took).Round(time.Second))
	sealed.survived()
	plain.survived()
	if all := sealed.sent.Load() + plain.sent.Load(); all < 1_000_000 {
		t.Errorf("only %d packets were sent", all)
	}
}

func sometimesLabelled(s *storm, label string, p []byte) []byte {
	if s.rng.IntN(20) == 0 {
		return p
	}
	return labelled(label, p)
}

// heals waits until the true members hold each other alive, where they were,
// and checks that the forged ones have found their bound.
func (f *front) heals(members []string) {
	f.t.Helper()
	for i, a := range f.agents {
		ctx, cancel := context.WithTimeout(f.t.Context(), 4*time.Minute)
		defer cancel()
		for {
			view, err := a.client.Members(ctx, httpapi.Filter{})
			if err == nil {
				if len(view.Members) > stormMembers {
					f.t.Errorf("%s holds %d members, more than %d", a.name, len(view.Members), stormMembers)
				}
				if err = sameTrueMembers(f.before[i], view, members); err == nil {
					f.t.Logf("without a key: %s holds %d members after the storm, all but 3 forged", a.name, len(view.Members))
					break
				}
			}
			if !wait(ctx, 200*time.Millisecond) {
				f.t.Errorf("%s has not recovered: %v", a.name, err)
				return
			}
		}
	}
}

func sameTrueMembers(before, after *httpapi.Members, names []string) error {
	find := func(view *httpapi.Members, name string) string {
		for _, m := range view.Members {
			if m.Name == name {
				return m.Addr + " " + m.State
			}
		}
		return "nothing"
	}
	var errs []error
	for _, n := range names {
		if got, want := find(after, n), find(before, n); got != want {
			errs = append(errs, fmt.Errorf("%s is %s, was %s", n, got, want))
		}
	}
	return errors.Join(errs...)
}
