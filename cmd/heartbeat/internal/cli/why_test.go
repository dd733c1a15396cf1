package cli

import (
	"net"
	"strings"
	"testing"
	"time"

	"heartbeat/gossip/httpapi"
)

func second(seconds float64) time.Time {
	return at.Add(time.Duration(seconds * float64(time.Second)))
}

// sampleWhy is what n1 says about n7, of which a verdict was passed.
func sampleWhy() httpapi.Why {
	ended, took := second(3.22), 3220.0
	statement := func(by string, s float64, late bool) httpapi.Statement {
		return httpapi.Statement{By: by, At: second(s), AfterMS: 1000 * s, Late: late}
	}
	return httpapi.Why{
		Node: "n1", Condition: "connected", At: second(60), Name: "n7", Detector: "verdicts", JournalSince: second(-60),
		Member: &httpapi.Member{Name: "n7", Addr: "10.0.0.7:7946", Tags: map[string]string{}, State: "failed", Incarnation: 3, Since: ended, FirstSeen: second(-60)},
		Story:  []string{"n7 has been failed since then, says n1.", "A name may hold \x1b[2J."},
		Case: &httpapi.Case{Incarnation: 3, Began: at, Ended: &ended, TookMS: &took, Outcome: "verdict",
			Accusers:    []httpapi.Statement{statement("n3", 0, false), statement("n8", 4, true)},
			Testimonies: []httpapi.Statement{statement("n9", 0.6, false), statement("n4", 0.9, false)},
			Abstentions: []httpapi.Statement{}, Answers: []httpapi.Statement{}, Hearers: []httpapi.Statement{}},
		Rules: &httpapi.Rules{Witnesses: []string{"n9", "n1", "n4"}, Quorum: 2, PatienceMS: 1200, Majority: true},
		Evidence: []httpapi.JournalEntry{
			{At: second(-60), Member: "n7", Kind: "joined", Incarnation: 3, Via: "engine", Note: "it joined the cluster"},
			{At: at, Member: "n7", Kind: "accused", Incarnation: 3, By: "n3", Via: "inbound", Note: "n3 got no answer from it"},
			{At: second(0.6), Member: "n7", Kind: "testified", Incarnation: 3, By: "n9", Via: "inbound"},
			{At: second(0.9), Member: "n7", Kind: "testified", Incarnation: 3, By: "n4", Via: "inbound"},
			{At: second(3.22), Member: "n7", Kind: "verdict", Incarnation: 3, Via: "rule", Note: "accused by n3, confirmed"},
			{At: second(4), Member: "n7", Kind: "accused", Incarnation: 3, By: "n8", Via: "inbound"},
		},
	}
}

func whyAgent(change func(*httpapi.Why)) fakeAgent {
	agent, why := sampleAgent(), sampleWhy()
	if change != nil {
		change(&why)
	}
	agent["GET /v1/why/n7"] = why
	agent["GET /v1/why/n9"] = httpapi.Problem{Type: httpapi.ProblemNoSuchMember, Title: "no such member", Status: 404}
	return agent
}

func TestWhyRendering(t *testing.T) {
	quiet := func(w *httpapi.Why) { w.Case, w.Evidence = nil, []httpapi.JournalEntry{} }
	for name, tc := range map[string]struct {
		line   string
		change func(*httpapi.Why)
	}{
		"why.txt":                {"why n7", nil},
		"why.yaml":               {"why n7 -o yaml", nil},
		"why-quiet.txt":          {"why n7", quiet},
		"observers.txt":          {"observers n7", nil},
		"observers.json":         {"observers n7 --format json", nil},
		"observers-minority.txt": {"observers n7", func(w *httpapi.Why) { w.Rules.Majority = false }},
		"observers-stalled.txt":  {"observers n7", func(w *httpapi.Why) { w.Rules.PatienceMS, w.Rules.StallMS = 7620, 4000 }},
		"observers-unknown.txt":  {"observers n7", func(w *httpapi.Why) { quiet(w); w.Rules.Witnesses = []string{} }},
		"observers-engine.txt": {"observers n7", func(w *httpapi.Why) {
			w.Detector, w.Rules, w.Case.Testimonies = "memberlist", &httpapi.Rules{Witnesses: []string{}}, []httpapi.Statement{}
		}},
		"observers-removed.txt": {"observers n7", func(w *httpapi.Why) { w.Member, w.Rules = nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			r := heartbeat(t, "--address "+whyAgent(tc.change).start(t)+" "+tc.line)
			if r.code != 0 || r.stderr != "" {
				t.Fatalf("exit code %d, stderr %q", r.code, r.stderr)
			}
			golden(t, "render/"+name, r.stdout)
			if strings.Contains(r.stdout, "\x1b") {
				t.Error("there is an escape sequence")
			}
		})
	}
	for _, verb := range []string{"why", "observers"} {
		r := heartbeat(t, "-a "+whyAgent(nil).start(t)+" "+verb+" n9")
		if r.code != exitNoMember || !strings.Contains(r.stderr, `n1 knows no member "n9"`) {
			t.Errorf("%s: %+v", verb, r)
		}
	}
}

