package httpapi

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"heartbeat/membership"
)

// BenchmarkMembers is what `heartbeat members` costs agent and client.
func BenchmarkMembers(b *testing.B) {
	for _, n := range []int{10, 1000} {
		out := Members{Node: "n1", Condition: "connected"}
		for i := range n {
			out.Members = append(out.Members, toMember(membership.Member{
				Name: fmt.Sprintf("node-%04d", i), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7946),
				Tags: map[string]string{"role": "web", "zone": "b"}, State: membership.Alive, Since: t0.Add(time.Duration(i)), FirstSeen: t0,
			}))
		}
		data, err := json.Marshal(out)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encode/n=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := json.Marshal(out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("decode/n=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var in Members
				if err := json.Unmarshal(data, &in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("request/n=%d", n), func(b *testing.B) {
			h := start127(b, nil)
			for i := range n {
				h.node.step(6, membership.Joined{Name: out.Members[i].Name, Addr: netip.MustParseAddrPort(out.Members[i].Addr), Tags: map[string]string{"role": "web"}})
			}
			for b.Loop() {
				if _, err := h.client.Members(b.Context(), Filter{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
