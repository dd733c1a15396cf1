package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heartbeat/membership"
)

// readAll takes a stream apart.
func readAll(r io.Reader) (events []sseEvent, err error) {
	in := newSSEReader(r)
	for {
		ev, err := in.next()
		if err != nil {
			return events, err
		}
		events = append(events, ev)
	}
}

var sameEvents = cmp.AllowUnexported(sseEvent{})

func TestSSEReader(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []sseEvent
	}{
		{"plain", "id: 1\nevent: a\ndata: {}\n\n", []sseEvent{{"1", "a", []byte("{}")}}},
		{"windows", "id:1\r\nevent:a\r\ndata:{}\r\n\r\n", []sseEvent{{"1", "a", []byte("{}")}}},
		{"comment", ": alive\n\n: alive\nid: 7\n\n", []sseEvent{{"7", "", nil}}},
		{"several lines", "data: a\ndata: b\n\n", []sseEvent{{"", "", []byte("a\nb")}}},
		{"empty data", "data\n\n", []sseEvent{{"", "", []byte{}}}},
		{"a name alone is nothing", "event: a\n\ndata: x\n\n", []sseEvent{{"", "", []byte("x")}}},
		{"unknown fields", "retry: 5\nfoo: bar\ndata: x\n\n", []sseEvent{{"", "", []byte("x")}}},
		{"one space is taken away", "data:  x\n\n", []sseEvent{{"", "", []byte(" x")}}},
		{"an id with a NUL", "id: a\x00b\ndata: x\n\n", []sseEvent{{"", "", []byte("x")}}},
		{"unfinished", "data: x\n", nil},
		{"torn", "data: x", nil},
		{"nothing", "", nil},
		{"long", "data: " + strings.Repeat("x", 100_000) + "\n\n", []sseEvent{{"", "", bytes.Repeat([]byte("x"), 100_000)}}},
	} {
		got, err := readAll(iotest.OneByteReader(strings.NewReader(tc.text)))
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, got, sameEvents); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	for name, text := range map[string]string{
		"one line":     "data: " + strings.Repeat("x", maxStreamLine+1) + "\n\n",
		"endless line": strings.Repeat("x", 2*maxStreamLine),
		"many lines":   strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxStreamLine/1000+1) + "\n",
		"empty lines":  strings.Repeat("data\n", maxStreamLine+2) + "\n",
	} {
		if _, err := readAll(strings.NewReader(text)); !errors.Is(err, errLineTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the server writes the client reads back.
func TestSSERoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []sseEvent
		var text []byte
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			data, err := json.Marshal(rapid.String().Draw(t, "data"))
			if err != nil {
				t.Fatal(err)
			}
			ev := sseEvent{id: rapid.StringMatching(`[0-9a-f]{0,8}`).Draw(t, "id"), name: rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "name"), data: data}
			want = append(want, ev)
			text = ev.appendTo(append(text, ": alive\n\n"...))
		}
		got, err := readAll(bytes.NewReader(text))
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameEvents); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzSSEReader(f *testing.F) {
	f.Add([]byte("id: 1\nevent: a\ndata: {}\n\n"))
	f.Add([]byte(": alive\r\n\r\ndata\ndata:x\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, wholeErr := readAll(bytes.NewReader(text))
		pieces, piecesErr := readAll(iotest.OneByteReader(bytes.NewReader(text)))
		if diff := cmp.Diff(whole, pieces, sameEvents); diff != "" || wholeErr.Error() != piecesErr.Error() {
			t.Errorf("the result depends on how the bytes arrive: %v %v %s", wholeErr, piecesErr, diff)
		}
		for _, ev := range whole {
			if strings.ContainsAny(ev.id, "\n\x00") || strings.Contains(ev.name, "\n") || len(ev.data) > maxStreamLine {
				t.Errorf("%+v", ev)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("state=alive,failed&name=n*&tag=role=w?b")
	f.Add("since=0badcafe-17&backlog=3&level=debug")
	f.Add("name=%ff&tag==&state=")
	f.Add(`name=\*[a-z](.*)+$`)
	member := membership.Member{Name: "n1", State: membership.Alive, Tags: map[string]string{"role": "web"}}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := readQuery(raw, "state", "name", "tag", "since", "backlog", "level")
		if err != nil {
			mustBeProblem(t, err)
			return
		}
		if filter, err := readFilter(q); err != nil {
			mustBeProblem(t, err)
		} else {
			filter.match(member)
		}
		if _, err := readBacklog(q); err != nil {
			mustBeProblem(t, err)
		}
		if epoch, n, err := parseEventID(q.Get("since")); err != nil {
			mustBeProblem(t, err)
		} else if again, m, err := parseEventID(eventID(epoch, n)); err != nil || again != epoch || m != n {
			t.Errorf("%q: %q %d, then %q %d %v", q.Get("since"), epoch, n, again, m, err)
		}
	})
}

func mustBeProblem(t *testing.T, err error) {
	t.Helper()
	var p *problem
	if !errors.As(err, &p) || p.Status != 400 || p.Hint == "" || len(p.Detail) > 500 {
		t.Errorf("%#v", err)
	}
}

func FuzzBodies(f *testing.F) {
	for _, m := range mutations {
		f.Add(m.path, m.body)
	}
	f.Add("/v1/keys", `{"action":"install","key":"`+testKey+`"}{`)
	f.Add("/v1/tags", "[[[[[[")
	f.Fuzz(func(t *testing.T, route, body string) {
		node := newFakeNode(t)
		node.ring = keyring(t)
		s, err := New(ServerConfig{Node: node, Ready: func() (bool, string) { return true, "" }})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mutations {
			if m.path != route {
				continue
			}
			r := httptest.NewRequest(m.method, m.path, strings.NewReader(body))
			r.Host = "localhost"
			r.Header.Set("Content-Type", typeJSON)
			w := withDeadlines{httptest.NewRecorder()}
			s.handler.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s %q: %d %s", route, body, w.Code, w.Body)
			}
			if changed := len(node.changes()) > 0 || len(node.ring.List()) > 1; changed && w.Code != 200 {
				t.Errorf("%s %q: refused with %d after a change", route, body, w.Code)
			}
		}
	})
}

// withDeadlines is a recorder with the methods of a connection.
type withDeadlines struct{ *httptest.ResponseRecorder }

func (withDeadlines) SetReadDeadline(time.Time) error  { return nil }
func (withDeadlines) SetWriteDeadline(time.Time) error { return nil }
