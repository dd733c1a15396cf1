package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// The types that a scenario is made of tell the decoder how they are written.
type (
	// texter reads itself from one scalar.
	texter interface{ parseText(text string) error }
	// noder reads itself from any node.
	noder interface {
		decodeNode(d *decoder, path string, n ast.Node)
	}
	// enum is a string type with a fixed list of values.
	enum interface{ values() []string }
	// chooser is a struct of which exactly one of the fields tagged choice is set.
	chooser interface{ choice() (what, where string) }
	// defaulter is a struct with defaults other than zero.
	defaulter interface{ setDefaults() }
)

// field is how a struct field is written in a file, from its tag `yaml:"name,required,choice,alias=other"`.
type field struct {
	index            int
	name, alias      string
	required, choice bool
}

// fieldsOf returns the fields of a struct type that can stand in a file.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		options := strings.Split(tag, ",")
		f := field{index: i, name: options[0]}
		for _, option := range options[1:] {
			switch {
			case option == "required":
				f.required = true
			case option == "choice":
				f.choice = true
			case strings.HasPrefix(option, "alias="):
				f.alias = strings.TrimPrefix(option, "alias=")
			}
		}
		fields = append(fields, f)
	}
	return fields
}

// decoder fills the types of a scenario from a syntax tree, strictly, and goes on after an error.
type decoder struct {
	*problems
}

// value decodes n into v, which must be settable.
func (d *decoder) value(path string, n ast.Node, v reflect.Value) {
	d.pos[path] = nodePosition(d.source, n)
	if isNull(n) {
		d.add(path, "has no value")
		return
	}
	switch target := v.Addr().Interface().(type) {
	case noder:
		target.decodeNode(d, path, n)
		return
	case texter:
		d.text(path, n, target.parseText)
		return
	case *time.Duration:
		d.text(path, n, func(text string) (err error) {
			*target, err = parseDuration(text)
			return err
		})
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if target, ok := v.Interface().(defaulter); ok {
			target.setDefaults()
		}
		d.value(path, n, v.Elem())
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	case reflect.Map:
		d.dictionary(path, n, v)
	default:
		d.text(path, n, func(text string) error { return setScalar(v, text) })
	}
}

// text decodes a scalar.
func (d *decoder) text(path string, n ast.Node, parse func(string) error) {
	text, ok := scalar(n)
	if !ok {
		d.add(path, "one value is wanted here, not %s", kind(n))
		return
	}
	if err := parse(text); err != nil {
		d.add(path, "%v", err)
	}
}

// setScalar sets a string, bool, int or float from its text.
func setScalar(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		if e, ok := v.Interface().(enum); ok && !slices.Contains(e.values(), text) {
			return fmt.Errorf("%q is not one of %s", text, oneOf(e.values()))
		}
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int:
		number, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number, or too large", text)
		}
		v.SetInt(int64(number))
	case reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || !decimal(text) {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(number)
	default:
		return fmt.Errorf("the decoder knows no %s", v.Type())
	}
	return nil
}

// structure decodes a mapping whose keys are the fields of a struct.
func (d *decoder) structure(path string, n ast.Node, v reflect.Value) {
	values, ok := entries(n)
	if !ok {
		d.add(path, "a mapping is wanted here, not %s", kind(n))
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	var chosen []string
	unknown := false
	for _, entry := range values {
		key, at := d.key(entry)
		i := slices.IndexFunc(fields, func(f field) bool { return key != "" && (key == f.name || key == f.alias) })
		if i < 0 {
			d.addAt(at, join(path, key), unknownKey(path, key, fields))
			unknown = true
			continue
		}
		f := fields[i]
		if seen[f.name] {
			d.addAt(at, join(path, f.name), fmt.Sprintf("%s is given twice", join(path, key)))
			continue
		}
		seen[f.name] = true
		if f.choice {
			chosen = append(chosen, f.name)
		}
		d.value(join(path, f.name), entry.Value, v.Field(f.index))
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			d.add(join(path, f.name), "is missing")
		}
	}
	if chosen != nil || !unknown {
		d.checkChoice(path, v, fields, chosen)
	}
}

