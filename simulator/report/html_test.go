package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// pages are all HTML reports over the samples.
func pages(t testing.TB) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"mass-crash":      func(w io.Writer) error { return HTML(w, sample(t, "mass-crash")) },
		"frozen-minority": func(w io.Writer) error { return HTML(w, sample(t, "frozen-minority")) },
		"interrupted":     func(w io.Writer) error { return HTML(w, interrupted(t)) },
		"empty":           func(w io.Writer) error { return HTML(w, empty()) },
		"hostile":         func(w io.Writer) error { return HTML(w, hostile(t)) },
		"large":           func(w io.Writer) error { return HTML(w, large()) },
		"comparison":      func(w io.Writer) error { return HTMLComparison(w, read[result.Comparison](t, "comparison")) },
		"untested":        func(w io.Writer) error { return HTML(w, untestedRun(t)) },
		"engines":         func(w io.Writer) error { return HTMLComparison(w, engines(t)) },
		"sweep":           func(w io.Writer) error { return HTMLSweep(w, read[result.Sweep](t, "sweep")) },
		"load":            func(w io.Writer) error { return HTMLLoadCurve(w, read[result.LoadCurve](t, "load")) },
		"no-arms":         func(w io.Writer) error { return HTMLComparison(w, &result.Comparison{}) },
		"no-points":       func(w io.Writer) error { return HTMLSweep(w, &result.Sweep{}) },
	}
}

// large is as much as a heatmap shows: 1000 nodes, 240 buckets, and every cell
// another than the one before.
func large() *result.Result {
	const nodes, buckets = 1000, 240
	r := empty()
	r.Partial, r.Scenario.Nodes, r.Scenario.Name = false, nodes, "large"
	for seed := range uint64(3) {
		run := oracle.RunResult{Seed: seed, Nodes: nodes, End: buckets, Heat: oracle.Heat{Bucket: 1, Buckets: buckets}}
		for n := range nodes {
			row := oracle.HeatRow{Node: fmt.Sprintf("n%d", n+1)}
			for b := range buckets {
				row.Steps = append(row.Steps, [2]int{b, (n + 3*b) % nodes})
			}
			run.Heat.Rows = append(run.Heat.Rows, row)
		}
		r.Runs = append(r.Runs, run)
	}
	r.Summary = oracle.Summarize(r.Runs)
	return r
}

func render(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var dataBlock = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// block returns the page's data.
func block(t testing.TB, text string) []byte {
	t.Helper()
	found := dataBlock.FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%d data blocks", len(found))
	}
	return []byte(found[0][1])
}

func TestHTMLData(t *testing.T) {
	for _, name := range []string{"mass-crash", "interrupted", "empty", "comparison", "load"} {
		t.Run(name, func(t *testing.T) {
			var indented bytes.Buffer
			if err := json.Indent(&indented, block(t, render(t, pages(t)[name])), "", " "); err != nil {
				t.Fatal(err)
			}
			// Pairs and triples on a line each can be read and compared.
			short := regexp.MustCompile(`\[\s+([^\[\]{}]+?)\s+\]`).ReplaceAllStringFunc(indented.String(), func(list string) string {
				return strings.Join(strings.Fields(list), " ")
			})
			golden(t, name+".data.json", []byte(short+"\n"))
		})
	}
}

func TestHTMLIsSelfContained(t *testing.T) {
	tags := regexp.MustCompile(`<(script|img|iframe|object|embed|link|base|form)\b[^>]*>`)
	for name, write := range pages(t) {
		t.Run(name, func(t *testing.T) {
			text := render(t, write)
			got := tags.FindAllString(text, -1)
			want := []string{`<link rel="icon" href="data:,">`, `<script type="application/json" id="data">`, `<script>`}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("elements that could load or run something (-want +got):\n%s", diff)
			}
			rest := strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")
			if i := strings.Index(rest, "://"); i >= 0 {
				t.Errorf("an address: %s", rest[max(0, i-60):min(len(rest), i+60)])
			}
			if strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "<no value>") {
				t.Error("the template met what it cannot escape, or a name that it does not know")
			}
			if script := text[strings.LastIndex(text, "<script>")+8 : strings.LastIndex(text, "</script>")]; !strings.Contains(html.UnescapeString(text), hash(script)) {
				t.Error("the security policy does not allow the page's script")
			}
		})
	}
}

func TestHTMLEscapes(t *testing.T) {
	text := render(t, pages(t)["hostile"])
	for _, bad := range []string{"<img", "</script><img", "onerror=\"alert(1)\">"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q got through", bad)
		}
	}
	var d data
	if err := json.Unmarshal(block(t, text), &d); err != nil {
		t.Fatal(err)
	}
	if got, want := d.Heat.Views[0].Rows[0].Node, strings.ReplaceAll(attack, "\u202e", "\ufffd"); got != want {
		t.Errorf("the data have %q, want %q", got, want)
	}
	if strings.ContainsAny(text, "\u202e\x1b\x00\r") {
		t.Error("there are characters that reverse text, or control it")
	}
}

func TestHTMLIsOfReasonableSize(t *testing.T) {
	if size := len(render(t, pages(t)["large"])); size > 8<<20 {
		t.Errorf("%d bytes", size)
	}
	h := heatOf(large().Runs)
	if len(h.Views) < 2 || h.LeftOut != 4-len(h.Views) {
		t.Errorf("%d views, %d left out of 3 and the mean", len(h.Views), h.LeftOut)
	}
}

