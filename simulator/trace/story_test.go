package trace

import (
	"strings"
	"testing"
)

// A story says how the first of those who held a node failed came to it.
func TestStoryTellsWhoConfirmed(t *testing.T) {
	const lines = `{"t":0,"kind":"begin","text":"all nodes list each other as alive"}
{"t":11.2,"kind":"suspected","observer":"n1","subject":"n4","by":["n3"]}
{"t":12.5,"kind":"failed","observer":"n1","subject":"n4","by":["n9","n2"],"text":"accused by n3, confirmed by n9 and n2 within 500ms, their controls answered"}
{"t":12.6,"kind":"failed","observer":"n2","subject":"n4","by":["n9"],"text":"accused by n3 and not refuted for 1.4s"}
`
	const want = `0s                       all nodes list each other as alive
11.2s                    n1 began to suspect n4 (on the word of n3)
12.5s to 12.6s           n1, n2 held failed: n4 (on the word of n2, n9); n1: accused by n3, confirmed by n9 and n2 within 500ms, their controls answered
`
	var got strings.Builder
	if err := Story(&got, strings.NewReader(lines), "n4"); err != nil || got.String() != want {
		t.Errorf("%v\n%s", err, got.String())
	}
}

// Witnesses are told apart from those who heard of them.
func TestStoryTellsWhoTestified(t *testing.T) {
	const lines = `{"t":0,"kind":"begin","text":"all nodes list each other as alive"}
{"t":11.2,"kind":"testified","observer":"n2","subject":"n4","text":"3 of 3 controls answered"}
{"t":11.3,"kind":"testified","observer":"n9","subject":"n4","text":"3 of 3 controls answered"}
{"t":11.4,"kind":"heard-testimony","observer":"n1","subject":"n4","by":["n2"]}
{"t":11.4,"kind":"heard-testimony","observer":"n1","subject":"n4","by":["n9"]}
{"t":11.5,"kind":"abstained","observer":"n3","subject":"n4","text":"no control answered"}
`
	for node, want := range map[string]string{
		"n4": `0s                       all nodes list each other as alive
11.2s to 11.3s           n2, n9 testified, having got no answer though their controls answered, against n4; n2: 3 of 3 controls answered
11.4s                    n1 heard testimonies against n4 (on the word of n2, n9)
11.5s                    n3 abstained, having got no answer from their controls either, about n4; n3: no control answered
`,
		"n1": `0s                       all nodes list each other as alive
11.4s                    n1 heard testimonies against n4 (on the word of n2, n9)
`,
	} {
		var got strings.Builder
		if err := Story(&got, strings.NewReader(lines), node); err != nil || got.String() != want {
			t.Errorf("%v\n%s", err, got.String())
		}
	}
}
