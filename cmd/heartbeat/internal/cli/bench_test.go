package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"heartbeat/gossip/httpapi"
)

// bigView is the view of a cluster of n.
func bigView(n int) *httpapi.Members {
	view := &httpapi.Members{Node: "node-0000", Condition: "connected", At: at, Total: n}
	for i := range n {
		view.Members = append(view.Members, httpapi.Member{
			Name: fmt.Sprintf("node-%04d", i), Addr: fmt.Sprintf("10.0.%d.%d:7946", i/250, i%250), State: states()[i%4],
			Tags: map[string]string{"role": "web", "dc": "eu-west-1", "rack": fmt.Sprint(i % 20)}, Incarnation: uint32(i),
			Since: at.Add(-time.Duration(i) * time.Second), FirstSeen: at.Add(-time.Hour), RTTMS: rtt(0.5),
		})
	}
	return view
}

// BenchmarkMembers is what `heartbeat members` costs beyond `heartbeat version`:
// the answer decoded and rendered.
func BenchmarkMembers(b *testing.B) {
	view := bigView(1000)
	data, err := json.Marshal(view)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode/n=1000", func(b *testing.B) {
		for b.Loop() {
			var v httpapi.Members
			if err := json.Unmarshal(data, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, format := range memberFormats {
		b.Run(format+"/n=1000", func(b *testing.B) {
			a := newApp(nil, io.Discard, io.Discard)
			for b.Loop() {
				if err := a.printMembers(view, format); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("colour/n=1000", func(b *testing.B) {
		a := newApp(nil, io.Discard, io.Discard)
		a.stdout.tty, a.stdout.colour = true, true
		for b.Loop() {
			if err := a.printMembers(view, formatTable); err != nil {
				b.Fatal(err)
			}
		}
	})
}
