package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"heartbeat/gossip/httpapi"
)

func TestPartitions(t *testing.T) {
	agree := httpapi.Partitions{Node: "n1", Condition: "connected", At: at, Agree: true, Silent: []string{}, NoDigest: []string{},
		Groups: []httpapi.PartitionGroup{{Sum: "245d2e6f30580d2b", Held: 3, Own: true, Nodes: []string{"n1", "n2", "n3"}}}}
	differ := agree
	differ.Agree, differ.Silent, differ.NoDigest, differ.NotAsked, differ.Unknown = false, []string{"n4"}, []string{"plain\x1b"}, 7, 2
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint("m", i+1))
	}
	differ.Groups = append([]httpapi.PartitionGroup{}, differ.Groups[0], httpapi.PartitionGroup{Sum: "00000000000000ff", Held: 30, Nodes: many})
	for _, tt := range []struct {
		golden, line string
		answer       httpapi.Partitions
		code         int
	}{
		{"partitions.txt", "partitions", agree, 0},
		{"partitions.json", "partitions --format json", agree, 0},
		{"partitions-differ.txt", "partitions", differ, 1},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			agent := sampleAgent()
			agent["GET /v1/partitions"] = tt.answer
			r := heartbeat(t, "--address "+agent.start(t)+" "+tt.line)
			if r.code != tt.code || (r.stderr != "") != (tt.code != 0) {
				t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
			}
			golden(t, "render/"+tt.golden, r.stdout)
		})
	}
	agent := sampleAgent()
	agent["GET /v1/partitions"] = httpapi.Problem{Type: httpapi.ProblemNoDigest, Title: "digests are turned off", Status: http.StatusConflict, Detail: "digests are turned off"}
	if r := heartbeat(t, "--address "+agent.start(t)+" partitions"); r.code == 0 || !strings.Contains(r.stderr, "digests are turned off") {
		t.Errorf("without digests: exit code %d, stderr %q", r.code, r.stderr)
	}
}
