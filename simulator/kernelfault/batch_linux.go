package kernelfault

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// family is an address family as netfilter numbers them; a table has one.
type family byte

const (
	v4 family = unix.NFPROTO_IPV4
	v6 family = unix.NFPROTO_IPV6
)

// batch collects nftables messages that take effect together or not at all.
// Messages are written here and not by package nftables' Conn, because that
// asks for an echo of each rule and cannot tell echoes from acknowledgements
// when a transaction is large.
type batch struct {
	table string
	buf   []byte
	steps []string // what each message does, for errors; the first begins the batch
	err   error    // the first message that could not be written
}

func newBatch(table string) *batch {
	b := &batch{table: table}
	b.message("begin a transaction", unix.NFNL_MSG_BATCH_BEGIN, 0, []byte{0, 0, 0, unix.NFNL_SUBSYS_NFTABLES})
	return b
}

const headerLen = unix.SizeofNlMsghdr

func (b *batch) message(step string, typ, flags uint16, body []byte) {
	length := headerLen + len(body)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, uint32(length))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, unix.NLM_F_REQUEST|flags)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, uint32(len(b.steps))) // the sequence number
	b.buf = binary.NativeEndian.AppendUint32(b.buf, 0)
	b.buf = append(b.buf, body...)
	b.buf = append(b.buf, make([]byte, -length&3)...)
	b.steps = append(b.steps, step)
}

func (b *batch) nft(step string, typ int, flags uint16, f family, attrs ...netlink.Attribute) {
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("%s: %w", step, err)
	}
	b.message(step, unix.NFNL_SUBSYS_NFTABLES<<8|uint16(typ), flags, append([]byte{byte(f), 0, 0, 0}, data...))
}

func text(typ uint16, s string) netlink.Attribute {
	return netlink.Attribute{Type: typ, Data: append([]byte(s), 0)}
}

func number(typ uint16, n uint32) netlink.Attribute {
	return netlink.Attribute{Type: typ, Data: binary.BigEndian.AppendUint32(nil, n)}
}

// nest never fails but for contents of more than 64 KiB, which none of the
// callers makes.
func nest(typ uint16, attrs ...netlink.Attribute) netlink.Attribute {
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		panic(fmt.Sprintf("kernelfault: attribute %d: %v", typ, err))
	}
	return netlink.Attribute{Type: unix.NLA_F_NESTED | typ, Data: data}
}

// addTable fails in the kernel when the table exists.
func (b *batch) addTable(f family) {
	b.nft("make the table", unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f, text(unix.NFTA_TABLE_NAME, b.table))
}

func (b *batch) deleteTable(f family) {
	b.nft("remove the table", unix.NFT_MSG_DELTABLE, 0, f, text(unix.NFTA_TABLE_NAME, b.table))
}

// addChain makes a chain, a base chain when hook is not nil.
func (b *batch) addChain(f family, name string, hook *uint32) {
	attrs := []netlink.Attribute{text(unix.NFTA_CHAIN_TABLE, b.table), text(unix.NFTA_CHAIN_NAME, name)}
	if hook != nil {
		priority := int32(hookPriority)
		attrs = append(attrs,
			nest(unix.NFTA_CHAIN_HOOK, number(unix.NFTA_HOOK_HOOKNUM, *hook), number(unix.NFTA_HOOK_PRIORITY, uint32(priority))),
			text(unix.NFTA_CHAIN_TYPE, "filter"))
	}
	b.nft("make the chain "+name, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, f, attrs...)
}

// flushChain removes a chain's rules.
func (b *batch) flushChain(f family, name string) {
	b.nft("empty the chain "+name, unix.NFT_MSG_DELRULE, 0, f, text(unix.NFTA_RULE_TABLE, b.table), text(unix.NFTA_RULE_CHAIN, name))
}