// nobody is an address at which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestWhyCluster(t *testing.T) {
	agents := map[string]string{"NOBODY": nobody(t)}
	for name, change := range map[string]func(*httpapi.Why){
		"FIRST": nil,
		"SECOND": func(w *httpapi.Why) {
			w.Node, w.Condition, w.Case.Abstentions, w.Case.Answers = "n2", "degraded", make([]httpapi.Statement, 2), make([]httpapi.Statement, 1)
		},
		"CUTOFF": func(w *httpapi.Why) {
			w.Node, w.Condition, w.Member.State, w.Case = "東京", "isolated", "alive", nil
		},
		"UNSURE": func(w *httpapi.Why) { w.Node, w.Member.Incarnation = "n4", 0 },
		"LATER":  func(w *httpapi.Why) { w.Node, w.Member.Incarnation = "n4", 4 },
	} {
		agents[name] = whyAgent(change).start(t)
	}
	unknowing := whyAgent(nil)
	unknowing["GET /v1/why/n7"] = unknowing["GET /v1/why/n9"]
	agents["UNKNOWING"] = unknowing.start(t)
	refusing := fakeAgent{"GET /v1/why/n7": httpapi.Problem{Type: httpapi.ProblemUnauthorised, Title: "a token is needed", Status: 401}}
	agents["REFUSING"] = refusing.start(t)

	for _, tc := range []struct {
		golden, line string
		code         int
	}{
		{"cluster-agrees.txt", "why --cluster n7 -a FIRST -a SECOND -a UNSURE", exitOK},
		{"cluster-disagrees.txt", "-a FIRST -a SECOND why -a CUTOFF --address NOBODY,UNKNOWING,REFUSING n7 --cluster", exitFailed},
		{"cluster-disagrees.json", "why --cluster n7 -o json -a FIRST,LATER,NOBODY", exitFailed},
		{"", "why --cluster n7 -a NOBODY,NOBODY", exitUnreachable},
		{"", "why --cluster n7 -a REFUSING,NOBODY", exitUnauthorised},
		{"", "why --cluster n9 -a FIRST,SECOND", exitNoMember},
		{"", "why --cluster n7 -a FIRST", exitUsage},
		{"", "why n7 -a FIRST -a SECOND", exitUsage},
		{"", "members -a FIRST,SECOND", exitUsage},
	} {
		line := tc.line
		for name, address := range agents {
			line = strings.ReplaceAll(line, name, address)
		}
		r := heartbeat(t, line)
		if r.code != tc.code || tc.code != 0 && r.stderr == "" {
			t.Errorf("%s: exit code %d, want %d: %s%s", tc.line, r.code, tc.code, r.stdout, r.stderr)
		}
		if tc.golden != "" {
			golden(t, "render/"+tc.golden, steady(r.stdout+r.stderr))
		}
	}
}

// The environment may list addresses, too, and a flag counts more.
func TestAddressesFromTheEnvironment(t *testing.T) {
	one, two := whyAgent(nil).start(t), whyAgent(func(w *httpapi.Why) { w.Node = "n2" }).start(t)
	t.Setenv("HEARTBEAT_ADDRESS", one+","+two)
	if r := heartbeat(t, "why --cluster n7"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if r := heartbeat(t, "members"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
	if r := heartbeat(t, "members -a "+one); r.code != 0 {
		t.Errorf("%+v", r)
	}
}
