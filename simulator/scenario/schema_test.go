package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	decimalPattern  = `([0-9]+\.?[0-9]*|\.[0-9]+)`
	durationPattern = `\+?((` + decimalPattern + `(ns|us|µs|μs|ms|s|m|h))+|0)`
	nodePattern     = `n[1-9][0-9]*(\.\.n[1-9][0-9]*)?`
	percentPattern  = decimalPattern + `%`
	seedPattern     = `^[0-9]+(-[0-9]+)?$`
)

type object = map[string]any

// schemaWriter turns the types of a scenario into a JSON Schema.
type schemaWriter struct {
	defs object
	docs map[string]string // comments by Type.Field
}

// of returns the schema of a type.
func (w *schemaWriter) of(t reflect.Type) object {
	named := func(name string, s object) object {
		w.defs[name] = s
		return object{"$ref": "#/$defs/" + name}
	}
	text := func(pattern string) object { return object{"type": "string", "pattern": "^" + pattern + "$"} }
	switch t {
	case reflect.TypeFor[time.Duration]():
		return named("duration", object{"anyOf": []any{text(durationPattern), object{"const": 0}}})
	case reflect.TypeFor[Fraction]():
		return named("fraction", object{"anyOf": []any{
			text(percentPattern), object{"type": "number", "minimum": 0, "maximum": 1},
		}})
	case reflect.TypeFor[Rate]():
		return text(decimalPattern + `(k|m|g)?bit`)
	case reflect.TypeFor[DurationRange]():
		return text(durationPattern + `(\.\.` + durationPattern + `)?`)
	case reflect.TypeFor[Seeds]():
		one := []any{object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": seedPattern}}
		list := object{"type": "array", "minItems": 1, "items": object{"anyOf": one}}
		return object{"anyOf": append(slices.Clone(one), list)}
	case reflect.TypeFor[Targets]():
		return named("targets", object{"anyOf": []any{
			object{"enum": pickWords},
			text(nodePattern),
			text(percentPattern),
			object{"type": "array", "minItems": 1, "items": text(nodePattern)},
			object{
				"type": "object", "additionalProperties": false, "required": []string{"count"},
				"properties": object{"count": object{"type": "integer", "minimum": 1}},
			},
		}})
	}
	if e, ok := reflect.Zero(t).Interface().(enum); ok {
		return object{"enum": e.values()}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "maxItems": MaxSteps, "items": w.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}}
	case reflect.Struct:
		if t.Name() == "Scenario" {
			return w.structure(t)
		}
		name := strings.ToLower(t.Name()[:1]) + t.Name()[1:]
		if _, done := w.defs[name]; !done {
			w.defs[name] = w.structure(t)
		}
		return object{"$ref": "#/$defs/" + name}
	}
	return object{"type": map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number",
	}[t.Kind()]}
}

// structure returns the schema of a struct.
func (w *schemaWriter) structure(t reflect.Type) object {
	properties := object{}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	var required []string
	var all, choices []any
	for _, f := range fieldsOf(t) {
		p := w.of(t.Field(f.index).Type)
		if doc := w.docs[t.Name()+"."+t.Field(f.index).Name]; doc != "" {
			p["description"] = doc
		}
		properties[f.name] = p
		switch {
		case f.alias != "":
			properties[f.alias] = p
			either := object{"oneOf": []any{object{"required": []string{f.name}}, object{"required": []string{f.alias}}}}
			if !f.required {
				either = object{"not": object{"required": []string{f.name, f.alias}}}
			}
			all = append(all, either)
		case f.required:
			required = append(required, f.name)
		}
		if f.choice {
			choices = append(choices, choiceSchema(t, f.name))
		}
	}
	if required != nil {
		s["required"] = required
	}
	if all != nil {
		s["allOf"] = all
	}
	if choices != nil {
		s["oneOf"] = choices
	}
	return s
}

