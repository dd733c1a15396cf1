package wire

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Right through a rotation of the key, node by node, the tap of every node reads each packet that is sent to it, and reads what the
// engine reads, which loses nobody either.
func TestPeekAgreesWithTheEngineThroughARotation(t *testing.T) {
	for _, s := range securities {
		if s.key == nil {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := append([]byte(nil), s.key...)
				next[0] ^= 0xff
				members := start(t, s, 3)
				var mu sync.Mutex
				byKey := map[byte]int{} // packets by the first byte of the key that opens them
				reader := members[0].ring
				peeker := NewPeeker(s.label, reader.GetKeys)
				for _, m := range members[1:] {
					m.end.setOutbound(func(_ *end, packet []byte) {
						mu.Lock()
						defer mu.Unlock()
						got, err := peek(peeker, packet)
						if err != nil {
							t.Errorf("%x: %v", packet, err)
							return
						}
						want := twinRead(packet, s.label, reader.GetKeys())
						if diff := diffSeen(want.seen, got); want.failed || diff != "" {
							t.Errorf("%x: the twin fails: %v\n(-engine +peek)\n%s", packet, want.failed, diff)
						}
						for _, key := range reader.GetKeys() {
							if !twinRead(packet, s.label, [][]byte{key}).failed {
								byKey[key[0]]++
							}
						}
					})
				}
				steps := []func(*member) error{
					func(m *member) error { return m.ring.AddKey(next) },
					func(m *member) error { return m.ring.UseKey(next) },
					func(m *member) error { return m.ring.RemoveKey(s.key) },
				}
				for _, step := range steps {
					for _, m := range members {
						if err := step(m); err != nil {
							t.Fatal(err)
						}
						time.Sleep(5 * time.Second)
					}
				}
				mu.Lock()
				if byKey[s.key[0]] == 0 || byKey[next[0]] == 0 {
					t.Errorf("packets by key: %v", byKey)
				}
				mu.Unlock()
				for _, m := range members {
					if n := m.NumMembers(); n != len(members) {
						t.Errorf("%s has %d members after the rotation", m.name, n)
					}
				}
				stop(t, members)
			})
		})
	}
}
