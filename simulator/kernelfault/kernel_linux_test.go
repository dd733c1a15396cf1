package kernelfault

import "testing"

// FuzzKernel feeds what comes from the kernel, or from another program's
// tables, to what reads it.
func FuzzKernel(f *testing.F) {
	b := newBatch("t")
	b.addSet(v4, "f1", keyTypeIPv4, 4, valid().comment())
	f.Add(b.buf)
	f.Add(b.buf[20:])
	f.Add(b.buf[40:])
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseSet(data)
		_ = commentOf(data)
		n := 0
		if err := messages(data, func(_ uint16, _ uint32, body []byte) {
			n += headerLen + len(body)
			_, _ = parseSet(body)
		}); err == nil && n > len(data) {
			t.Errorf("messages of %d bytes in %d", n, len(data))
		}
	})
}

func TestCommentSurvivesTheKernel(t *testing.T) {
	h := host{ns: newNamespace(t)}
	table := newTable(t, h)
	f := longest()
	f.Peers, f.TTL = valid().Peers, MaxTTL
	change(t, table, []Fault{f})
	if got := list(t, h)[0].Faults; len(got) != 1 || got[0].Effect != f.Effect || got[0].TTL != MaxTTL {
		t.Errorf("%+v is listed as %+v", f, got)
	}
}
