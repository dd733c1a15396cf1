package config

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"

	"heartbeat/gossip"
)

// maxTokens bounds the words and signs of a file: the parser needs time that
// grows with their square. The sample has a few hundred.
const maxTokens = 1 << 13

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFileSize)
	}
	return data, nil
}

// parse reads the YAML of a file. Everything that is wrong is reported, with
// its place; only a syntax error ends the reading at once.
func parse(file string, data []byte) ([]assignment, []Problem) {
	if !utf8.Valid(data) {
		return nil, []Problem{{Source: file, Err: errors.New("it is not UTF-8 text")}}
	}
	tokens := lexer.Tokenize(string(data))
	if len(tokens) > maxTokens {
		return nil, []Problem{{Source: file, Err: fmt.Errorf("it holds too much to be a configuration (%d words and signs, at most %d)", len(tokens), maxTokens)}}
	}
	doc, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are reported below, all at once
	if err != nil {
		return nil, []Problem{syntaxProblem(file, err)}
	}
	r := &reader{file: file, seen: map[string]int{}}
	for i, d := range doc.Docs {
		if i > 0 && d.Body != nil {
			r.wrong(d.Body, "a second document begins here: a configuration has only one")
			break
		}
		r.section("", d.Body)
	}
	return r.given, r.problems
}

func syntaxProblem(file string, err error) Problem {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil || at.GetToken().Position == nil {
		return Problem{Source: file, Err: fmt.Errorf("it is not valid YAML: %w", err)}
	}
	pos := at.GetToken().Position
	return fileProblem(file, pos.Line, pos.Column, "it is not valid YAML: %s", at.GetMessage())
}

// reader walks the tree of one file.
type reader struct {
	file     string
	seen     map[string]int // line of each key and section
	given    []assignment
	problems []Problem
}

// wrong notes a problem at a node.
func (r *reader) wrong(at ast.Node, format string, args ...any) {
	line, column := place(at)
	r.problems = append(r.problems, fileProblem(r.file, line, column, format, args...))
}

// place tells where a node begins.
func place(at ast.Node) (line, column int) {
	if m, ok := at.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		at = m.Values[0].Key // the mapping's own token is its first colon
	}
	if m, ok := at.(*ast.MappingValueNode); ok {
		at = m.Key
	}
	if tk := at.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line, tk.Position.Column
	}
	return 1, 1
}

// entries returns the key: value pairs of a mapping; ok is false, and the
// problem noted, when the node is something else.
func (r *reader) entries(what string, node ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch n := node.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, true // everything in it is commented out
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	r.wrong(node, "%s takes key: value pairs, not %s", what, kindOf(node))
	return nil, false
}

// section reads the pairs below a prefix such as "probe".
func (r *reader) section(prefix string, node ast.Node) {
	what := "a configuration"
	if prefix != "" {
		what = prefix
	}
	pairs, _ := r.entries(what, node)
	for _, pair := range pairs {
		name, ok := r.key(pair)
		if !ok {
			continue
		}
		key := name
		if prefix != "" {
			key = prefix + "." + name
		}
		line, _ := place(pair.Key)
		if strings.Contains(name, ".") {
			r.wrong(pair.Key, "key %q: keys are nested, not dotted: write %s", name, nested(name))
			continue
		}
		if first, twice := r.seen[key]; twice {
			r.wrong(pair.Key, "%s is given twice, first in line %d", key, first)
			continue
		}
		d, isSetting := lookup(key)
		switch {
		case isSetting:
			r.setting(d, pair.Value)
		case isSection(key):
			r.section(key, pair.Value)
		default:
			r.wrong(pair.Key, "setting %q is not known%s", key, gossip.Nearest(key, append(keys(), sections()...)))
		}
		r.seen[key] = line
	}
}

// key returns the text of a plain key.
func (r *reader) key(pair *ast.MappingValueNode) (string, bool) {
	switch k := pair.Key.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, true
	}
	r.wrong(pair.Key, "a key is a plain word, not %s", kindOf(pair.Key))
	return "", false
}

