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