// choiceSchema says what goes with one of the choices: a lasting fault must have a duration, others must not.
func choiceSchema(t reflect.Type, name string) object {
	if t != reflect.TypeFor[Step]() {
		return object{"required": []string{name}}
	}
	if slices.Contains([]string{"partition", "link", "pause", "stall"}, name) {
		return object{"required": []string{name, "for"}}
	}
	return object{"required": []string{name}, "properties": object{"for": false, "flap": false}}
}

// fieldDocs returns the comments of the package's struct fields, by Type.Field.
func fieldDocs(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return docs
}

func TestSchemaIsGeneratedFromTheTypes(t *testing.T) {
	w := &schemaWriter{defs: object{}, docs: fieldDocs(t)}
	s := w.of(reflect.TypeFor[Scenario]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "heartbeat scenario"
	s["$defs"] = w.defs
	s["properties"].(object)["version"] = object{"const": 1, "description": w.docs["Scenario.Version"]}
	s["properties"].(object)["name"] = object{"type": "string", "pattern": validName.String(), "description": w.docs["Scenario.Name"]}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), string(Schema())); diff != "" {
		t.Errorf("schema.json is not what the types say; run the test with -update (-want +got):\n%s", diff)
	}
}

// loadSchema decodes the schema that is shipped.
func loadSchema(t testing.TB) object {
	t.Helper()
	var s object
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check validates a value against the parts of JSON Schema that ours uses, and says what is wrong first.
func check(root object, schema any, v any, at string) error {
	if allowed, ok := schema.(bool); ok {
		if !allowed {
			return fmt.Errorf("%s: not allowed", at)
		}
		return nil
	}
	s := schema.(object)
	if ref, ok := s["$ref"].(string); ok {
		if err := check(root, root["$defs"].(object)[strings.TrimPrefix(ref, "#/$defs/")], v, at); err != nil {
			return err
		}
	}
	if want, ok := s["const"]; ok && !reflect.DeepEqual(want, v) {
		return fmt.Errorf("%s: %v is not %v", at, v, want)
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%s: %v is not one of %v", at, v, list)
	}
	if want, ok := s["type"]; ok && !slices.ContainsFunc(asList(want), func(t any) bool { return hasType(v, t.(string)) }) {
		return fmt.Errorf("%s: %v is no %v", at, v, want)
	}
	if err := checkScalar(s, v, at); err != nil {
		return err
	}
	if err := checkCombined(root, s, v, at); err != nil {
		return err
	}
	switch v := v.(type) {
	case object:
		return checkObject(root, s, v, at)
	case []any:
		if n, ok := s["minItems"].(float64); ok && len(v) < int(n) {
			return fmt.Errorf("%s: too few items", at)
		}
		for i, item := range v {
			if items, ok := s["items"]; ok {
				if err := check(root, items, item, element(at, i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func checkScalar(s object, v any, at string) error {
	if text, ok := v.(string); ok {
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
			return fmt.Errorf("%s: %q does not match %s", at, text, pattern)
		}
	}
	if number, ok := v.(float64); ok {
		if low, ok := s["minimum"].(float64); ok && number < low {
			return fmt.Errorf("%s: %v is too small", at, number)
		}
		if high, ok := s["maximum"].(float64); ok && number > high {
			return fmt.Errorf("%s: %v is too large", at, number)
		}
	}
	return nil
}

func checkCombined(root, s object, v any, at string) error {
	count := func(list any) (n int) {
		for _, sub := range asList(list) {
			if check(root, sub, v, at) == nil {
				n++
			}
		}
		return n
	}
	if list, ok := s["anyOf"]; ok && count(list) == 0 {
		return fmt.Errorf("%s: %v fits none of the alternatives", at, v)
	}
	if list, ok := s["oneOf"]; ok && count(list) != 1 {
		return fmt.Errorf("%s: %v fits %d of the alternatives", at, v, count(list))
	}
	if list, ok := s["allOf"]; ok && count(list) != len(asList(list)) {
		return fmt.Errorf("%s: %v does not fit all", at, v)
	}
	if sub, ok := s["not"]; ok && check(root, sub, v, at) == nil {
		return fmt.Errorf("%s: %v fits what it must not", at, v)
	}
	return nil
}

func checkObject(root, s, v object, at string) error {
	for _, key := range asList(s["required"]) {
		if _, ok := v[key.(string)]; !ok {
			return fmt.Errorf("%s: %v is missing", at, key)
		}
	}
	properties, _ := s["properties"].(object)
	for key, value := range v {
		sub, ok := properties[key]
		if !ok {
			if sub, ok = s["additionalProperties"]; !ok {
				continue
			}
		}
		if err := check(root, sub, value, join(at, key)); err != nil {
			return err
		}
	}
	return nil
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	if v == nil {
		return nil
	}
	return []any{v}
}

func hasType(v any, name string) bool {
	switch v := v.(type) {
	case object:
		return name == "object"
	case []any:
		return name == "array"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == math.Trunc(v)
	}
	return false
}

// generic reads a scenario file into what a JSON tool would see.
func generic(t testing.TB, data []byte) object {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	var v object
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBuiltinsFitTheSchema(t *testing.T) {
	schema := loadSchema(t)
	for _, b := range Builtins() {
		if err := check(schema, schema, generic(t, b.Data), ""); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
}

// TestSchemaAllowsWhatTheParserAllows generates files that are right and some that nearly are: an editor
// must not mark what the parser takes.
func TestSchemaAllowsWhatTheParserAllows(t *testing.T) {
	schema := loadSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(drawScenario(t))
		if rapid.Bool().Draw(t, "damage") {
			cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
			data = slices.Delete(data, cut, min(len(data), cut+rapid.IntRange(1, 9).Draw(t, "length")))
		}
		if _, err := Parse("x.yaml", data, Options{}); err != nil {
			return
		}
		asJSON, err := yaml.YAMLToJSON(data)
		if err != nil {
			t.Fatalf("the parser takes what is no YAML: %v\n%s", err, data)
		}
		var v object
		if err := json.Unmarshal(asJSON, &v); err != nil {
			t.Fatal(err)
		}
		if err := check(schema, schema, v, ""); err != nil {
			t.Fatalf("the parser takes it, the schema does not: %v\n%s", err, data)
		}
	})
}

func TestSchemaRefusesWhatTheParserRefuses(t *testing.T) {
	schema := loadSchema(t)
	const head = "version: 1\nname: x\ncluster: {nodes: 5}\n"
	for name, text := range map[string]string{
		"unknown key":           head + "nodez: 5\n",
		"unknown nested key":    head + "network: {latenzy: 1ms}\n",
		"missing name":          "version: 1\ncluster: {nodes: 5}\n",
		"other version":         "version: 2\nname: x\ncluster: {nodes: 5}\n",
		"two faults":            head + "timeline: [{at: 1s, kill: {node: n1}, start: {node: n2}}]\n",
		"no fault":              head + "timeline: [{at: 1s}]\n",
		"no duration":           head + "timeline: [{at: 1s, pause: {node: n1}}]\n",
		"a duration for a kill": head + "timeline: [{at: 1s, for: 1s, kill: {node: n1}}]\n",
		"node and nodes":        head + "timeline: [{at: 1s, kill: {node: n1, nodes: n2}}]\n",
		"no node":               head + "timeline: [{at: 1s, kill: {}}]\n",
		"negative time":         head + "timeline: [{at: -1s, kill: {node: n1}}]\n",
		"unknown shape":         head + "timeline: [{at: 1s, for: 1s, partition: {shape: thirds}}]\n",
		"loss above all":        head + "network: {loss: 2}\n",
		"two expectations":      head + "expect: [{suspicions: {max: 0}, refutations: {max: 0}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("x.yaml", []byte(text), Options{}); err == nil {
				t.Error("the parser takes it")
			}
			if err := check(schema, schema, generic(t, []byte(text)), ""); err == nil {
				t.Error("the schema takes it")
			}
		})
	}
}
