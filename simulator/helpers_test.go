package simulator

import (
	"sync/atomic"
	"time"

	"heartbeat/simulator/oracle"
)

// counting counts what a Progress is told.
type counting struct {
	started, passed, finished atomic.Int64
	then                      func(finished int64)
}

func (c *counting) Started(uint64, time.Duration) { c.started.Add(1) }
func (c *counting) Passed(uint64, time.Duration)  { c.passed.Add(1) }
func (c *counting) Finished(*oracle.RunResult) {
	n := c.finished.Add(1)
	if c.then != nil {
		c.then(n)
	}
}
