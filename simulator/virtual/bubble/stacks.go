package bubble

import (
	"iter"
	"regexp"
	"runtime"
	"strings"
)

// header matches the first line of a goroutine's stack in a bubble.
var header = regexp.MustCompile(`^goroutine (\d+) .*\bsynctest bubble (\d+)\b`)

// maxStacks bounds the text about goroutines that are left, in bytes.
const maxStacks = 32 << 10

// census returns the number of the caller's bubble and the goroutines in it.
func census() (bubble string, goroutines map[string]bool) {
	var own [256]byte
	if m := header.FindSubmatch(own[:runtime.Stack(own[:], false)]); m != nil {
		bubble = string(m[2])
	}
	goroutines = make(map[string]bool)
	for id := range inside(bubble) {
		goroutines[id] = true
	}
	return bubble, goroutines
}

// stacks returns the stacks of a bubble's goroutines but those known, at most
// 32 KiB of text.
func stacks(bubble string, known map[string]bool) string {
	var b strings.Builder
	for id, stack := range inside(bubble) {
		switch {
		case known[id]:
		case b.Len()+len(stack) > maxStacks:
			b.WriteString("and more\n")
			return b.String()
		default:
			b.WriteString(stack + "\n\n")
		}
	}
	return b.String()
}

// inside yields number and stack of each goroutine of a bubble. The runtime's
// dump of all goroutines is the only place that tells which bubble one is in.
func inside(bubble string) iter.Seq2[string, string] {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	return func(yield func(id, stack string) bool) {
		for stack := range strings.SplitSeq(strings.TrimSpace(string(buf[:n])), "\n\n") {
			if m := header.FindStringSubmatch(stack); m != nil && m[2] == bubble && !yield(m[1], stack) {
				return
			}
		}
	}
}
