package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
	"unicode"
)

//go:embed assets
var assets embed.FS

// fixed are the parts of every page. They are prepared when the first page is
// written: every start of the program would pay for it otherwise.
type fixed struct {
	template *template.Template
	style    template.CSS
	script   template.JS
	// scriptHash lets the page's security policy allow this script and no other.
	scriptHash string
}

var fixedParts = sync.OnceValue(func() fixed {
	script := asset("theme.js") + asset("heat.js") + asset("chart.js") + asset("main.js")
	return fixed{
		template:   template.Must(template.ParseFS(assets, "assets/page.html")),
		style:      template.CSS(asset("page.css")),
		script:     template.JS(script),
		scriptHash: hash(script),
	}
})

func asset(name string) string {
	data, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is embedded, so the build is broken
	}
	return string(data)
}

func hash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// page is what the template shows. All texts are escaped by it.
type page struct {
	Title, Description string
	Banner             *banner
	About              []string
	Cards              []card
	Sections           []section
	Command            string
	// AgainNote says how much another run by that command is alike.
	AgainNote string
	// Seconds says what kind of seconds times are given in; virtual ones when empty.
	Seconds string
	// Data is for the script: the heatmap and the charts.
	Data data
}

// banner is the verdict.
type banner struct {
	// Kind is good, bad or warn.
	Kind, Word, Text string
}

// card is a key figure.
type card struct {
	Label, Value, Unit, Note string
	// Kind is good, bad, or empty.
	Kind string
}

// section is a part of the page with a heading.
type section struct {
	ID, Title string
	Parts     []part
}

// part is one of its fields.
type part struct {
	Text   string
	Checks []check
	Heat   bool
	Chart  string // the name of a chart in the data
	Table  *grid
	Pre    string
	// Half lets the part share a line with another when there is room.
	Half bool
	// Fold, when not empty, is the line below which the part is folded away.
	Fold string
}

// check is an expectation.
type check struct {
	Holds, Untested       bool
	Expected, Text, Seeds string
}

// grid is a table.
type grid struct {
	Caption string
	// Head names the columns. The first is aligned to the left, and those whose
	// name begins with "<"; the others hold figures.
	Head []string
	Rows []gridRow
}

// Columns splits the names from the alignment, for the template.
func (g *grid) Columns() []column {
	columns := make([]column, len(g.Head))
	for i, h := range g.Head {
		text, left := strings.CutPrefix(h, "<")
		columns[i] = column{text, !left && i > 0}
	}
	return columns
}

type column struct {
	Text   string
	Figure bool
}

type gridRow struct {
	Cells []gridCell
}

// gridCell is one field of a table.
type gridCell struct {
	Text string
	// Kind is good, bad, dim or empty.
	Kind string
	// Depth indents the first column.
	Depth int
	// Bar draws a level with its range; nil for none.
	Bar *bar
	// Seed links to the seed's heatmap.
	Seed string
}

// bar is a level between 0 and 100 with the range over the runs.
type bar struct{ Least, Level, Most float64 }

// row makes a row of plain cells.
func row(texts ...string) gridRow {
	r := gridRow{Cells: make([]gridCell, len(texts))}
	for i, text := range texts {
		r.Cells[i].Text = text
	}
	return r
}

// metricRow is a row that begins with the name of a metric.
func metricRow(metric string, texts ...string) gridRow {
	r := row(append([]string{strings.TrimSpace(nestedName(metric))}, texts...)...)
	r.Cells[0].Depth = names[metric].depth
	return r
}

// data is what the script reads.
type data struct {
	Heat   *heatData        `json:"heat,omitempty"`
	Charts map[string]chart `json:"charts,omitempty"`
}

// write renders the page. The data block is JSON in which <, > and & are
// escaped, so that nothing in it can end the script element.
func (p *page) write(w io.Writer) error {
	block, err := json.Marshal(p.Data)
	if err != nil {
		return fmt.Errorf("encode the data of the HTML report: %w", err)
	}
	parts := fixedParts()
	view := struct {
		*page
		Style        template.CSS
		Script, JSON template.JS
		Policy       string
	}{
		page: p, Style: parts.style, Script: parts.script, JSON: template.JS(block),
		Policy: "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '" + parts.scriptHash + "'; base-uri 'none'; form-action 'none'",
	}
	var text bytes.Buffer
	if err := parts.template.Execute(&text, view); err != nil {
		return fmt.Errorf("render the HTML report: %w", err)
	}
	if _, err := w.Write(bytes.Map(visible, text.Bytes())); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	return nil
}

// visible replaces what cannot be seen but changes what is, such as the marks
// that reverse the direction of text: a command must read as what it is.
func visible(r rune) rune {
	switch {
	case r == '\n' || r == '\t':
		return r
	case r == '\r':
		return -1
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
		return unicode.ReplacementChar
	}
	return r
}
