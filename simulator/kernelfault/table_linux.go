package kernelfault

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

const (
	// tablePrefix begins the name of every table that this program makes.
	tablePrefix = "heartbeat_fault_"

	// leaseTime is how long a table counts as owned after the last renewal: a
	// few times renewEvery, so that a busy machine loses no lease.
	leaseTime  = 8 * time.Second
	renewEvery = time.Second
)

// Table is the faults of one owner in one network namespace. It is safe for
// concurrent use.
type Table struct {
	log  zerolog.Logger
	name string
	ns   int // a file descriptor of our own

	mu     sync.Mutex // guards all below; held during a transaction
	conn   *conn      // nil after a failure, until the next use
	faults map[string]*standing
	ipv6   bool // the table exists for IPv6, too
	serial uint32
	shaper shaper // nil when nothing here can delay packets
	flat   error  // why not
	gone   error  // why the table can no longer be used

	stop chan struct{}
	done sync.WaitGroup
}

// Open makes a table of its own in the namespace, after it has removed what
// dead owners left there. It fails with an *UnsupportedError when the kernel
// lacks nftables or this process the right to use it.
func Open(cfg Config) (*Table, error) {
	ns, err := holdNamespace(cfg.Namespace)
	if err != nil {
		return nil, err
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	t := &Table{
		log:    cfg.Log,
		name:   tablePrefix + hex.EncodeToString(id[:]),
		ns:     ns,
		faults: make(map[string]*standing),
		stop:   make(chan struct{}),
	}
	if err := t.open(); err != nil {
		t.release()
		return nil, explain(err)
	}
	t.done.Go(t.keep)
	return t, nil
}

func (t *Table) open() error {
	tables, err := read(t.ns)
	if err != nil {
		return err
	}
	for _, dead := range tables {
		if dead.Alive {
			continue
		}
		if err := t.connect(); err != nil {
			return err
		}
		if err := remove(t.conn, dead); err != nil {
			return fmt.Errorf("remove the table %s of a dead owner: %w", dead.Table, err)
		}
		t.log.Warn().Str("table", dead.Table).Int("faults", len(dead.Faults)).Msg("removed the faults that a dead process left behind")
	}
	b := newBatch(t.name)
	t.shaper, t.flat = openShaper(t.ns)
	b.addSkeleton(v4, t.divert())
	b.addSet(v4, leaseSet, keyTypeInteger, 4, "")
	t.renew(b)
	if err := t.commit(b); err != nil {
		t.closeShaper()
		return err
	}
	return nil
}

// renew prolongs the lease: by a new element, since old kernels cannot change
// the timeout of one that exists.
func (t *Table) renew(b *batch) {
	t.serial++
	key := []byte{byte(t.serial >> 24), byte(t.serial >> 16), byte(t.serial >> 8), byte(t.serial)}
	b.addElements(v4, leaseSet, [][]byte{key}, milliseconds(leaseTime))
}

func (t *Table) connect() error {
	if t.conn != nil {
		return nil
	}
	c, err := dial(t.ns)
	if err != nil {
		return err
	}
	t.conn = c
	return nil
}

func (t *Table) commit(b *batch) error {
	if err := t.connect(); err != nil {
		return err
	}
	if err := b.commit(t.conn); err != nil {
		// What else this socket has to say must not be taken for the answer to
		// the next transaction.
		_ = t.conn.Close()
		t.conn = nil
		return err
	}
	return nil
}

// Change puts faults into effect, replacing those with the same ID, and ends
// the ones with the IDs in drop, in one transaction: all of it or, after an
// error, nothing. It returns when the change is effective. IDs in drop that are
// unknown are fine.
func (t *Table) Change(put []Fault, drop []string) error {
	var errs []error
	seen := make(map[string]bool)
	for _, f := range put {
		errs = append(errs, f.Validate())
		if seen[f.ID] {
			errs = append(errs, fmt.Errorf("fault %q is given twice", f.ID))
		}
		seen[f.ID] = true
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone != nil {
		return t.gone
	}
	return t.change(put, drop)
}

func (t *Table) change(put []Fault, drop []string) error {
	now := time.Now()
	next := make(map[string]*standing, len(t.faults)+len(put))
	for id, s := range t.faults {
		if now.Before(s.ends) && !slices.Contains(drop, id) {
			next[id] = s
		}
	}
	for _, f := range put {
		f.Peers = unmapped(f.Peers)
		t.serial++
		next[f.ID] = &standing{Fault: f, set: setName(t.serial), ends: now.Add(f.TTL)}
	}
	if len(next) > MaxFaults {
		return fmt.Errorf("%w: it would be %d, but a table has at most %d at a time", ErrTooMany, len(next), MaxFaults)
	}
	faults := sorted(next)
	if err := t.shape(faults); err != nil {
		return err
	}
	b, ipv6 := t.plan(next, faults)
	if err := t.commit(b); err != nil {
		_ = t.shape(sorted(t.faults)) // as before, so it succeeds
		return t.diagnose(err, faults)
	}
	t.faults, t.ipv6 = next, ipv6
	return nil
}

// sorted orders faults by when they were put into effect.
func sorted(faults map[string]*standing) []*standing {
	return slices.SortedFunc(maps.Values(faults), func(a, b *standing) int {
		return cmp.Or(cmp.Compare(len(a.set), len(b.set)), cmp.Compare(a.set, b.set))
	})
}

// plan writes the transaction that leads from the faults in effect to the next
// ones, and says whether there is a table for IPv6 then.
func (t *Table) plan(next map[string]*standing, faults []*standing) (*batch, bool) {
	b := newBatch(t.name)
	ipv6 := t.ipv6
	if !ipv6 && slices.ContainsFunc(faults, func(s *standing) bool { return s.family() == v6 }) {
		b.addSkeleton(v6, t.divert())
		ipv6 = true
	}
	for _, s := range faults {
		if t.faults[s.ID] != s {
			b.addPeers(s, s.TTL)
		}
	}
	b.addFaults(v4, faults)
	if ipv6 {
		b.addFaults(v6, faults)
	}
	for id, s := range t.faults {
		if next[id] != s {
			b.deleteSet(s.family(), s.set)
		}
	}
	return b, ipv6
}

// Active lists this table's faults that have not ended, by ID.
func (t *Table) Active() []Active {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var out []Active
	for _, s := range t.faults {
		if left := s.ends.Sub(now); left > 0 {
			f := s.Fault
			f.Peers = slices.Clone(f.Peers)
			out = append(out, Active{Fault: f, Remaining: left})
		}
	}
	sortActive(out)
	return out
}

func sortActive(faults []Active) {
	slices.SortFunc(faults, func(a, b Active) int { return cmp.Compare(a.ID, b.ID) })
}

// Close removes the table and with it every fault. Closing a closed table does
// nothing.
func (t *Table) Close() error {
	t.mu.Lock()
	if errors.Is(t.gone, ErrClosed) {
		t.mu.Unlock()
		return nil
	}
	t.gone = ErrClosed
	// Before the table goes: with a hook the kernel drops all packets that are
	// held in the namespace.
	t.closeShaper()
	err := t.connect()
	if err == nil {
		err = remove(t.conn, table{Owned: Owned{Table: t.name}, families: t.families()})
	}
	t.faults = nil
	t.mu.Unlock()
	close(t.stop)
	t.done.Wait()
	t.release()
	if err != nil {
		return fmt.Errorf("remove the table %s, whose faults end by their time to live now: %w", t.name, err)
	}
	return nil
}

func (t *Table) families() []family {
	if t.ipv6 {
		return []family{v4, v6}
	}
	return []family{v4}
}

// release gives back the table's descriptors.
func (t *Table) release() {
	if t.conn != nil {
		_ = t.conn.Close()
	}
	_ = unix.Close(t.ns)
}

// keep renews the lease and clears away what has ended, until Close.
func (t *Table) keep() {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			t.mu.Lock()
			t.tend()
			t.mu.Unlock()
		}
	}
}

func (t *Table) tend() {
	if t.gone != nil {
		return
	}
	b := newBatch(t.name)
	t.renew(b)
	err := t.commit(b)
	now := time.Now()
	if err == nil && slices.ContainsFunc(slices.Collect(maps.Values(t.faults)), func(s *standing) bool { return !now.Before(s.ends) }) {
		err = t.change(nil, nil)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = t.diagnose(err, nil)
	}
	if err != nil {
		t.log.Warn().Err(err).Str("table", t.name).Msg("cannot renew the lease on the faults")
	}
}

// diagnose finds out why a transaction failed.
func (t *Table) diagnose(err error, faults []*standing) error {
	tables, e := read(t.ns)
	if e == nil && !slices.ContainsFunc(tables, func(o table) bool { return o.Table == t.name }) {
		t.gone = fmt.Errorf("the table %s was removed by somebody else, and its faults with it; open a new one", t.name)
		t.faults = nil
		return t.gone
	}
	for _, s := range faults {
		if e := s.supported(t.ns); e != nil {
			return e
		}
	}
	return fmt.Errorf("table %s, whose faults stay as they were: %w", t.name, err)
}
