package membership

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNothingIsShared: no holder of a member, record or change can reach the table.
func TestNothingIsShared(t *testing.T) {
	core := newCore(t, Config{Self: "n0"})
	tags := func() map[string]string { return map[string]string{"role": "db"} }
	effects := core.Step(epoch, Joined{Name: "n0", Tags: tags()})
	core.Step(epoch, Joined{Name: "n1", Tags: tags()})
	core.Step(epoch, EngineFailed{Name: "n1"})
	v := core.View(epoch)

	effects[0].(Changed).Member.Tags["role"] = "changed"
	v.Self().Tags["role"] = "changed"
	v.Members()[0].Tags["role"] = "changed"
	m, _ := v.Member("n1")
	m.Tags["role"] = "changed"
	m.Clone().Tags["role"] = "changed again"
	if m.Tags["role"] != "changed" {
		t.Error("a clone shares its tags")
	}
	for m := range v.All() {
		m.Tags["role"] = "changed"
	}
	core.Records(epoch)[0].Tags["role"] = "changed"

	for m := range core.View(epoch).All() {
		if diff := cmp.Diff(tags(), m.Tags); diff != "" {
			t.Errorf("tags of %s (-want +got):\n%s", m.Name, diff)
		}
	}
}

func TestViewVersion(t *testing.T) {
	core := newCore(t, Config{Self: "n0", DegradedScore: 3})
	core.Step(epoch, Joined{Name: "n0", Incarnation: 1})
	version := core.View(epoch).Version()
	for _, tt := range []struct {
		in    Input
		grows bool
	}{
		{Tick{}, false},
		{Joined{Name: "n0", Incarnation: 1}, false},
		{Joined{Name: "n1", Incarnation: 1}, true},
		{Accused{Subject: "n1", Accuser: "n2", Incarnation: 1}, true},
		{Accused{Subject: "n1", Accuser: "n3", Incarnation: 1}, false},
		{Refuted{Subject: "n1", Incarnation: 2}, true},
		{Refuted{Subject: "n1", Incarnation: 3}, true},
		{Health{Score: 2}, false},
		{Health{Score: 3}, true},
		{EngineFailed{Name: "n1"}, true},
		{Record{Name: "n2", Pruned: true}, false},
		{ForcedOut{Subject: "n1", Prune: true}, true},
		{nil, false},
	} {
		core.Step(epoch, tt.in)
		v := core.View(epoch.Add(time.Second))
		if grew := v.Version() > version; grew != tt.grows {
			t.Errorf("%T%+v: the version went from %d to %d", tt.in, tt.in, version, v.Version())
		}
		if !v.At().Equal(epoch.Add(time.Second)) {
			t.Errorf("the view is of %v", v.At())
		}
		version = v.Version()
	}
}

// TestViewsAreSafeToShare has readers use views while the owner goes on; the race
// detector is the judge.
func TestViewsAreSafeToShare(t *testing.T) {
	core := newCore(t, Config{Self: "n0"})
	var readers sync.WaitGroup
	for i := range 50 {
		core.Step(epoch, Joined{Name: fmt.Sprint("n", i), Tags: map[string]string{"i": fmt.Sprint(i)}})
		core.Step(epoch, Accused{Subject: fmt.Sprint("n", i/2), Accuser: "n0", Incarnation: uint32(i)})
		v := core.View(epoch)
		readers.Go(func() {
			if n := len(v.Members()); n != i+1 || v.Count(Alive)+v.Count(Suspect) != n {
				t.Errorf("view %d has %d members", i, n)
			}
		})
	}
	readers.Wait()
}

func TestTextForms(t *testing.T) {
	check := func(names string, n int, value func(i int) (encoding.TextMarshaler, encoding.TextUnmarshaler)) {
		t.Helper()
		words := append([]string{""}, strings.Fields(names)...)
		if len(words) != n+1 {
			t.Fatalf("%d names for %d values", len(words)-1, n)
		}
		for i, word := range words {
			v, back := value(i)
			text, err := v.MarshalText()
			if err != nil || string(text) != word {
				t.Errorf("%T(%d) is written as %q, %v; want %q", v, i, text, err, word)
			}
			want := word
			if i == 0 {
				want = "unknown"
			}
			if got := fmt.Sprint(v); got != want {
				t.Errorf("%T(%d) prints as %q, want %q", v, i, got, want)
			}
			if err := back.UnmarshalText(text); err != nil || fmt.Sprint(back) != want {
				t.Errorf("%q is read as %v, %v", text, back, err)
			}
			if err := back.UnmarshalText([]byte("Alive!")); err == nil || fmt.Sprint(back) != want {
				t.Errorf("%T: nonsense is read as %v, %v", v, back, err)
			}
		}
		v, _ := value(n + 1)
		if _, err := v.MarshalText(); err == nil || fmt.Sprint(v) != fmt.Sprintf("invalid(%d)", n+1) {
			t.Errorf("%T(%d) is written without an error, prints as %v", v, n+1, v)
		}
	}
	check("alive suspect failed left", 4, func(i int) (encoding.TextMarshaler, encoding.TextUnmarshaler) {
		return State(i), new(State)
	})
	check("connected degraded minority isolated", 4, func(i int) (encoding.TextMarshaler, encoding.TextUnmarshaler) {
		return Condition(i), new(Condition)
	})
	check("joined updated suspected refuted failed left removed condition conflict lapsed", 10,
		func(i int) (encoding.TextMarshaler, encoding.TextUnmarshaler) { return ChangeKind(i), new(ChangeKind) })
	check("joined updated accused refuted lapsed failed left forced-out removed condition conflict "+
		"testified abstained answered verdict overturned held-back heard healed probation stalled unreliable", 22,
		func(i int) (encoding.TextMarshaler, encoding.TextUnmarshaler) { return EntryKind(i), new(EntryKind) })
	check("inbound outbound engine operator memory rule", 6,
		func(i int) (encoding.TextMarshaler, encoding.TextUnmarshaler) { return Source(i), new(Source) })

	for _, name := range []string{"", "unknown", "ALIVE", "dead"} {
		if s, err := ParseState(name); err == nil {
			t.Errorf("ParseState(%q) = %v", name, s)
		}
	}
	if s, err := ParseState("left"); s != Left || err != nil {
		t.Errorf("ParseState(left) = %v, %v", s, err)
	}
}

// TestMemberAsJSON: a member survives the trip through JSON.
func TestMemberAsJSON(t *testing.T) {
	want := Member{Name: "n1", Addr: netip.MustParseAddrPort("[::1]:7946"), Tags: map[string]string{"a": "b"},
		State: Suspect, Incarnation: 3, Since: epoch, FirstSeen: epoch, Local: true}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Member
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
		t.Errorf("%s (-want +got):\n%s", text, diff)
	}
}