// checkChoice reports when not exactly one of the fields tagged choice is given.
func (d *decoder) checkChoice(path string, v reflect.Value, fields []field, chosen []string) {
	c, ok := v.Interface().(chooser)
	if !ok || len(chosen) == 1 {
		return
	}
	what, where := c.choice()
	if len(chosen) > 1 {
		d.add(path, "has %d %ss, %s: one %s %s", len(chosen), what, strings.Join(chosen, " and "), what, where)
		return
	}
	var names []string
	for _, f := range fields {
		if f.choice {
			names = append(names, f.name)
		}
	}
	d.add(path, "has no %s: give one of %s", what, oneOf(names))
}

// list decodes a sequence.
func (d *decoder) list(path string, n ast.Node, v reflect.Value) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(path, "a list is wanted here, not %s", kind(n))
		return
	}
	if d.tooLong(path, sequence, MaxSteps) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, item := range sequence.Values {
		d.value(element(path, i), item, v.Index(i))
	}
}

// tooLong reports a list with more entries than make sense.
func (d *decoder) tooLong(path string, list *ast.SequenceNode, limit int) bool {
	if len(list.Values) > limit {
		d.add(path, "has %d entries: at most %d", len(list.Values), limit)
	}
	return len(list.Values) > limit
}

// dictionary decodes a mapping with free keys and scalar values into a map[string]string.
func (d *decoder) dictionary(path string, n ast.Node, v reflect.Value) {
	values, ok := entries(n)
	if !ok {
		d.add(path, "a mapping is wanted here, not %s", kind(n))
		return
	}
	all := map[string]string{}
	for _, entry := range values {
		key, at := d.key(entry)
		item := join(path, key)
		text, ok := scalar(entry.Value)
		switch _, twice := all[key]; {
		case !ok:
			d.addAt(at, item, fmt.Sprintf("%s: one value is wanted here, not %s", item, kind(entry.Value)))
		case twice:
			d.addAt(at, item, item+" is given twice")
		default:
			d.pos[item] = at
			all[key] = text
		}
	}
	v.Set(reflect.ValueOf(all))
}

// key returns the text of an entry's key, and where it stands.
func (d *decoder) key(entry *ast.MappingValueNode) (string, position) {
	text, ok := scalar(entry.Key)
	if !ok {
		text = entry.Key.String()
	}
	return text, nodePosition(d.source, entry.Key)
}

// unknownKey says which keys there are; the one meant, if it can be guessed.
func unknownKey(path, key string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	where := ""
	if path != "" {
		where = " in " + path
	}
	if guess := similar(key, names); guess != "" {
		return fmt.Sprintf("there is no key %q%s: did you mean %s?", key, where, guess)
	}
	return fmt.Sprintf("there is no key %q%s: the keys are %s", key, where, strings.Join(names, ", "))
}

// similar returns the first name that key turns into by one letter changed, added, left out or swapped with
// its neighbour, or by the other way to join words; or nothing.
func similar(key string, names []string) string {
	for _, name := range names {
		if strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(key)) == name || oneEdit(key, name) {
			return name
		}
	}
	return ""
}

func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return len(a) > 2 && a[i:] == b[i+1:]
	}
	if len(a) < 3 || i == len(a) {
		return false
	}
	swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return swapped || a[i+1:] == b[i+1:]
}

// decodeNode reads targets: a word, a name, a range, a list of names and ranges, or {count: 5}.
func (t *Targets) decodeNode(d *decoder, path string, n ast.Node) {
	*t = Targets{}
	switch n := n.(type) {
	case *ast.SequenceNode:
		if len(n.Values) == 0 {
			d.add(path, "an empty list targets nothing")
		}
		if d.tooLong(path, n, MaxNodes) {
			return
		}
		for i, item := range n.Values {
			d.pos[element(path, i)] = nodePosition(d.source, item)
			d.text(element(path, i), item, t.addSpan)
		}
	case *ast.MappingNode, *ast.MappingValueNode:
		var counted struct {
			Count int `yaml:"count,required"`
		}
		d.structure(path, n, reflect.ValueOf(&counted).Elem())
		*t = Targets{Pick: PickCount, Count: counted.Count}
	default:
		d.text(path, n, t.parseText)
	}
}

// decodeNode reads seeds: a number, a range, or a list of these.
func (s *Seeds) decodeNode(d *decoder, path string, n ast.Node) {
	*s = nil
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.text(path, n, s.add)
		return
	}
	if len(list.Values) == 0 {
		d.add(path, "an empty list makes no run")
	}
	if d.tooLong(path, list, MaxSteps) {
		return
	}
	for i, item := range list.Values {
		d.pos[element(path, i)] = nodePosition(d.source, item)
		d.text(element(path, i), item, s.add)
	}
}
