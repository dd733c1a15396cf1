package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// The elements of JUnit XML, in the order and with the attributes that the
// schemas of Ant and of Jenkins both allow.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Skipped    int             `xml:"skipped,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out"`
		Err        string          `xml:"system-err"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Time     string `xml:"time,attr"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitMessage `xml:"skipped"`
		Error     *junitMessage `xml:"error"`
		Failure   *junitMessage `xml:"failure"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a result as JUnit XML, for continuous integration: one suite,
// with a case that all runs were finished and a case for each expectation. An
// expectation that holds in the runs of a partial result counts as skipped.
func JUnit(w io.Writer, r *result.Result) error {
	suite := junitSuite{
		Name: r.Scenario.Name, Timestamp: r.Began.UTC().Format("2006-01-02T15:04:05"), Hostname: "localhost",
		Properties: []junitProperty{
			{"engine", r.Engine}, {"nodes", fmt.Sprint(r.Scenario.Nodes)}, {"seeds", r.Seeds}, {"command", r.Command}, {"version", r.Machine.Version},
		},
		Out: r.Scenario.Words,
	}
	suite.Time = fmt.Sprintf("%.3f", float64(r.Wall))
	suite.add(finishedCase(r))
	for i := range r.Checks {
		suite.add(checkCase(r, &r.Checks[i]))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{junitCounts: suite.junitCounts, Suites: []junitSuite{suite}}); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

func (s *junitSuite) add(c junitCase) {
	c.ClassName, c.Time = s.Name, "0.000"
	s.Tests++
	switch {
	case c.Skipped != nil:
		s.Skipped++
	case c.Error != nil:
		s.Errors++
	case c.Failure != nil:
		s.Failures++
	}
	s.Cases = append(s.Cases, c)
}

// finishedCase says whether all runs were finished.
func finishedCase(r *result.Result) junitCase {
	c := junitCase{Name: "all runs finished"}
	var reasons []string
	for i := range r.Runs {
		if run := &r.Runs[i]; run.BrokenOff != "" {
			reasons = append(reasons, fmt.Sprintf("seed %d: %s", run.Seed, run.BrokenOff))
		}
	}
	switch {
	case r.Partial:
		message := fmt.Sprintf("interrupted: %s of the seeds %s finished", many(len(r.Runs), "run"), r.Seeds)
		c.Error = &junitMessage{Message: message, Type: "partial", Text: strings.Join(reasons, "\n")}
	case len(reasons) > 0:
		c.Error = &junitMessage{Message: many(len(reasons), "run") + " broken off", Type: "broken-off", Text: strings.Join(reasons, "\n")}
	}
	return c
}

func checkCase(r *result.Result, o *oracle.Outcome) junitCase {
	c := junitCase{Name: o.Expected}
	switch {
	case untested(r):
		c.Skipped = &junitMessage{Message: "not tested: no run was finished"}
	case !o.Holds:
		text := o.Text
		if len(o.Seeds) > 0 {
			text += "\n" + seedList(o.Seeds)
		}
		if r.Command != "" {
			text += "\n" + r.Command
		}
		c.Failure = &junitMessage{Message: o.Text, Type: "expectation", Text: text}
	case r.Partial:
		c.Skipped = &junitMessage{Message: fmt.Sprintf("holds in the %s that finished", many(len(r.Runs), "run"))}
	}
	return c
}
