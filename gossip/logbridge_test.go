package gossip

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestLogBridge(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"[WARN] memberlist: Refuting a suspect message (from: n3)", `{"level":"warn","part":"engine","message":"Refuting a suspect message (from: n3)"}`},
		{"[ERR] memberlist: Decrypt packet failed: bad key from=10.0.0.7:7946", `{"level":"error","part":"engine","from":"10.0.0.7:7946","message":"Decrypt packet failed: bad key"}`},
		{"[ERROR] memberlist: x", `{"level":"error","part":"engine","message":"x"}`},
		{"[INFO] memberlist: Suspect n2 has failed, no acks received", `{"level":"info","part":"engine","message":"Suspect n2 has failed, no acks received"}`},
		{"[DEBUG] memberlist: hidden", ``},
		{"no level", `{"level":"info","part":"engine","message":"no level"}`},
		{"", `{"level":"info","part":"engine"}`},
	} {
		var out bytes.Buffer
		bridgeLogger(zerolog.New(&out).Level(zerolog.InfoLevel)).Print(tc.line)
		if got := strings.TrimSpace(out.String()); got != tc.want {
			t.Errorf("%q became\n%s, want\n%s", tc.line, got, tc.want)
		}
	}
}

func TestLogBridgeBoundsAFlood(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	b := &logBridge{to: zerolog.New(&out), now: func() time.Time { return now }}
	for i := range 1000 {
		fmt.Fprintf(b, "[ERR] memberlist: bad packet %d", i)
	}
	if got := strings.Count(out.String(), "\n"); got != engineLines {
		t.Errorf("%d lines in a second, want %d", got, engineLines)
	}
	now = now.Add(time.Second)
	out.Reset()
	fmt.Fprint(b, "[ERR] memberlist: one more")
	if !strings.Contains(out.String(), fmt.Sprintf(`"suppressed":%d`, 1000-engineLines)) {
		t.Errorf("the flood is not mentioned: %s", out.String())
	}
}
