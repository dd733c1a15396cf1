package report

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// The styles. They use the terminal's own 16 colours, which its user has chosen
// to be readable.
var (
	styleTitle = lipgloss.NewStyle().Bold(true)
	styleGood  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	styleBad   = lipgloss.NewStyle().Foreground(lipgloss.Red)
	styleWarn  = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	styleDim   = lipgloss.NewStyle().Faint(true)
)

// width is how many cells lines take at most, where words can be broken.
const width = 100

// sheet collects the text of a report.
type sheet struct {
	strings.Builder
	color bool
}

func (s *sheet) paint(style lipgloss.Style, text string) string {
	if !s.color || text == "" {
		return text
	}
	return style.Render(text)
}

// line writes a line.
func (s *sheet) line(parts ...string) {
	s.WriteString(strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

// heading begins a section.
func (s *sheet) heading(text string) { s.line("\n", s.paint(styleTitle, text)) }

// words writes text in lines of at most width cells, each behind an indent.
func (s *sheet) words(indent int, style *lipgloss.Style, text string) {
	for part := range strings.Lines(ansi.Wordwrap(clean(text), width-indent, "")) {
		part = strings.TrimSuffix(part, "\n")
		if style != nil {
			part = s.paint(*style, part)
		}
		s.line(strings.Repeat(" ", indent), part)
	}
}

// cell is one field of a table.
type cell struct {
	text  string
	style *lipgloss.Style // nil for plain
}

// table aligns columns by display width: the first to the left, the others to
// the right unless the header begins with "<".
type table struct {
	header []string
	rows   [][]cell
}

func newTable(header ...string) *table { return &table{header: header} }

// add adds a row of plain texts.
func (t *table) add(texts ...string) {
	row := make([]cell, len(texts))
	for i, text := range texts {
		row[i].text = text
	}
	t.rows = append(t.rows, row)
}

// last returns the row added last, to give its cells styles.
func (t *table) last() []cell { return t.rows[len(t.rows)-1] }

// write writes the header, unless all of it is empty, and the rows.
func (t *table) write(s *sheet) {
	left := make([]bool, len(t.header))
	head := make([]cell, len(t.header))
	for i, h := range t.header {
		text, isLeft := strings.CutPrefix(h, "<")
		left[i], head[i] = isLeft || i == 0, cell{text, &styleDim}
	}
	widths := make([]int, len(head))
	all := append([][]cell{head}, t.rows...)
	for _, row := range all {
		for i := range row {
			row[i].text = clean(row[i].text)
			widths[i] = max(widths[i], ansi.StringWidth(row[i].text))
		}
	}
	if strings.Join(t.header, "") == "" {
		all = t.rows
	}
	for _, row := range all {
		var b strings.Builder
		b.WriteString("  ")
		for i, c := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-ansi.StringWidth(c.text))
			text := c.text
			if c.style != nil {
				text = s.paint(*c.style, text)
			}
			if left[i] {
				b.WriteString(text + pad)
			} else {
				b.WriteString(pad + text)
			}
		}
		s.line(b.String())
	}
}