func TestHTMLSaysThatItCannotWrite(t *testing.T) {
	for name, write := range pages(t) {
		if err := write(brokenWriter{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// naive says, the slow way, how many others of how many hold a node failed.
func naive(run *oracle.RunResult, node string, bucket int) (held, of int) {
	for _, r := range run.Heat.Rows {
		if r.Node == node {
			held = r.At(bucket)
		}
	}
	from, to := float64(bucket)*float64(run.Heat.Bucket), float64(bucket+1)*float64(run.Heat.Bucket)
	for i := range run.Nodes {
		name := fmt.Sprintf("n%d", i+1)
		runs := name != node
		for _, b := range run.Bands {
			for _, s := range b.Spans {
				if b.Kind == "stopped" && b.Nodes[0] == name && float64(s[0]) <= from && float64(s[1]) >= to {
					runs = false
				}
			}
		}
		if runs {
			of++
		}
	}
	return held, max(held, of)
}

func TestHeatSharesAreOfTheNodesThatRun(t *testing.T) {
	r := sample(t, "mass-crash")
	h := heatOf(r.Runs)
	if len(h.Views) != len(r.Runs)+1 {
		t.Fatalf("%d views", len(h.Views))
	}
	mean := &h.Views[0]
	for n := range r.Scenario.Nodes {
		node := fmt.Sprintf("n%d", n+1)
		for b := range mean.Buckets {
			sum := 0.0
			for i := range r.Runs {
				held, of := naive(&r.Runs[i], node, b)
				sum += float64(held) / float64(of)
				line, ok := find(h.Views[i+1].Rows, node, func(l *heatLine) string { return l.Node })
				if got := line.at(b); ok != (len(line.Steps) > 0) || math.Abs(got-float64(held)/float64(of)) > 1e-12 {
					t.Fatalf("%s, bucket %d of seed %d: %v, want %d/%d", node, b, r.Runs[i].Seed, got, held, of)
				}
			}
			line, _ := find(mean.Rows, node, func(l *heatLine) string { return l.Node })
			if got := line.at(b); math.Abs(got-sum/float64(len(r.Runs))) > 0.0006 {
				t.Fatalf("%s, bucket %d of the mean: %v, want %v", node, b, got, sum/float64(len(r.Runs)))
			}
		}
	}
}

func TestBandsOfAMean(t *testing.T) {
	view := func(bands ...heatBand) heatView { return heatView{Bands: bands} }
	span := func(from, to float64) [][2]float64 { return [][2]float64{{from, to}} }
	common := heatBand{Kind: "stopped", Text: "n3 is stopped", Spans: span(10, 60)}
	got := commonBands([]heatView{
		view(common, heatBand{Kind: "pause", Text: "pause {n1}", Spans: span(5, 10)}),
		view(heatBand{Kind: "pause", Text: "pause {n2}", Spans: span(8, 20)}, common, heatBand{Kind: "pause", Text: "pause {n4}", Spans: span(30, 40)}),
	})
	want := []heatBand{common, {Kind: "pause", Text: "pause, each run its own: choose a seed", Spans: [][2]float64{{5, 20}, {30, 40}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDistribution(t *testing.T) {
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		values []float64
		want   []point
	}{
		"nothing":    {nil, []point{}},
		"never":      {[]float64{inf, inf}, []point{}},
		"one":        {[]float64{3}, []point{{3, 1}}},
		"in order":   {[]float64{2, 1, 4, 3}, []point{{1, .25}, {2, .5}, {3, .75}, {4, 1}}},
		"equal ones": {[]float64{2, 1, 2, 2}, []point{{1, .25}, {2, 1}}},
		"with never": {[]float64{2, inf, 1, inf}, []point{{1, .25}, {2, .5}}},
	} {
		if diff := cmp.Diff(c.want, distribution("x", c.values).Points); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	many := make([]float64, 100_000)
	for i := range many {
		many[i] = float64(i)
	}
	s := distribution("many", many)
	if last := s.Points[len(s.Points)-1]; len(s.Points) != maxPoints || last[0] != 99_999 || last[1] != 1 {
		t.Errorf("%d points, the last %v", len(s.Points), last)
	}
}

// FuzzHTML puts any text wherever a file's text goes.
func FuzzHTML(f *testing.F) {
	f.Add(attack)
	f.Add("<!--<script>")
	f.Add("\u2028</title>*/")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		r := &result.Result{
			Engine: text, Command: text, Seeds: text, Settings: map[string]string{text: text}, Checks: []oracle.Outcome{{Expected: text, Text: text}},
			Scenario: result.Scenario{Name: text, Description: text, Words: text, Source: text, Nodes: 2, Profile: text},
			Runs: []oracle.RunResult{{
				Nodes: 2, Heat: oracle.Heat{Bucket: 1, Buckets: 2, Rows: []oracle.HeatRow{{Node: text, Steps: [][2]int{{0, 1}}}}},
				Bands: []oracle.Band{{Kind: text, Text: text, Nodes: []string{text}, Spans: [][2]oracle.Number{{0, 1}}}},
			}},
		}
		r.Summary = oracle.Summarize(r.Runs)
		page := render(t, func(w io.Writer) error { return HTML(w, r) })
		if n := strings.Count(strings.ToLower(page), "<script"); n != 2 {
			t.Errorf("%d scripts", n)
		}
		if n := strings.Count(strings.ToLower(page), "</script"); n != 2 {
			t.Errorf("%d ends of scripts", n)
		}
		if !json.Valid(block(t, page)) {
			t.Error("the data cannot be read")
		}
		var terminal bytes.Buffer
		if err := errors.Join(Terminal(&terminal, r, Options{}), JUnit(io.Discard, r)); err != nil {
			t.Error(err)
		}
		for format, text := range map[string]string{"page": page, "terminal report": terminal.String()} {
			if strings.ContainsAny(text, "\x1b\r\x07\u202e") {
				t.Errorf("control characters reach the %s", format)
			}
		}
	})
}
