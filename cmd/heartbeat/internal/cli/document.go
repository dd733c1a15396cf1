package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// The formats of answers.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatText  = "text"
	formatJSON  = "json"
	formatJSONL = "jsonl"
	formatYAML  = "yaml"
	formatNames = "names"
)

// document writes v as one JSON or YAML document, with the same field names in
// both.
func (a *app) document(format string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	if format != formatYAML {
		return a.print(escapeUnsafe(data) + "\n")
	}
	text, err := toYAML(data)
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	return a.print(text + "\n")
}

// jsonLine writes v as one line.
func (a *app) jsonLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	return a.print(escapeUnsafe(data) + "\n")
}

// escapeUnsafe escapes what JSON allows in strings but a terminal may act upon.
// Outside strings JSON has no such characters, apart from line ends and tabs.
func escapeUnsafe(data []byte) string {
	text := string(data)
	if !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && isUnsafe(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || !isUnsafe(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.String()
}

// toYAML turns a JSON document into YAML and keeps the order of the fields.
func toYAML(data []byte) (string, error) {
	var v any
	if err := yaml.UnmarshalWithOptions(data, &v, yaml.UseOrderedMap()); err != nil {
		return "", err
	}
	node, err := yaml.ValueToNode(v)
	if err != nil {
		return "", err
	}
	ast.Walk(quoteUnsafe{}, node)
	return node.String(), nil
}

// quoteUnsafe puts strings with characters that a terminal may act upon, which
// the library writes as they are, into double quotes with escapes.
type quoteUnsafe struct{}

// Visit implements ast.Visitor.
func (q quoteUnsafe) Visit(n ast.Node) ast.Visitor {
	if s, ok := n.(*ast.StringNode); ok && strings.ContainsFunc(s.Value, isUnsafe) {
		s.Token.Type = token.DoubleQuoteType
	}
	return q
}

// print writes text as it is.
func (a *app) print(text string) error {
	_, err := a.stdout.Write([]byte(text))
	return err
}
