package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"heartbeat/membership"
)

func sampleSnapshot() snapshot {
	return snapshot{
		Node: "n1", Cluster: "c", Saved: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Members: []knownMember{
			{Name: "n2", Addr: netip.MustParseAddrPort("10.0.0.2:7946"), State: "alive"},
			{Name: "n3", Addr: netip.MustParseAddrPort("[fd00::3]:7946"), State: "failed"},
		},
	}
}

func encoded(t testing.TB, s snapshot) []byte {
	t.Helper()
	data, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSnapshotRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := snapshot{
			Node: rapid.StringN(0, 40, -1).Draw(rt, "node"), Cluster: rapid.String().Draw(rt, "cluster"),
			Saved: time.Unix(rapid.Int64Range(0, 1<<33).Draw(rt, "saved"), 0).UTC(), Left: rapid.Bool().Draw(rt, "left"),
			Members: []knownMember{},
		}
		for i := range rapid.IntRange(0, 20).Draw(rt, "members") {
			ip := netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(rt, "ip"), byte(i)})
			s.Members = append(s.Members, knownMember{
				Name: rapid.StringN(1, 30, maxSnapshotName).Draw(rt, "name"),
				Addr: netip.AddrPortFrom(ip, rapid.Uint16Min(1).Draw(rt, "port")), State: "alive",
			})
		}
		got, err := decodeSnapshot(encoded(t, s))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(s, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			rt.Fatalf("snapshot (-want +got):\n%s", diff)
		}
	})
}

// A snapshot that was cut off or changed anywhere is refused.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	data := encoded(t, sampleSnapshot())
	for n := range len(data) {
		if _, err := decodeSnapshot(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(data))
		}
		changed := bytes.Clone(data)
		changed[n] ^= 0x20
		if _, err := decodeSnapshot(changed); err == nil {
			t.Errorf("a change of byte %d is accepted", n)
		}
	}
	if _, err := decodeSnapshot(append(bytes.Clone(data), 'x')); err == nil {
		t.Error("a byte too many is accepted")
	}
}

// sealed puts a right checksum before a body.
func sealed(version, body string) []byte {
	sum := sha256.Sum256([]byte(body))
	return []byte(snapshotMagic + version + " " + hex.EncodeToString(sum[:]) + "\n" + body)
}

func TestForeignSnapshotsAreRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty":            {},
		"another file":     []byte("alive: n1 10.0.0.1:7946\n"),
		"a later version":  sealed("2", "{}"),
		"not JSON":         sealed("1", "members"),
		"no address":       sealed("1", `{"members":[{"name":"a","state":"alive"}]}`),
		"no port":          sealed("1", `{"members":[{"name":"a","addr":"10.0.0.1:0"}]}`),
		"unspecified":      sealed("1", `{"members":[{"name":"a","addr":"0.0.0.0:1"}]}`),
		"no name":          sealed("1", `{"members":[{"addr":"10.0.0.1:1"}]}`),
		"too long a name":  sealed("1", `{"members":[{"name":"`+strings.Repeat("a", 200)+`","addr":"10.0.0.1:1"}]}`),
		"too many members": sealed("1", `{"members":[`+strings.Repeat(`{"name":"a","addr":"10.0.0.1:1"},`, maxSnapshotMembers)+`{"name":"a","addr":"10.0.0.1:1"}]}`),
		"too large":        bytes.Repeat([]byte("a"), maxSnapshotBytes+1),
	} {
		if s, err := decodeSnapshot(data); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(encoded(f, sampleSnapshot()))
	f.Add(sealed("1", `{"members":[{"name":"a","addr":"[::1%eth0]:1"}]}`))
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, input := range [][]byte{data, sealed("1", string(data))} {
			s, err := decodeSnapshot(input)
			if err != nil {
				continue
			}
			if again, err := decodeSnapshot(encoded(t, s)); err != nil || !sameMembers(s, again) {
				t.Errorf("%+v does not survive being saved: %v", s, err)
			}
		}
	})
}

// testView returns the view of a node "self" that has heard of members.
func testView(t *testing.T, names ...string) *membership.View {
	t.Helper()
	now := time.Now()
	core, err := membership.New(membership.Config{Self: "self"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range append([]string{"self"}, names...) {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}), 7946)
		core.Step(now, membership.Joined{Name: name, Addr: addr, Incarnation: 1})
	}
	return core.View(now)
}

func testKeeper(t *testing.T, dir string, log *logLines) *keeper {
	t.Helper()
	d, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return &keeper{dir: d, log: zerolog.New(log)}
}

func names(members []knownMember) string {
	var list []string
	for _, m := range members {
		list = append(list, m.Name)
	}
	return strings.Join(list, " ")
}

