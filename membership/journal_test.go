package membership

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestJournalAgainstTwin compares the linked slots with a plain slice from which the
// oldest entry of the subject, or of all, is cut.
func TestJournalAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMember := rapid.IntRange(1, 4).Draw(t, "per member")
		total := rapid.IntRange(1, 8).Draw(t, "total")
		j := newJournal(perMember, total)
		var naive []Entry
		about := func(subject string) []Entry {
			return slices.DeleteFunc(slices.Clone(naive), func(e Entry) bool { return e.Subject != subject })
		}
		for i := range rapid.IntRange(1, 40).Draw(t, "entries") {
			e := Entry{
				At:          epoch.Add(time.Duration(i)),
				Subject:     fmt.Sprintf("n%d", rapid.IntRange(0, 3).Draw(t, "subject")),
				Kind:        EntryAccused,
				Incarnation: uint32(i),
				By:          "n9",
				Via:         SourceInbound,
				Note:        "because",
			}
			j.add(slot{at: time.Duration(i), subject: e.Subject, kind: e.Kind, inc: e.Incarnation,
				by: e.By, via: e.Via, note: e.Note})

			if own := about(e.Subject); len(own) >= perMember {
				first := slices.Index(naive, own[0])
				naive = slices.Delete(naive, first, first+1)
			} else if len(naive) >= total {
				naive = naive[1:]
			}
			naive = append(naive, e)

			if diff := cmp.Diff(naive, j.entries("", epoch)); diff != "" {
				t.Fatalf("all entries, twin (-) and journal (+):\n%s", diff)
			}
			for _, subject := range []string{"n0", "n1", "n2", "n3"} {
				want, got := about(subject), j.entries(subject, epoch)
				if len(want)+len(got) > 0 && !slices.Equal(want, got) {
					t.Fatalf("entries about %s:\n%s", subject, cmp.Diff(want, got))
				}
			}
			if len(j.slots) > total {
				t.Fatalf("%d slots for at most %d entries", len(j.slots), total)
			}
		}
	})
}