// setting reads the value of one setting.
func (r *reader) setting(d Setting, node ast.Node) {
	line, column := place(node)
	a := assignment{key: d.Key, source: position(r.file, line, column), line: line, column: column}
	ok := false
	switch {
	case d.Kind == "tags":
		a.values, ok = r.pairs(d.Key, node)
	case d.Many():
		a.values, ok = r.list(d, node)
	default:
		var v string
		v, ok = r.scalar(d.Key, d.Kind, node)
		a.values = []string{v}
	}
	if ok {
		r.given = append(r.given, a)
	}
}

// list reads a sequence of plain values; one alone may stand without a dash.
func (r *reader) list(d Setting, node ast.Node) ([]string, bool) {
	values, good := []string{}, true
	switch n := node.(type) {
	case *ast.NullNode:
		return values, true // all entries are commented out
	case *ast.SequenceNode:
		for _, item := range n.Values {
			v, ok := r.scalar(d.Key, "string", item)
			if ok && strings.Contains(v, ",") {
				r.wrong(item, "%s: %q holds a comma: each value has its own line in the list", d.Key, v)
				ok = false
			}
			values, good = append(values, v), good && ok
		}
		return values, good
	}
	r.wrong(node, "%s takes a list ([a, b]), not %s", d.Key, kindOf(node))
	return nil, false
}

// pairs reads a mapping of plain values as key=value texts.
func (r *reader) pairs(key string, node ast.Node) ([]string, bool) {
	entries, good := r.entries(key, node)
	values := []string{}
	for _, pair := range entries {
		name, ok := r.key(pair)
		if ok && strings.Contains(name, "=") {
			r.wrong(pair.Key, "%s: %q holds a = sign", key, name)
			ok = false
		}
		v, fits := r.scalar(key+"."+name, "string", pair.Value)
		values, good = append(values, name+"="+v), good && ok && fits
	}
	return values, good
}

// scalar returns a plain value as it is written. Its type must be what kind
// asks for, so that port: "7946" or name: [a] is refused and 010 or yes, where
// text is wanted, stay as they are.
func (r *reader) scalar(key, kind string, node ast.Node) (string, bool) {
	want := "text"
	ok := false
	switch node.(type) {
	case *ast.NullNode:
		r.wrong(node, "%s has no value: give one, or remove the line to keep the default", key)
		return "", false
	case *ast.IntegerNode, *ast.FloatNode:
		ok = kind != "bool"
	case *ast.BoolNode:
		ok = !slices.Contains([]string{"int", "duration"}, kind)
	case *ast.StringNode:
		ok = kind != "int" && kind != "bool"
	case *ast.LiteralNode:
		ok = !slices.Contains([]string{"int", "bool", "duration"}, kind)
	}
	switch kind {
	case "int":
		want = "a whole number"
	case "bool":
		want = "true or false"
	case "duration":
		want = "a duration such as 500ms, 2s or 1m30s"
	}
	if !ok {
		r.wrong(node, "%s takes %s, not %s", key, want, kindOf(node))
		return "", false
	}
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return node.GetToken().Value, true
}

// kindOf names what a node is, for errors.
func kindOf(node ast.Node) string {
	switch n := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias (not supported)"
	case *ast.TagNode:
		return "a YAML tag (not supported)"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "key: value pairs"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", n.Value)
	case *ast.LiteralNode:
		return "a block of text"
	}
	return "something else"
}

// sections are the keys above the settings: "probe", "api", "api.tls".
func sections() []string {
	var list []string
	for _, d := range table {
		for i, c := range d.Key {
			if c == '.' && !slices.Contains(list, d.Key[:i]) {
				list = append(list, d.Key[:i])
			}
		}
	}
	return list
}

func isSection(key string) bool { return slices.Contains(sections(), key) }

// nested shows a dotted key as the file wants it.
func nested(key string) string {
	parts := strings.Split(key, ".")
	return strings.Join(parts, ": {") + ": ..." + strings.Repeat("}", len(parts)-1)
}
