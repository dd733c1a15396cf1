package kernelfault

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

var tablePattern = regexp.MustCompile("^" + tablePrefix + "[0-9a-f]{8}$")

// table is a table of this program, whoever made it.
type table struct {
	Owned
	families []family
}

// read returns the tables of this program in a namespace.
func read(ns int) ([]table, error) {
	c, err := nftables.New(nftables.WithNetNSFd(entered(ns)), nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	defer func() { _ = c.CloseLasting() }()
	all, err := c.ListTables()
	if errors.Is(err, unix.EINVAL) { // how netfilter speaks of a part that it lacks
		return nil, &UnsupportedError{Missing: "nftables in the kernel", Reason: err}
	}
	if err != nil {
		return nil, fmt.Errorf("list the nftables tables: %w", err)
	}
	var tables []table
	index := make(map[string]int)
	for _, nt := range all {
		if !tablePattern.MatchString(nt.Name) || nt.Family != nftables.TableFamilyIPv4 && nt.Family != nftables.TableFamilyIPv6 {
			continue
		}
		i, ok := index[nt.Name]
		if !ok {
			i = len(tables)
			index[nt.Name] = i
			tables = append(tables, table{Owned: Owned{Table: nt.Name, Faults: []Active{}}})
		}
		tables[i].families = append(tables[i].families, family(nt.Family))
	}
	if len(tables) == 0 {
		return nil, nil
	}
	sets, err := readSets(ns)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		i, ok := index[s.table]
		if !ok {
			continue
		}
		elements, err := c.GetSetElements(&nftables.Set{Name: s.name,
			Table: &nftables.Table{Name: s.table, Family: nftables.TableFamily(s.family)}})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read the set %s of %s: %w", s.name, s.table, err)
		}
		tables[i].add(s, elements)
	}
	for _, t := range tables {
		sortActive(t.Faults)
	}
	return tables, nil
}

// add takes in one set. What it cannot read, a later version may have written.
func (t *table) add(s set, elements []nftables.SetElement) {
	if s.name == leaseSet {
		t.Alive = t.Alive || len(elements) > 0
		return
	}
	f, err := parseComment(s.comment)
	if err != nil || len(elements) == 0 {
		return
	}
	a := Active{Fault: f}
	for _, e := range elements {
		if p, ok := netip.AddrFromSlice(e.Key); ok {
			a.Peers = append(a.Peers, p)
			a.TTL = max(a.TTL, e.Timeout)
			a.Remaining = max(a.Remaining, e.Expires)
		}
	}
	t.Faults = append(t.Faults, a)
}

// set is a set in the kernel, with what package nftables leaves out of it.
type set struct {
	family               family
	table, name, comment string
}

// readSets returns all sets of a namespace.
func readSets(ns int) ([]set, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: entered(ns)})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	defer func() { _ = c.Close() }()
	replies, err := c.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSET),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: []byte{unix.NFPROTO_UNSPEC, 0, 0, 0},
	})
	if err != nil {
		return nil, fmt.Errorf("list the nftables sets: %w", err)
	}
	sets := make([]set, 0, len(replies))
	for _, r := range replies {
		s, err := parseSet(r.Data)
		if err != nil {
			return nil, fmt.Errorf("list the nftables sets: %w", err)
		}
		sets = append(sets, s)
	}
	return sets, nil
}

func parseSet(data []byte) (set, error) {
	if len(data) < 4 {
		return set{}, fmt.Errorf("a set of %d bytes", len(data))
	}
	ad, err := netlink.NewAttributeDecoder(data[4:])
	if err != nil {
		return set{}, err
	}
	s := set{family: family(data[0])}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_SET_TABLE:
			s.table = ad.String()
		case unix.NFTA_SET_NAME:
			s.name = ad.String()
		case unix.NFTA_SET_USERDATA:
			s.comment = commentOf(ad.Bytes())
		}
	}
	return s, ad.Err()
}

// commentOf finds the comment in a set's user data: a byte for the type, one
// for the length, the value.
func commentOf(user []byte) string {
	for len(user) >= 2 && len(user)-2 >= int(user[1]) {
		value := user[2 : 2+int(user[1])]
		if user[0] == udataSetComment && len(value) > 0 {
			return string(value[:len(value)-1])
		}
		user = user[2+len(value):]
	}
	return ""
}

// remove deletes tables of this program; that one is gone already is fine.
func remove(c *conn, t table) error {
	for _, f := range t.families {
		b := newBatch(t.Table)
		b.deleteTable(f)
		if err := b.commit(c); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// List returns the faults of all tables of this program in a namespace, whoever
// owns them, read from the kernel. 0 means the caller's own namespace.
func List(namespace int) ([]Owned, error) {
	tables, err := read(namespace)
	if err != nil {
		return nil, explain(err)
	}
	owned := make([]Owned, len(tables))
	for i, t := range tables {
		owned[i] = t.Owned
	}
	return owned, nil
}

// Clear removes all tables of this program in a namespace, those of live owners
// too, and says how many faults that had not ended and how many tables it
// removed. 0 means the caller's own namespace.
func Clear(namespace int) (faults, tables int, err error) {
	found, err := read(namespace)
	if err != nil || len(found) == 0 {
		return 0, 0, explain(err)
	}
	c, err := dial(namespace)
	if err != nil {
		return 0, 0, explain(fmt.Errorf("open netlink: %w", err))
	}
	defer func() { _ = c.Close() }()
	for _, t := range found {
		if err := remove(c, t); err != nil {
			return faults, tables, explain(fmt.Errorf("remove the table %s: %w", t.Table, err))
		}
		tables++
		faults += len(t.Faults)
	}
	return faults, tables, nil
}
