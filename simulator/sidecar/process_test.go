package sidecar

import "testing"

func TestDead(t *testing.T) {
	for _, c := range []struct {
		stat procStat
		want bool
	}{
		{procStat{state: 'S', threads: 8}, false},
		{procStat{state: 'T', threads: 8}, false},
		{procStat{state: 'Z', threads: 1}, true},
		{procStat{state: 'Z', threads: 0}, true},
		{procStat{state: 'X', threads: 1}, true},
		// The first thread is done, and another one is about to run a new program.
		{procStat{state: 'Z', threads: 2}, false},
	} {
		if got := c.stat.dead(); got != c.want {
			t.Errorf("%+v: dead is %v", c.stat, got)
		}
	}
}
