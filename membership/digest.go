package membership

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
)

// Digest sums up the members that a node holds, alive, suspect or on probation, itself included: equal digests mean the same names,
// addresses and tags. Suspicion is local and passing, so it does not count; members that are gone do not either, because each
// node forgets them at its own time. One that is held here and gone there still makes a difference.
type Digest struct {
	// Sum adds up, modulo 2^64, a hash of each member held: it depends neither on their order nor on the way there, and
	// changes in O(1) with one of them. The hash is the beginning of SHA-256, so two views that differ have equal sums
	// with a chance of 2^-64, unless somebody searched for such members.
	Sum uint64
	// Held is how many members are held.
	Held int
}

// Digest returns the digest of the table as of the last Step, in O(1).
func (c *Core) Digest() Digest { return c.table.digest }

// print is what a member contributes to Digest.Sum. Every text goes in with its length before it, so no two
// members run into each other.
func (f *fact) print() uint64 {
	h := sha256.New()
	write(h, f.name)
	write(h, string(f.addr.Addr().Unmap().AsSlice()))
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], f.addr.Port())
	h.Write(port[:])
	for _, key := range slices.Sorted(maps.Keys(f.tags)) {
		write(h, key)
		write(h, f.tags[key])
	}
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint64(h.Sum(sum[:0]))
}

func write(h hash.Hash, text string) {
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(text)))
	h.Write(size[:])
	h.Write([]byte(text))
}

// sameDigest tells whether two facts of one name, both held, contribute the same.
func sameDigest(a, b *fact) bool { return a.addr == b.addr && maps.Equal(a.tags, b.tags) }
