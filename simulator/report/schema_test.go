package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

var update = flag.Bool("update", false, "rewrite golden files and the schema")

type object = map[string]any

// schemaWriter turns the types of a result into a JSON Schema.
type schemaWriter struct {
	defs object
	docs map[string]string // comments by Type.Field
}

func (w *schemaWriter) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[oracle.Number]():
		return object{"type": []string{"number", "null"}}
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": w.of(t.Elem())}
	case reflect.Array:
		return object{"type": "array", "minItems": t.Len(), "maxItems": t.Len(), "items": w.of(t.Elem())}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": w.of(t.Elem())}
	case reflect.Struct:
		name := strings.ToLower(t.Name()[:1]) + t.Name()[1:]
		if _, done := w.defs[name]; !done {
			w.defs[name] = nil // ends a recursion
			w.defs[name] = w.structure(t)
		}
		return object{"$ref": "#/$defs/" + name}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	}
	return object{"type": map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number",
	}[t.Kind()]}
}

func (w *schemaWriter) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	w.fields(t, properties, &required)
	return object{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

func (w *schemaWriter) fields(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		if f.Anonymous {
			w.fields(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := w.of(f.Type)
		if doc := w.docs[t.Name()+"."+f.Name]; doc != "" {
			p["description"] = doc
		}
		properties[name] = p
		if options != "omitempty" {
			*required = append(*required, name)
		}
	}
}

// fieldDocs returns the comments of struct fields, by Type.Field.
func fieldDocs(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if s, ok := spec.Type.(*ast.StructType); ok {
						noteDocs(docs, spec.Name.Name, s)
					}
				}
				return true
			})
		}
	}
	return docs
}

func noteDocs(docs map[string]string, typeName string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			docs[typeName+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
		}
	}
}

func TestSchemaIsGeneratedFromTheTypes(t *testing.T) {
	w := &schemaWriter{defs: object{}, docs: fieldDocs(t, "../result", "../oracle")}
	root := w.of(reflect.TypeFor[result.Result]())
	schema := w.defs["result"].(object)
	delete(w.defs, "result")
	if root["$ref"] != "#/$defs/result" {
		t.Fatalf("the root is %v", root)
	}
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "heartbeat simulation result"
	schema["description"] = "Times are in seconds. A number of null is infinite: it never happened, or is not bounded."
	schema["$defs"] = w.defs
	schema["properties"].(object)["version"] = object{"const": result.Version, "description": "The version of the format. A reader refuses newer ones."}
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"result.schema.json", "../../docs/result.schema.json"} {
		if *update {
			if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), string(got)); diff != "" {
			t.Errorf("%s is not what the types say; run the test with -update (-want +got):\n%s", path, diff)
		}
	}
}

// fits validates a value against the parts of JSON Schema that ours uses.
func fits(root, s object, v any, at string) error {
	if ref, ok := s["$ref"].(string); ok {
		return fits(root, root["$defs"].(object)[strings.TrimPrefix(ref, "#/$defs/")].(object), v, at)
	}
	if want, ok := s["const"]; ok {
		if want != v {
			return fmt.Errorf("%s: %v is not %v", at, v, want)
		}
		return nil
	}
	kinds, ok := s["type"].([]any)
	if !ok {
		kinds = []any{s["type"]}
	}
	kind := map[reflect.Kind]string{
		reflect.Invalid: "null", reflect.Map: "object", reflect.Slice: "array", reflect.String: "string", reflect.Bool: "boolean", reflect.Float64: "number",
	}[reflect.ValueOf(v).Kind()]
	whole := kind == "number" && v.(float64) == float64(int64(v.(float64))) && slices.Contains(kinds, any("integer"))
	if !whole && !slices.Contains(kinds, any(kind)) {
		return fmt.Errorf("%s: a %s, not %v", at, kind, kinds)
	}
	switch v := v.(type) {
	case []any:
		if n, ok := s["minItems"].(float64); ok && len(v) != int(n) {
			return fmt.Errorf("%s: %d items", at, len(v))
		}
		for i, item := range v {
			if err := fits(root, s["items"].(object), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case object:
		return fitsObject(root, s, v, at)
	}
	return nil
}

func fitsObject(root, s, v object, at string) error {
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := v[key.(string)]; !ok {
			return fmt.Errorf("%s: %v is missing", at, key)
		}
	}
	properties, _ := s["properties"].(object)
	for _, key := range slices.Sorted(maps.Keys(v)) {
		sub, ok := properties[key].(object)
		if !ok {
			if sub, ok = s["additionalProperties"].(object); !ok {
				return fmt.Errorf("%s: %s is not known", at, key)
			}
		}
		if err := fits(root, sub, v[key], at+"."+key); err != nil {
			return err
		}
	}
	return nil
}

func TestResultsFitTheSchema(t *testing.T) {
	var schema object
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	results := map[string]*result.Result{
		"mass-crash": sample(t, "mass-crash"), "frozen-minority": sample(t, "frozen-minority"), "interrupted": interrupted(t), "empty": empty(), "hostile": hostile(t),
	}
	for name, r := range results {
		var data bytes.Buffer
		if err := r.Write(&data); err != nil {
			t.Fatal(err)
		}
		var v object
		if err := json.Unmarshal(data.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if err := fits(schema, schema, v, name); err != nil {
			t.Error(err)
		}
		if back, err := result.Read(&data); err != nil || back.Scenario.Name != r.Scenario.Name {
			t.Errorf("%s cannot be read back: %v", name, err)
		}
	}
}

func TestSchemaRefusesWhatIsNoResult(t *testing.T) {
	var schema object
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(object){
		"another version":   func(v object) { v["version"] = 2.0 },
		"an unknown field":  func(v object) { v["colour"] = "red" },
		"a missing field":   func(v object) { delete(v, "runs") },
		"a text for a time": func(v object) { v["wall_s"] = "long" },
		"half a seed":       func(v object) { v["runs"].([]any)[0].(object)["seed"] = 1.5 },
		"a broken step": func(v object) {
			v["runs"].([]any)[0].(object)["heat"].(object)["rows"].([]any)[0].(object)["steps"] = []any{[]any{1.0}}
		},
	} {
		var data bytes.Buffer
		if err := sample(t, "mass-crash").Write(&data); err != nil {
			t.Fatal(err)
		}
		var v object
		if err := json.Unmarshal(data.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		change(v)
		if fits(schema, schema, v, "") == nil {
			t.Errorf("the schema allows %s", name)
		}
	}
}
