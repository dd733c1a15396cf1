package membership

import "time"

// journal keeps the last entries: at most perMember about one name, at most total in
// all. Each entry hangs in two lists, oldest first: that of all entries, and that of
// its subject. Removing the oldest of either is O(1), so is adding.
type journal struct {
	perMember, total int
	slots            []slot
	free             int32 // first of the unused slots, linked by newer
	oldest, newest   int32
	len              int
	chains           map[string]chain
}

// none ends a list of slots.
const none = int32(-1)

// slot is an Entry as it is stored: its time counts from the core's epoch, for room.
type slot struct {
	at           time.Duration
	subject      string
	by           string
	note         string
	inc          uint32
	older, newer int32 // in the list of all entries
	next         int32 // the next newer one about the same subject
	kind         EntryKind
	via          Source
}

// chain is the list of the entries about one subject.
type chain struct{ oldest, newest, len int32 }

func newJournal(perMember, total int) journal {
	return journal{perMember: perMember, total: total, free: none, oldest: none, newest: none,
		chains: make(map[string]chain)}
}

// add appends s as the newest entry and drops the oldest ones that are over a bound.
func (j *journal) add(s slot) {
	if ch, ok := j.chains[s.subject]; ok && int(ch.len) >= j.perMember {
		j.dropOldest(s.subject)
	} else if j.len >= j.total {
		j.dropOldest(j.slots[j.oldest].subject)
	}

	i := j.free
	if i == none {
		i = int32(len(j.slots))
		j.slots = append(j.slots, slot{})
	} else {
		j.free = j.slots[i].newer
	}
	s.older, s.newer, s.next = j.newest, none, none
	j.slots[i] = s
	if j.newest == none {
		j.oldest = i
	} else {
		j.slots[j.newest].newer = i
	}
	j.newest = i
	j.len++

	ch, ok := j.chains[s.subject]
	if ok {
		j.slots[ch.newest].next = i
	} else {
		ch.oldest = i
	}
	ch.newest = i
	ch.len++
	j.chains[s.subject] = ch
}

// dropOldest removes the oldest entry about the subject, which has at least one.
func (j *journal) dropOldest(subject string) {
	ch := j.chains[subject]
	i := ch.oldest
	s := j.slots[i]
	if ch.len--; ch.len == 0 {
		delete(j.chains, subject)
	} else {
		ch.oldest = s.next
		j.chains[subject] = ch
	}

	if s.older == none {
		j.oldest = s.newer
	} else {
		j.slots[s.older].newer = s.newer
	}
	if s.newer == none {
		j.newest = s.older
	} else {
		j.slots[s.newer].older = s.older
	}
	j.slots[i] = slot{newer: j.free}
	j.free = i
	j.len--
}

// entries returns copies, oldest first: of all entries when the subject is empty.
func (j *journal) entries(subject string, epoch time.Time) []Entry {
	i, n := j.oldest, j.len
	if subject != "" {
		ch, ok := j.chains[subject]
		if !ok {
			return nil
		}
		i, n = ch.oldest, int(ch.len)
	}
	entries := make([]Entry, 0, n)
	for i != none {
		s := &j.slots[i]
		entries = append(entries, Entry{At: epoch.Add(s.at), Subject: s.subject, Kind: s.kind,
			Incarnation: s.inc, By: s.by, Via: s.via, Note: s.note})
		if subject != "" {
			i = s.next
		} else {
			i = s.newer
		}
	}
	return entries
}
