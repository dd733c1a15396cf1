package fabric

import (
	"bytes"
	"log"

	"github.com/hashicorp/memberlist"
)

// OnFailedProbe returns what makes a memberlist node report each of its own
// probes that stay unanswered, indirect ones and the stream included, with the
// name of the member. It takes the place of the node's log, since a line there
// is all that tells of such a probe when the member is a suspect already.
func OnFailedProbe(report func(subject string)) func(*memberlist.Config) {
	return func(cfg *memberlist.Config) {
		cfg.LogOutput, cfg.Logger = nil, log.New(probeLog(report), "", 0)
	}
}

// probeLog picks the lines about failed probes out of a memberlist's log.
type probeLog func(subject string)

func (report probeLog) Write(line []byte) (int, error) {
	if rest, ok := bytes.CutPrefix(line, []byte("[INFO] memberlist: Suspect ")); ok {
		if subject, _, ok := bytes.Cut(rest, []byte(" has failed, no acks received")); ok {
			report(string(subject))
		}
	}
	return len(line), nil
}
