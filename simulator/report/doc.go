// Package report shows what runs came to: to people in a terminal and as one
// self-contained HTML page, to continuous integration as JUnit XML, and to
// editors and other programs as the JSON Schema of result.json. [Progress]
// tells how things go meanwhile.
//
// It knows no engine. Everything that it shows comes from a result, and with
// it from a scenario file that somebody else may have written: names and texts
// are escaped in every format. All functions are safe for concurrent use.
package report
