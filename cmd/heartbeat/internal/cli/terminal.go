package cli

import (
	"io"
	"os"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"
)

// terminal is stdout and what is known about it. Nothing is asked of the
// terminal itself (such questions can hang, and cost a round trip).
type terminal struct {
	io.Writer
	fd     int  // -1 when it is no file
	tty    bool // a person may be looking
	colour bool
}

func newTerminal(w io.Writer) *terminal {
	t := &terminal{Writer: w, fd: -1}
	if f, ok := w.(*os.File); ok {
		t.fd = int(f.Fd())
		t.tty = term.IsTerminal(t.fd)
	}
	// https://no-color.org: set to anything but the empty string.
	t.colour = t.tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return t
}

// size is the terminal's width and height in cells; 80 by 24 when unknown.
func (t *terminal) size() (width, height int) {
	if width, height, err := term.GetSize(t.fd); err == nil && width > 0 && height > 0 {
		return width, height
	}
	return 80, 24
}

// The styles. They use the terminal's own 16 colours, which its user has chosen
// to be readable.
var (
	styleHeader = lipgloss.NewStyle().Bold(true)
	styleDim    = lipgloss.NewStyle().Faint(true)
	styleStates = map[string]lipgloss.Style{
		"alive":   lipgloss.NewStyle().Foreground(lipgloss.Green),
		"suspect": lipgloss.NewStyle().Foreground(lipgloss.Yellow),
		"failed":  lipgloss.NewStyle().Foreground(lipgloss.Red),
		"left":    styleDim,
	}
	styleConditions = map[string]lipgloss.Style{
		"connected": lipgloss.NewStyle().Foreground(lipgloss.Green),
		"degraded":  lipgloss.NewStyle().Foreground(lipgloss.Yellow),
		"minority":  lipgloss.NewStyle().Foreground(lipgloss.Red),
		"isolated":  lipgloss.NewStyle().Foreground(lipgloss.Red),
	}
	styleWorks = map[string]lipgloss.Style{
		"yes": lipgloss.NewStyle().Foreground(lipgloss.Green),
		"no":  lipgloss.NewStyle().Foreground(lipgloss.Red),
	}
	styleKinds = map[string]lipgloss.Style{
		"joined":     styleStates["alive"],
		"refuted":    styleStates["alive"],
		"lapsed":     styleStates["alive"],
		"healed":     styleStates["alive"],
		"probation":  styleStates["failed"],
		"unreliable": styleStates["failed"],
		"suspected":  styleStates["suspect"],
		"accused":    styleStates["suspect"],
		"testified":  styleStates["suspect"],
		"held-back":  styleStates["suspect"],
		"answered":   styleStates["alive"],
		"heard":      styleStates["alive"],
		"stalled":    styleStates["alive"],
		"overturned": styleStates["alive"],
		"failed":     styleStates["failed"],
		"verdict":    styleStates["failed"],
		"left":       styleDim,
		"forced-out": styleDim,
		"removed":    styleDim,
		"condition":  styleStates["suspect"],
		"conflict":   styleStates["suspect"],
		"lost":       styleStates["suspect"],
		"reset":      styleStates["suspect"],
	}
)

// paint renders text in the style that styles has for it, plain when there is
// none or colours are off.
func (t *terminal) paint(styles map[string]lipgloss.Style, text string) string {
	if style, ok := styles[text]; ok {
		return t.style(style, text)
	}
	return text
}

func (t *terminal) style(style lipgloss.Style, text string) string {
	if !t.colour {
		return text
	}
	return style.Render(text)
}

// clean makes text that came over the network safe to show: a tag or a log line
// must not move the cursor, change colours or fake a line.
func clean(text string) string {
	if !strings.ContainsFunc(text, isUnsafe) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if isUnsafe(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func isUnsafe(r rune) bool {
	if r >= ' ' && r <= '~' {
		return false
	}
	// Cf holds the marks that reverse the direction of text, and the joiners
	// that some scripts need; a name is not worth the risk of the former.
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}
