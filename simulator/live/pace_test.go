package live

import (
	"strings"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Now()
	for _, step := range []time.Duration{0, maxStill / 10, maxStill, 0} {
		now = now.Add(step)
		if err := p.beat(now); err != nil {
			t.Errorf("after %v: %v", step, err)
		}
	}
	now = now.Add(maxStill + time.Millisecond)
	for range 2 { // whoever asks next is told, too
		if err := p.beat(now); err == nil || !strings.Contains(err.Error(), "stood still for 2.001s") {
			t.Errorf("after too long: %v", err)
		}
	}
}
