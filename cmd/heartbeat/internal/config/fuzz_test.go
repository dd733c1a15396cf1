package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever a file holds, reading it ends with settings or with problems that
// each name the file.
func FuzzParse(f *testing.F) {
	f.Add(Sample())
	f.Add([]byte(settingLine.ReplaceAllString(string(Sample()), "$1$2")))
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		given, problems := parse("f", data)
		for _, p := range problems {
			if len(p.Source) == 0 || p.Source[0] != 'f' || p.Err == nil {
				t.Errorf("problem without source or cause: %+v", p)
			}
		}
		s, wrong := build(given)
		if s == nil {
			t.Fatal(&Error{wrong})
		}
		if len(problems)+len(wrong) == 0 {
			wrong = s.validate()
		}
		if e := (&Error{wrong}); len(wrong) > 0 && e.Error() == "" {
			t.Errorf("an error that says nothing: %#v", wrong)
		}
	})
}
