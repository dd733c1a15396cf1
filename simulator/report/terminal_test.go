package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

func explain(seed uint64, node string) string {
	return fmt.Sprintf("heartbeat simulate explain out --seed %d --node %s", seed, node)
}

// reports are all terminal reports over the samples.
func reports(t testing.TB, opts Options) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"mass-crash":      func(w io.Writer) error { return Terminal(w, sample(t, "mass-crash"), opts) },
		"frozen-minority": func(w io.Writer) error { return Terminal(w, sample(t, "frozen-minority"), opts) },
		"interrupted":     func(w io.Writer) error { return Terminal(w, interrupted(t), opts) },
		"empty":           func(w io.Writer) error { return Terminal(w, empty(), opts) },
		"hostile":         func(w io.Writer) error { return Terminal(w, hostile(t), opts) },
		"comparison":      func(w io.Writer) error { return TerminalComparison(w, read[result.Comparison](t, "comparison"), opts) },
		"untested":        func(w io.Writer) error { return Terminal(w, untestedRun(t), opts) },
		"engines":         func(w io.Writer) error { return TerminalComparison(w, engines(t), opts) },
		"sweep":           func(w io.Writer) error { return TerminalSweep(w, read[result.Sweep](t, "sweep"), opts) },
		"load":            func(w io.Writer) error { return TerminalLoadCurve(w, read[result.LoadCurve](t, "load"), opts) },
		"no-arms":         func(w io.Writer) error { return TerminalComparison(w, &result.Comparison{}, opts) },
		"no-points":       func(w io.Writer) error { return TerminalSweep(w, &result.Sweep{}, opts) },
	}
}

func TestTerminal(t *testing.T) {
	for name, write := range reports(t, Options{Explain: explain}) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.Bytes())
			for line := range strings.Lines(b.String()) {
				line = strings.TrimSuffix(line, "\n")
				if name != "hostile" && ansi.StringWidth(line) > width+10 || strings.HasSuffix(line, " ") {
					t.Errorf("%d cells wide, or blanks at the end: %q", ansi.StringWidth(line), line)
				}
				if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
					t.Errorf("control characters: %q", line)
				}
			}
		})
	}
}

func TestTerminalInColorSaysTheSame(t *testing.T) {
	for name, write := range reports(t, Options{Explain: explain, Color: true}) {
		var colored, plain bytes.Buffer
		if err := errors.Join(write(&colored), reports(t, Options{Explain: explain})[name](&plain)); err != nil {
			t.Fatal(err)
		}
		if ansi.Strip(colored.String()) != plain.String() {
			t.Errorf("%s: without colours another text", name)
		}
		if !strings.HasPrefix(name, "no-") && !strings.Contains(colored.String(), "\x1b[") {
			t.Errorf("%s has no colours", name)
		}
	}
}

func TestErrorsOfTheWriterAreReturned(t *testing.T) {
	for name, write := range reports(t, Options{}) {
		if err := write(brokenWriter{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestFigures(t *testing.T) {
	never := never()
	for value, want := range map[float64]string{
		0: "0", 1: "1", -4: "-4", 0.5: "0.50", 9.876: "9.88", 98.76: "98.8", 987.6: "988", 9876.5: "9,876", 1234567: "1,234,567",
		0.0123: "0.0123", 0.000001234: "0.00000123", -0.02: "-0.0200", 100: "100", float64(never): "never",
	} {
		if got := figure(oracle.Number(value)); got != want {
			t.Errorf("%v is written %q, want %q", value, got, want)
		}
	}
}
