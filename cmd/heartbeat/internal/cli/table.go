package cli

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// gutter separates two columns.
const gutter = "  "

// cell is one field of a table: its text and how to show it.
type cell struct {
	text  string
	style *lipgloss.Style // nil for plain
}

func plain(text string) cell { return cell{text: text} }

// styled is a cell in the style that styles has for its text.
func styled(styles map[string]lipgloss.Style, text string) cell {
	if style, ok := styles[text]; ok {
		return cell{text: text, style: &style}
	}
	return plain(text)
}

// table aligns rows by display width. The table of package lipgloss measures
// and wraps each cell several times and takes about 40 ms for a thousand rows;
// this one takes 2, which is what keeps `heartbeat members` instant.
type table struct {
	term   *terminal
	header []string
	widths []int
	rows   [][]cell
}

func newTable(term *terminal, header ...string) *table {
	t := &table{term: term, header: header, widths: make([]int, len(header))}
	for i, h := range header {
		t.widths[i] = width(h)
	}
	return t
}

func (t *table) add(row ...cell) {
	t.fit(row)
	t.rows = append(t.rows, row)
}

// fit widens the columns for a row.
func (t *table) fit(row []cell) {
	for i, c := range row {
		t.widths[i] = max(t.widths[i], width(c.text))
	}
}

// lines returns the header and the rows, without line ends.
func (t *table) lines() []string {
	out := make([]string, 0, len(t.rows)+1)
	head := make([]cell, len(t.header))
	for i, h := range t.header {
		head[i] = cell{text: h, style: &styleHeader}
	}
	out = append(out, t.line(head))
	for _, row := range t.rows {
		out = append(out, t.line(row))
	}
	return out
}

// line renders one row in the widths known so far. A row that ends in empty
// cells has no trailing space.
func (t *table) line(row []cell) string {
	var b strings.Builder
	pending := 0 // spaces owed before the next text
	for i, c := range row {
		if i > 0 {
			pending += len(gutter)
		}
		if c.text != "" {
			b.WriteString(strings.Repeat(" ", pending))
			pending = 0
			if c.style != nil {
				b.WriteString(t.term.style(*c.style, c.text))
			} else {
				b.WriteString(c.text)
			}
		}
		pending += max(0, t.widths[i]-width(c.text))
	}
	return b.String()
}

// String is the whole table.
func (t *table) String() string {
	return strings.Join(t.lines(), "\n") + "\n"
}

// pairs is a table of names and values without a header, as info shows it.
func pairs(term *terminal, rows [][2]cell) string {
	t := newTable(term, "", "")
	for _, r := range rows {
		r[0].style = &styleHeader
		t.add(r[0], r[1])
	}
	return strings.Join(t.lines()[1:], "\n") + "\n"
}

// width is how many cells text takes. Nearly all of it is ASCII, which needs no
// segmentation into characters.
func width(text string) int {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return ansi.StringWidth(text)
		}
	}
	return len(text)
}
