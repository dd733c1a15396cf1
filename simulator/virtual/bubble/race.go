//go:build race

package bubble

import "runtime"

// Under the race detector one thread at a time runs Go code. Two goroutines of
// a bubble that receive from expired timers at the same moment run both timers
// with the bubble's one race context (runtime.timer.unlockAndRun, Go 1.26),
// and threads that share such a context corrupt the detector's memory: a test
// of a few minutes crashed every second time. Races are found all the same, by
// what happens before what and not by what happens at the same time.
func init() { runtime.GOMAXPROCS(1) }
