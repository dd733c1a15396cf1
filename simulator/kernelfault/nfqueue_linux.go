package kernelfault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages of the queue subsystem (linux/netfilter/nfnetlink_queue.h), which
// package unix does not name.
const (
	nfqMsgPacket  = unix.NFNL_SUBSYS_QUEUE << 8
	nfqMsgVerdict = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	nfqMsgConfig  = unix.NFNL_SUBSYS_QUEUE<<8 | 2

	nfqaVerdictHeader = 2

	nfqaCfgCommand   = 1
	nfqaCfgParams    = 2
	nfqaCfgMaxLength = 3
	nfqaCfgMask      = 4
	nfqaCfgFlags     = 5

	nfqCommandBind = 1
	nfqCopyPacket  = 2
	nfqFlagGSO     = 4

	verdictDrop   = 0
	verdictAccept = 1
)

// copyRange is how much of each packet the kernel shows us: the headers, with
// options.
const copyRange = 128

// queue holds packets in one of the kernel's queues until they are due. Only
// their headers come here; a verdict sends a packet on its way.
type queue struct {
	conn   *conn
	number uint16
	rule   []expr.Any
	done   sync.WaitGroup

	mu      sync.Mutex // guards all below
	holder  *holder
	timer   *time.Timer
	lastID  uint32
	dropped uint64
	out     []byte // verdicts to be sent
}

var _ shaper = (*queue)(nil)

// newQueue binds a queue that nobody else uses in the namespace.
func newQueue(ns int) (*queue, error) {
	c, err := dial(ns)
	if err != nil {
		return nil, err
	}
	// What does not fit into the socket is dropped and shows as a gap between
	// packet IDs; it must not be an error for what comes after.
	if err := c.SetOption(netlink.NoENOBUFS, true); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("set up the socket: %w", err)
	}
	q := &queue{conn: c, holder: newHolder()}
	if err := q.bind(); err != nil {
		_ = c.Close()
		return nil, err
	}
	if q.rule, err = queueRule(ns, q.number); err != nil {
		_ = c.Close()
		return nil, err
	}
	q.timer = time.AfterFunc(time.Hour, q.fire)
	q.done.Go(q.read)
	return q, nil
}

// bind takes a number that is free. Queues have no names: another program may
// have any of the 65536.
func (q *queue) bind() error {
	var err error
	for range 64 {
		q.number = uint16(1024 + rand.N(64000))
		err = q.configure(netlink.Attribute{Type: nfqaCfgCommand, Data: []byte{nfqCommandBind, 0, 0, 0}})
		if err == nil || !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("bind an NFQUEUE: %w", err)
	}
	params := append(binary.BigEndian.AppendUint32(nil, copyRange), nfqCopyPacket)
	if err := q.configure(
		netlink.Attribute{Type: nfqaCfgParams, Data: params},
		// Twice what is held, since some are between the kernel and here.
		number(nfqaCfgMaxLength, 2*maxHeld),
		// Large segments come whole: to cut them up would cost time and copies.
		number(nfqaCfgMask, nfqFlagGSO), number(nfqaCfgFlags, nfqFlagGSO),
	); err != nil {
		return fmt.Errorf("configure NFQUEUE %d: %w", q.number, err)
	}
	return nil
}

func (q *queue) configure(attrs ...netlink.Attribute) error {
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return err
	}
	_, err = q.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: nfqMsgConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_UNSPEC, 0, byte(q.number >> 8), byte(q.number)}, data...),
	})
	return err
}

// queueRule finds out how this kernel's nftables sends packets to a queue: by
// itself, or by what it borrows from iptables. Either way packets pass when
// nobody listens any more.
func queueRule(ns int, number uint16) ([]expr.Any, error) {
	own := []expr.Any{&expr.Queue{Num: number, Total: 1, Flag: expr.QueueFlagBypass}}
	errOwn := probe(ns, v4, own...)
	if errOwn == nil {
		return own, nil
	}
	borrowed := []expr.Any{queueTarget(number)}
	errBorrowed := probe(ns, v4, borrowed...)
	if errBorrowed == nil {
		return borrowed, nil
	}
	return nil, fmt.Errorf("no rule to a queue: the nftables expression queue: %w; the iptables target NFQUEUE: %w", errOwn, errBorrowed)
}

// queueTarget is struct xt_NFQ_info_v3: the number, how many queues, and the
// flag for bypassing, padded to 8 bytes.
func queueTarget(number uint16) expr.Any {
	info := binary.NativeEndian.AppendUint16(nil, number)
	info = binary.NativeEndian.AppendUint16(info, 1)
	info = binary.NativeEndian.AppendUint16(info, 1)
	unknown := xt.Unknown(append(info, 0, 0))
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &unknown}
}

func (q *queue) divert() []expr.Any { return q.rule }

func (q *queue) set(faults []*standing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.holder.set(faults)
}

// drops counts the packets dropped because too many were held or the socket was
// full.
func (q *queue) drops() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// read takes packets in until the socket is closed.
func (q *queue) read() {
	for {
		err := q.conn.drain(true, func(typ uint16, _ uint32, body []byte) {
			if typ == nfqMsgPacket {
				q.take(body)
			}
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
		q.fire()
	}
}

// verdictsAtOnce bounds how many packets wait for others while a busy stream is
// read.
const verdictsAtOnce = 64

// take takes one packet in.
func (q *queue) take(body []byte) {
	p, err := parseQueued(body)
	if p.id == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped += uint64(p.id - q.lastID - 1)
	q.lastID = p.id
	now := time.Now()
	switch {
	case err != nil:
		q.verdict(p.id, verdictAccept)
	case !q.holder.add(p, now):
		q.dropped++
		q.verdict(p.id, verdictDrop)
	}
	if p.id%verdictsAtOnce == 0 {
		q.release(now)
	}
}

// fire lets go what is due.
func (q *queue) fire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(time.Now())
}

// release sends the verdicts for what is due, with the lock held so that they
// keep their order, and sets the timer for the rest.
func (q *queue) release(now time.Time) {
	ids, next := q.holder.due(now)
	for _, id := range ids {
		q.verdict(id, verdictAccept)
	}
	if len(q.out) > 0 {
		// A verdict that cannot be sent means that the socket is closed, and the
		// kernel has dropped what it held.
		_ = q.conn.send(q.out)
		q.out = q.out[:0]
	}
	if !next.IsZero() {
		q.timer.Reset(time.Until(next))
	}
}

const verdictLen = headerLen + 4 + 4 + 8

func (q *queue) verdict(id uint32, what uint32) {
	if len(q.out)+verdictLen > 64<<10 {
		_ = q.conn.send(q.out)
		q.out = q.out[:0]
	}
	b := binary.NativeEndian.AppendUint32(q.out, verdictLen)
	b = binary.NativeEndian.AppendUint16(b, nfqMsgVerdict)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence number and port: none
	b = append(b, unix.AF_UNSPEC, 0, byte(q.number>>8), byte(q.number))
	b = binary.NativeEndian.AppendUint16(b, 12)
	b = binary.NativeEndian.AppendUint16(b, nfqaVerdictHeader)
	b = binary.BigEndian.AppendUint32(b, what)
	q.out = binary.BigEndian.AppendUint32(b, id)
}

// close lets all packets go and gives the queue back. Rules that still lead to
// it let packets pass from now on.
func (q *queue) close() {
	q.mu.Lock()
	q.holder.set(nil)
	q.release(time.Now().Add(1000 * time.Hour)) // whatever is held is due by then
	q.mu.Unlock()
	_ = q.conn.Close()
	q.done.Wait()
	q.timer.Stop()
}