// addRule appends a rule to a chain.
func (b *batch) addRule(f family, chain, step string, exprs ...expr.Any) {
	list := make([]netlink.Attribute, len(exprs))
	for i, e := range exprs {
		data, err := expr.Marshal(byte(f), e)
		if err != nil && b.err == nil {
			b.err = fmt.Errorf("%s: %w", step, err)
		}
		list[i] = netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: data}
	}
	b.nft(step, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, f,
		text(unix.NFTA_RULE_TABLE, b.table), text(unix.NFTA_RULE_CHAIN, chain), nest(unix.NFTA_RULE_EXPRESSIONS, list...))
}

// What package unix does not name.
const (
	udataSetKeyByteOrder = 0
	udataSetComment      = 7
	keyTypeIPv4          = 7
	keyTypeIPv6          = 8
	keyTypeInteger       = 4
)

// addSet makes a set whose elements have timeouts.
func (b *batch) addSet(f family, name string, keyType, keyLen uint32, comment string) {
	attrs := []netlink.Attribute{
		text(unix.NFTA_SET_TABLE, b.table),
		text(unix.NFTA_SET_NAME, name),
		number(unix.NFTA_SET_FLAGS, unix.NFT_SET_TIMEOUT),
		number(unix.NFTA_SET_KEY_TYPE, keyType),
		number(unix.NFTA_SET_KEY_LEN, keyLen),
		number(unix.NFTA_SET_ID, uint32(len(b.steps))), // unique in the batch
	}
	user := binary.NativeEndian.AppendUint32([]byte{udataSetKeyByteOrder, 4}, 2) // network order
	if comment != "" {
		user = append(user, udataSetComment, byte(len(comment)+1))
		user = append(append(user, comment...), 0)
	}
	attrs = append(attrs, netlink.Attribute{Type: unix.NFTA_SET_USERDATA, Data: user})
	b.nft("make the set "+name, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f, attrs...)
}

func (b *batch) deleteSet(f family, name string) {
	b.nft("remove the set "+name, unix.NFT_MSG_DELSET, 0, f, text(unix.NFTA_SET_TABLE, b.table), text(unix.NFTA_SET_NAME, name))
}

// elementsAtOnce bounds the elements in one message: a nested attribute holds
// at most 64 KiB.
const elementsAtOnce = 512

// addElements adds keys that end after the given time, in milliseconds.
func (b *batch) addElements(f family, set string, keys [][]byte, ms uint64) {
	for len(keys) > 0 {
		n := min(len(keys), elementsAtOnce)
		list := make([]netlink.Attribute, n)
		for i, key := range keys[:n] {
			list[i] = nest(unix.NFTA_LIST_ELEM,
				nest(unix.NFTA_SET_ELEM_KEY, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: key}),
				netlink.Attribute{Type: unix.NFTA_SET_ELEM_TIMEOUT, Data: binary.BigEndian.AppendUint64(nil, ms)})
		}
		b.nft("fill the set "+set, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f,
			text(unix.NFTA_SET_ELEM_LIST_TABLE, b.table), text(unix.NFTA_SET_ELEM_LIST_SET, set),
			nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
		keys = keys[n:]
	}
}

// commit sends the batch and returns when the kernel has carried it out or
// refused it, with the first reason. After an error nothing has changed.
func (b *batch) commit(c *conn) error {
	if b.err != nil {
		return b.err
	}
	b.message("end the transaction", unix.NFNL_MSG_BATCH_END, 0, []byte{0, 0, 0, unix.NFNL_SUBSYS_NFTABLES})
	if err := c.send(b.buf); err != nil {
		return fmt.Errorf("send %d bytes to nftables: %w", len(b.buf), err)
	}
	var first error
	// The kernel works within the send, so whatever it has to say is there by
	// now. It speaks of failed messages only: none means success.
	err := c.drain(false, func(typ uint16, seq uint32, body []byte) {
		if typ != unix.NLMSG_ERROR || len(body) < 4 || first != nil {
			return
		}
		if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
			step := "do the transaction"
			if 0 < seq && int(seq) < len(b.steps) {
				step = b.steps[seq]
			}
			first = fmt.Errorf("%s: %w", step, unix.Errno(errno))
		}
	})
	if first != nil {
		return first
	}
	return err
}
