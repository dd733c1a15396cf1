package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxNesting bounds how deep flow collections nest. The format itself needs 6.
	maxNesting = 32
	// maxIndent bounds the column at which a block may stand, and with it how deep blocks nest.
	maxIndent = 100
	// maxKeys bounds the keys and block list items of a file: the YAML parser takes time in the square of the keys of one mapping.
	maxKeys = 8000
)

// parseYAML reads one YAML document into a syntax tree. It returns nil after reporting why it cannot.
//
// Anchors, aliases, merge keys, tags and directives are refused before anything is built from them, so
// neither cycles nor exponential growth can arise, and nesting is bounded before the parser recurses.
func parseYAML(data []byte, p *problems) (root ast.Node) {
	top := position{source: p.source}
	if len(data) > MaxFileSize {
		p.addAt(top, "", fmt.Sprintf("the file is too large: %d bytes, at most %d", len(data), MaxFileSize))
		return nil
	}
	if !utf8.Valid(data) {
		p.addAt(top, "", "the file is not UTF-8 text")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	// The parser is not ours and has met few hostile files: what would be its panic is a syntax error here.
	defer func() {
		if r := recover(); r != nil {
			root = nil
			p.addAt(top, "", fmt.Sprintf("the YAML parser gave up: %v", r))
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if checkTokens(tokens, p); len(p.list) > 0 {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		message := err.Error()
		if syntax := yaml.Error(nil); errors.As(err, &syntax) {
			message, top = syntax.GetMessage(), tokenPosition(p.source, syntax.GetToken())
		}
		p.addAt(top, "", "not valid YAML: "+message)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			p.addAt(nodePosition(p.source, doc.Body), "", "a second document: a file holds one scenario")
		default:
			root = doc.Body
		}
	}
	if root == nil {
		p.addAt(top, "", "the file is empty: a scenario has at least version, name and cluster")
	}
	return root
}

// refused are the parts of YAML that a scenario does without.
var refused = map[token.Type]string{
	token.AnchorType:    "anchors",
	token.AliasType:     "aliases",
	token.MergeKeyType:  "merge keys",
	token.TagType:       "tags",
	token.DirectiveType: "directives",
}

// checkTokens reports what the parser shall not get to see.
func checkTokens(tokens token.Tokens, p *problems) {
	depth, keys := 0, 0
	for _, tk := range tokens {
		at := tokenPosition(p.source, tk)
		if what, ok := refused[tk.Type]; ok {
			p.addAt(at, "", fmt.Sprintf("YAML %s are not allowed in a scenario: write the value out", what))
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if depth == 0 && at.column > maxIndent {
				p.addAt(at, "", fmt.Sprintf("nested too deep: a block begins in column %d, at most %d", at.column, maxIndent))
				return
			}
			if keys++; keys > maxKeys {
				p.addAt(at, "", fmt.Sprintf("the file is too large: more than %d keys and list items", maxKeys))
				return
			}
		}
		if depth > maxNesting {
			p.addAt(at, "", fmt.Sprintf("nested too deep: more than %d brackets inside one another", maxNesting))
			return
		}
	}
}

func nodePosition(source string, n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return nodePosition(source, m.Values[0].Key)
	}
	return tokenPosition(source, n.GetToken())
}

func tokenPosition(source string, tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{source: source}
	}
	return position{source: source, line: tk.Position.Line, column: tk.Position.Column}
}

// entries returns the keys and values of a mapping. ok is false when n is none.
func entries(n ast.Node) (values []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalar returns the text of a scalar. ok is false when n is none, or null.
func scalar(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// isNull says whether a node stands for no value at all.
func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return n == nil || null
}

// kind names what n is, for an error.
func kind(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	text, _ := scalar(n)
	return fmt.Sprintf("%q", text)
}
