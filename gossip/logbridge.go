package gossip

import (
	"bytes"
	"io"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// bridgeLogger gives the engine a logger whose lines go to ours, by the level
// that they name. A silent logger costs the engine nothing but the call.
func bridgeLogger(to zerolog.Logger) *log.Logger {
	if to.GetLevel() == zerolog.Disabled {
		return log.New(io.Discard, "", 0)
	}
	return log.New(&logBridge{to: to.With().Str("part", "engine").Logger(), now: time.Now}, "", 0)
}

// engineLines bounds how many lines of the engine are passed on each second:
// it writes one for every bad packet, and anyone can send those.
const engineLines = 50

// logBridge turns memberlist's lines, such as
//
//	[WARN] memberlist: Refuting a suspect message (from: n3)
//	[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.7:7946
//
// into structured ones.
type logBridge struct {
	to  zerolog.Logger
	now func() time.Time

	mu         sync.Mutex
	window     time.Time // guarded by mu; when the current second began
	lines      int       // guarded by mu; passed on in it
	suppressed int       // guarded by mu; not passed on since the last line
}

// Write takes one line. It never fails.
func (b *logBridge) Write(line []byte) (int, error) {
	level, rest := engineLevel(line)
	if level < b.to.GetLevel() {
		return len(line), nil
	}
	suppressed, pass := b.admit()
	if !pass {
		return len(line), nil
	}
	ev := b.to.WithLevel(level)
	if suppressed > 0 {
		ev = ev.Int("suppressed", suppressed)
	}
	msg, from := splitFrom(rest)
	if from != "" {
		ev = ev.Str("from", from)
	}
	ev.Msg(msg)
	return len(line), nil
}

func (b *logBridge) admit() (suppressed int, pass bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); now.Sub(b.window) >= time.Second {
		b.window, b.lines = now, 0
	}
	if b.lines == engineLines {
		b.suppressed++
		return 0, false
	}
	b.lines++
	suppressed, b.suppressed = b.suppressed, 0
	return suppressed, true
}

var engineLevels = []struct {
	prefix string
	level  zerolog.Level
}{
	{"[DEBUG] ", zerolog.DebugLevel},
	{"[INFO] ", zerolog.InfoLevel},
	{"[WARN] ", zerolog.WarnLevel},
	{"[ERR] ", zerolog.ErrorLevel},
	{"[ERROR] ", zerolog.ErrorLevel},
	{"Err: ", zerolog.ErrorLevel},
}

// engineLevel reads the level off a line and returns the rest without the
// engine's name. A line without a level counts as info.
func engineLevel(line []byte) (zerolog.Level, string) {
	line = bytes.TrimSpace(line)
	level := zerolog.InfoLevel
	for _, l := range engineLevels {
		if rest, ok := bytes.CutPrefix(line, []byte(l.prefix)); ok {
			line, level = rest, l.level
			break
		}
	}
	return level, strings.TrimPrefix(string(line), "memberlist: ")
}

// splitFrom takes the peer's address off the end of a line.
func splitFrom(msg string) (text, from string) {
	i := strings.LastIndex(msg, " from=")
	if i < 0 || strings.ContainsAny(msg[i+1:], " \t") {
		return msg, ""
	}
	return msg[:i], msg[i+len(" from="):]
}