func (k *keeper) onDisk(t *testing.T) snapshot {
	t.Helper()
	data, err := os.ReadFile(k.dir.file(snapshotName))
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeSnapshot(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Members of the last run stay in the file until this run has joined somebody,
// so that one which is killed while alone has not forgotten its cluster.
func TestEarlierMembersStayUntilJoined(t *testing.T) {
	dir := t.TempDir()
	k := testKeeper(t, dir, &logLines{})
	k.save(testView(t, "a", "b"), false)
	k.dir.close()

	k = testKeeper(t, dir, &logLines{})
	k.load("self", false)
	if got := len(k.rejoinAddrs()); got != 2 {
		t.Fatalf("%d addresses to rejoin through, want 2", got)
	}
	k.save(testView(t), false)
	if got := names(k.onDisk(t).Members); got != "a b" {
		t.Errorf("while alone the file holds %q, want both members of the last run", got)
	}
	k.save(testView(t, "b", "c"), false)
	if got := names(k.onDisk(t).Members); got != "b c a" {
		t.Errorf("the file holds %q, want those of the view and then the earlier", got)
	}
	k.joined()
	k.save(testView(t, "b", "c"), false)
	if got := names(k.onDisk(t).Members); got != "b c" {
		t.Errorf("after joining the file holds %q, want those of the view alone", got)
	}
}

func TestAGracefulLeaveIsRemembered(t *testing.T) {
	for _, rejoin := range []bool{false, true} {
		dir := t.TempDir()
		k := testKeeper(t, dir, &logLines{})
		k.save(testView(t, "a"), true)
		k.dir.close()
		k = testKeeper(t, dir, &logLines{})
		k.load("self", rejoin)
		if got := len(k.rejoinAddrs()) > 0; got != rejoin {
			t.Errorf("leave.rejoin %v: rejoins: %v", rejoin, got)
		}
	}
}

func TestRejoinPrefersTheLivingAndIsBounded(t *testing.T) {
	k := &keeper{}
	for i := range 3 * maxRejoin {
		state := "failed"
		if i%6 == 0 {
			state = "alive"
		}
		k.earlier = append(k.earlier, knownMember{Name: fmt.Sprint(i), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i)}), 1), State: state})
	}
	got := k.rejoinAddrs()
	if len(got) != maxRejoin {
		t.Fatalf("%d addresses, want %d", len(got), maxRejoin)
	}
	for i := 0; i < 3*maxRejoin; i += 6 {
		if want := fmt.Sprintf("127.0.0.%d:1", i); !strings.Contains(strings.Join(got, " ")+" ", want+" ") {
			t.Errorf("%s was alive and is not tried", want)
		}
	}
}

func TestUnusableSnapshotsAreSetAside(t *testing.T) {
	foreign := sampleSnapshot()
	foreign.Cluster = "another"
	whole := encoded(t, sampleSnapshot())
	for name, data := range map[string][]byte{"torn": whole[:len(whole)/2], "empty": {}, "foreign": encoded(t, foreign)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var log logLines
			k := testKeeper(t, dir, &log)
			k.cluster = "c"
			path := filepath.Join(dir, snapshotName)
			for range 2 * maxAside {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				k.load("self", false)
			}
			if len(k.rejoinAddrs()) != 0 {
				t.Error("its members are used")
			}
			aside, err := filepath.Glob(path + ".corrupt-*")
			if err != nil || len(aside) != maxAside {
				t.Errorf("%d files were kept (%v), want %d", len(aside), err, maxAside)
			}
			for _, f := range aside {
				if kept, err := os.ReadFile(f); err != nil || !bytes.Equal(kept, data) {
					t.Errorf("%s is not what was set aside: %v", f, err)
				}
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("the file is still in its place")
			}
			if line := log.find("the members of the last run cannot be used"); line["level"] != "warn" {
				t.Errorf("no warning: %s", &log)
			}
		})
	}
}

func TestAFullDiskIsReportedOnceAndSavingGoesOn(t *testing.T) {
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: a full disk needs a tmpfs of its own, and mounting one needs root")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("cannot mount a tmpfs: %v", err)
		}
		t.Skipf("NOT TESTED: cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	var log logLines
	k := testKeeper(t, dir, &log)
	if !k.save(testView(t, "a"), false) {
		t.Fatal("saving fails on an empty disk")
	}
	before := encoded(t, k.onDisk(t))
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk does not fill up")
	}
	for range 3 {
		if k.save(testView(t, "a", "b"), false) {
			t.Fatal("saving succeeds on a full disk")
		}
	}
	if got := strings.Count(log.String(), "cannot save the known members"); got != 1 {
		t.Errorf("%d warnings, want 1:\n%s", got, &log)
	}
	if after := encoded(t, k.onDisk(t)); !bytes.Equal(before, after) {
		t.Error("the file has changed")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".members*")); err != nil || len(left) > 0 {
		t.Errorf("half files are left behind: %v, %v", left, err)
	}
	// A second agent can still be started there once the first has ended.
	k.dir.close()
	k.dir = testKeeper(t, dir, &log).dir
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if !k.save(testView(t, "a", "b"), false) || names(k.onDisk(t).Members) != "a b" {
		t.Error("saving does not work again")
	}
	if log.find("the known members are saved again") == nil {
		t.Error("the recovery was not logged")
	}
}
