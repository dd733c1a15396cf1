package scenario

import (
	"embed"
	"path"
	"slices"
	"strings"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

// Builtin is a scenario that comes with the program.
type Builtin struct {
	// Name is what [Load] knows it by.
	Name string
	// Teaches is what one learns from it: the comment at the head of its file.
	Teaches string
	// Data is the file.
	Data []byte
}

// Builtins returns the built-in scenarios by name.
func Builtins() []Builtin {
	entries, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		return nil
	}
	var all []Builtin
	for _, entry := range entries {
		if b, ok := builtin(strings.TrimSuffix(entry.Name(), ".yaml")); ok {
			all = append(all, b)
		}
	}
	return all
}

// aliases are further names of built-in scenarios.
var aliases = map[string]string{"partition-halves": "halves"}

// builtin returns the built-in scenario of that name.
func builtin(name string) (Builtin, bool) {
	if other, ok := aliases[name]; ok {
		name = other
	}
	if strings.ContainsAny(name, "./\\") {
		return Builtin{}, false
	}
	data, err := builtinFiles.ReadFile(path.Join("builtin", name+".yaml"))
	if err != nil {
		return Builtin{}, false
	}
	return Builtin{Name: name, Teaches: headComment(data), Data: data}, true
}

// builtinNames returns the names of the built-in scenarios, sorted.
func builtinNames() []string {
	var names []string
	for _, b := range Builtins() {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return names
}

// headComment returns the comment that a file begins with, as one line.
func headComment(data []byte) string {
	var words []string
	for line := range strings.Lines(string(data)) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		words = append(words, strings.Fields(text)...)
	}
	return strings.Join(words, " ")
}
