package httpapi

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// wireTypes are all types that travel.
var wireTypes = []any{
	Members{}, MemberAnswer{}, Info{}, Event{}, Journal{}, Why{}, Partitions{},
	JoinRequest{}, JoinAnswer{}, LeaveAnswer{}, ForceLeaveRequest{}, ForceLeaveAnswer{},
	TagsRequest{}, Tags{}, KeyRequest{}, Keys{}, LogLine{}, Health{}, Readiness{}, Problem{},
}

// fields adds the JSON names of a type and of all types in it.
func fields(typ reflect.Type, into map[string]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		fields(typ.Elem(), into)
	case reflect.Struct:
		for i := range typ.NumField() {
			if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "" {
				into[name] = true
				fields(typ.Field(i).Type, into)
			}
		}
	}
}

func apiDoc(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// docs/api.md speaks of every field, route, problem, parameter and metric.
func TestDocsAreComplete(t *testing.T) {
	doc := apiDoc(t)
	needs := func(what, text string) {
		t.Helper()
		if !strings.Contains(doc, "`"+text+"`") {
			t.Errorf("docs/api.md does not mention %s `%s`", what, text)
		}
	}
	names := map[string]bool{}
	for _, v := range wireTypes {
		fields(reflect.TypeOf(v), names)
	}
	if len(names) < 40 {
		t.Fatalf("only %d fields were found", len(names))
	}
	for name := range names {
		needs("field", name)
	}
	for _, rt := range new(Server).table() {
		needs("route", rt.Method+" "+rt.Path)
	}
	for kind := range titles {
		needs("problem", strings.TrimPrefix(kind, "urn:heartbeat:problem:"))
	}
	for _, param := range []string{"state", "name", "tag", "since", "backlog", "level", "member"} {
		if !strings.Contains(doc, "`"+param+"`") && !strings.Contains(doc, "?"+param+"=") {
			t.Errorf("docs/api.md does not mention parameter %s", param)
		}
	}
	reg := prometheus.NewRegistry()
	if _, err := New(ServerConfig{Node: newFakeNode(t), Ready: func() (bool, string) { return true, "" }, Registry: reg}); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		needs("metric", f.GetName())
	}
}

// Every example in docs/api.md is what it says: its fields exist, and those
// that are always there are there.
func TestDocsExamples(t *testing.T) {
	byName := map[string]reflect.Type{}
	shown := map[string]bool{}
	for _, v := range wireTypes {
		byName[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
	blocks := regexp.MustCompile("(?s)<!-- type: (\\w+) -->\n```json\n(.*?)```").FindAllStringSubmatch(apiDoc(t), -1)
	for _, block := range blocks {
		typ, ok := byName[block[1]]
		if !ok {
			t.Errorf("docs/api.md shows %s, which is no type of the API", block[1])
			continue
		}
		shown[block[1]] = true
		out := reflect.New(typ)
		dec := json.NewDecoder(strings.NewReader(block[2]))
		dec.DisallowUnknownFields()
		if err := dec.Decode(out.Interface()); err != nil {
			t.Errorf("example of %s: %v", block[1], err)
			continue
		}
		again, err := json.Marshal(out.Interface())
		if err != nil {
			t.Fatal(err)
		}
		var have, want any
		if err := json.Unmarshal([]byte(block[2]), &have); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(have, want) {
			t.Errorf("example of %s is not what would be sent:\n%s", block[1], again)
		}
	}
	for name := range byName {
		if !shown[name] {
			t.Errorf("docs/api.md has no example of %s", name)
		}
	}
}
