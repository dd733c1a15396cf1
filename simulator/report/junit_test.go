package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"heartbeat/simulator/result"
)

func TestJUnit(t *testing.T) {
	for name, r := range map[string]*result.Result{
		"mass-crash": sample(t, "mass-crash"), "frozen-minority": sample(t, "frozen-minority"), "interrupted": interrupted(t), "empty": empty(), "hostile": hostile(t),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := JUnit(&b, r); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".junit.xml", b.Bytes())
			var back junitSuites
			dec := xml.NewDecoder(&b)
			if err := dec.Decode(&back); err != nil {
				t.Fatal(err)
			}
			checkCounts(t, r, &back)
		})
	}
}

// checkCounts holds the attributes against the elements, as readers do.
func checkCounts(t *testing.T, r *result.Result, back *junitSuites) {
	t.Helper()
	if len(back.Suites) != 1 || back.Suites[0].junitCounts != back.junitCounts {
		t.Fatalf("want one suite with the counts of the whole: %+v", back)
	}
	suite := &back.Suites[0]
	var failures, problems, skipped int
	for _, c := range suite.Cases {
		outcomes := 0
		for _, m := range []*junitMessage{c.Failure, c.Error, c.Skipped} {
			if m != nil {
				outcomes++
			}
		}
		if outcomes > 1 || c.Name == "" || c.ClassName == "" {
			t.Errorf("%+v", c)
		}
		failures += has(c.Failure)
		problems += has(c.Error)
		skipped += has(c.Skipped)
	}
	if suite.Tests != len(suite.Cases) || suite.Tests != len(r.Checks)+1 || suite.Failures != failures || suite.Errors != problems || suite.Skipped != skipped {
		t.Errorf("the counts are wrong: %+v", suite.junitCounts)
	}
	if passed := failures+problems+skipped == 0; passed != r.Holds() {
		t.Errorf("passes: %v, holds: %v", passed, r.Holds())
	}
}

func has(m *junitMessage) int {
	if m != nil {
		return 1
	}
	return 0
}

func TestJUnitOfWhatHolds(t *testing.T) {
	r := sample(t, "mass-crash")
	for i := range r.Checks {
		r.Checks[i].Holds = true
	}
	var b bytes.Buffer
	if err := JUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Contains(text, "<failure") || !strings.Contains(text, `failures="0"`) {
		t.Errorf("a result that holds fails:\n%s", text)
	}
}

func TestJUnitSaysThatItCannotWrite(t *testing.T) {
	if err := JUnit(brokenWriter{}, empty()); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}
