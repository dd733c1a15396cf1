package gossip

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"heartbeat/gossip/transport"
	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// Node is a member of a cluster: it joins others, watches them, is watched and
// keeps a view of them all. All methods are safe for concurrent use; what they
// return is the caller's, and none of them calls the caller back.
//
// One goroutine per node drains the queue of what the engine and the tap have
// seen into the membership core, one heals, and another writes changes to the log;
// everything else runs in the engine's goroutines or the caller's.
type Node struct {
	cfg       Config
	log       zerolog.Logger
	engine    *memberlist.Memberlist
	tap       *tap
	sockets   *transport.Transport // nil with a Transport of the caller's
	transport memberlist.Transport // sockets, or the caller's
	running   atomic.Bool          // set once engine is; delegates may run before
	bind      string
	// fixedPort tells that the port was chosen by the operator.
	fixedPort bool
	// advertise is the address under which the others know this node.
	advertise netip.AddrPort
	epoch     string
	life      uint32 // tells the others this process from an earlier one of the same name
	started   time.Time

	inbox       *inbox
	events      *eventLog
	user        *userQueue
	testimonies *testimonyQueue
	direct      budget // guarded by mu; for what the core wants to be known at once
	inquiries   budget // guarded by mu; for asking members on behalf of a verdict
	directSent  atomic.Uint64
	book        addressBook
	share       share // of our own messages in what is sent
	roster      *roster
	healing     healing
	health      atomic.Int64 // the engine's health score as last told to the core
	digests     digests

	mu   sync.Mutex       // held for one drain of the inbox; nothing is called back under it
	core *membership.Core // guarded by mu

	// turn is held by UpdateTags, by Leave and for the engine's shutdown: the
	// engine panics when it is told to leave while it shuts down, and would let
	// an update wait in vain for packets that neither a node that left nor one
	// that shuts down sends.
	turn sync.Mutex
	tags atomic.Pointer[localTags]
	left atomic.Bool

	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc
	closed  sync.Once
	loop    sync.WaitGroup // the goroutines that drain the inbox, that heal and that exchange state
	logging sync.WaitGroup // the goroutine that writes changes to the log
	opsMu   sync.RWMutex   // held for writing once, by Close, so that no operation begins after it
	ops     sync.WaitGroup // operations of callers that use the engine
	looks   sync.WaitGroup // probes that the core asked for; none begins after ctx is done

	reconciling atomic.Bool // an exchange that the core asked for is under way
}

// localTags are this node's tags with their encoding, replaced as one.
type localTags struct {
	tags map[string]string
	meta []byte
}

// Start opens the sockets and starts a node that is alone until it joins
// others. ctx bounds the start only. On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration does not fit:\n%w", err)
	}
	cfg.Tags = maps.Clone(cfg.Tags)
	n := &Node{
		cfg:     cfg,
		log:     cfg.Logger,
		epoch:   newEpoch(),
		life:    max(mathrand.Uint32(), 1),
		started: time.Now(),
		inbox:   newInbox(),
		healing: healing{wake: make(chan struct{}, 1)},
		events:  newEventLog(cfg.EventBuffer),
		roster:  newRoster(cfg.MaxMembers, cfg.engineMemory),
	}
	n.user = newUserQueue(3*cfg.RetransmitMult, n.roster.size) // orders are rare and must arrive
	n.testimonies = newTestimonyQueue(cfg.RetransmitMult, n.roster.size)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.initCore(); err != nil {
		return nil, err
	}
	if cfg.SyncDigest {
		n.digests.init(n)
	}
	if err := n.startEngine(); err != nil {
		n.cancel()
		return nil, err
	}
	n.loop.Go(n.run)
	if cfg.SyncDigest {
		n.loop.Go(n.digests.keepUp)
	}
	if cfg.HealInterval > 0 {
		n.loop.Go(n.heal)
	}
	if n.log.Warn().Enabled() {
		n.logging.Go(n.logChanges)
	}
	return n, nil
}

func newEpoch() string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func (n *Node) initCore() error {
	meta, err := wire.EncodeMeta(n.cfg.Tags, n.life)
	if err != nil {
		return fmt.Errorf("cannot encode the tags: %w", err)
	}
	n.tags.Store(&localTags{tags: n.cfg.Tags, meta: meta})
	n.core, err = membership.New(membership.Config{
		Self:            n.cfg.Name,
		SuspicionLapse:  n.cfg.longestSuspicion(),
		FailedRetention: n.cfg.ForgetFailed,
		LeftRetention:   n.cfg.ForgetLeft,
		MaxMembers:      n.cfg.MaxMembers,
		JournalTotal:    n.cfg.JournalSize,
		Verdicts:        n.cfg.verdicts(),
	}, n.started)
	if err != nil {
		return fmt.Errorf("cannot set up the membership table: %w", err)
	}
	return nil
}

// startEngine opens the transport and starts memberlist on it.
func (n *Node) startEngine() error {
	n.tap = newTap(n)
	inner, err := n.openTransport()
	if err != nil {
		return err
	}
	if err := n.checkOwnAddress(inner); err != nil {
		_ = inner.Shutdown()
		return err
	}
	n.transport = inner
	engineConfig := n.engineConfig(n.tap.wrap(inner))
	n.engine, err = memberlist.Create(engineConfig)
	if err != nil {
		n.tap.close()
		_ = inner.Shutdown()
		return fmt.Errorf("cannot start the engine: %w", err)
	}
	n.running.Store(true)
	return nil
}

func (n *Node) openTransport() (memberlist.Transport, error) {
	if n.cfg.Transport != nil {
		n.bind = "(given transport)"
		return n.cfg.Transport, nil
	}
	tr, err := transport.New(transport.Config{
		Bind:          n.cfg.Bind,
		Port:          n.cfg.Port,
		MaxStreams:    n.cfg.MaxStreams,
		StreamTimeout: 2 * n.cfg.StreamTimeout,
		MaxMembers:    n.cfg.MaxMembers,
		Label:         n.cfg.Cluster,
		Logger:        n.log,
	})
	if err != nil {
		return nil, err
	}
	n.sockets = tr
	n.fixedPort = n.cfg.Port != 0
	n.cfg.Port = tr.Port()
	n.bind = net.JoinHostPort(n.cfg.Bind, strconv.Itoa(tr.Port()))
	return tr, nil
}

// checkOwnAddress refuses a node whose own address is outside of the allowed
// networks: the engine would not list it and then panic when it leaves.
func (n *Node) checkOwnAddress(tr memberlist.Transport) error {
	ip, port, err := tr.FinalAdvertiseAddr(n.cfg.Advertise, n.cfg.AdvertisePort)
	if err != nil {
		return fmt.Errorf("cannot tell which address to advertise: %w; set network.advertise", err)
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return fmt.Errorf("the address to advertise, %q, is not an IP address", ip)
	}
	n.advertise = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	if n.sockets != nil {
		n.sockets.SetClassify(n.classify)
	}
	if n.allowed(addr.Unmap()) {
		return nil
	}
	return fmt.Errorf("this node's own address %s is in none of the allowed networks %v: add its network or advertise another address", addr.Unmap(), n.cfg.AllowedNetworks)
}

// allowed reports whether members may have that address.
func (n *Node) allowed(addr netip.Addr) bool {
	return len(n.cfg.AllowedNetworks) == 0 ||
		slices.ContainsFunc(n.cfg.AllowedNetworks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// run drains the inbox whenever something came in or the core wants to be
// woken.
func (n *Node) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(n.drain())
		select {
		case <-n.inbox.wake:
		case <-timer.C:
			n.inbox.put(membership.Tick{})
		case <-n.ctx.Done():
			return
		}
	}
}

// maxIdle bounds how long the loop sleeps when the core asks for nothing.
const maxIdle = time.Hour

// drain steps the core through everything that is queued and returns how long
// it may then be left alone.
func (n *Node) drain() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drainLocked()
	wake, ok := n.core.NextWake()
	if !ok {
		return maxIdle
	}
	return min(max(time.Until(wake), 0), maxIdle)
}

func (n *Node) drainLocked() {
	for {
		batch := n.inbox.take()
		if len(batch) == 0 {
			return
		}
		now := time.Now()
		for _, in := range batch {
			for _, effect := range n.core.Step(now, in) {
				n.carryOut(effect)
			}
		}
		n.inbox.recycle(batch)
		if n.cfg.SyncDigest {
			n.digests.publish(n.core.Digest(), now)
		}
	}
}

// logChanges writes changes to the log, in a goroutine of its own and without a
// lock: the writer may be slow, and may ask the node. It ends with the events.
func (n *Node) logChanges() {
	for w := n.events.watch(1); ; {
		ev, err := w.Next(context.Background())
		switch {
		case err != nil:
			return
		case ev.Lost > 0:
			n.log.Warn().Uint64("lost", ev.Lost).Msg("the log is slower than what happens; changes are missing here")
		default:
			n.logChange(ev.Change)
		}
	}
}

func (n *Node) logChange(c membership.Change) {
	var ev *zerolog.Event
	switch c.Kind {
	case membership.ChangeFailed, membership.ChangeConflict, membership.ChangeCondition:
		ev = n.log.Warn()
	case membership.ChangeSuspected, membership.ChangeRefuted, membership.ChangeUpdated:
		ev = n.log.Debug()
	default:
		ev = n.log.Info()
	}
	if ev == nil {
		return
	}
	ev = ev.Str("event", c.Kind.String())
	if c.Kind == membership.ChangeCondition {
		ev.Stringer("condition", c.Condition).Msg(c.Reason)
		return
	}
	if len(c.By) > 0 {
		ev = ev.Strs("by", c.By)
	}
	ev.Str("member", c.Member.Name).Stringer("addr", c.Member.Addr).Msg(c.Reason)
}

// View returns the members as this node knows them now. It includes whatever
// the node's own earlier calls have brought in. The result never changes.
func (n *Node) View() *membership.View {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drainLocked()
	return n.core.View(time.Now())
}

// Self returns this node as a member.
func (n *Node) Self() membership.Member { return n.View().Self() }

// Watch returns a watcher of this node's events. from is the ID of the first
// event wanted; 0 means those from now on. Any number of watchers may exist.
func (n *Node) Watch(from uint64) *Watcher {
	n.drain() // what happened before this call is not "from now on"
	return n.events.watch(from)
}

// Epoch names this run of the node. Event IDs of different epochs are not
// comparable.
func (n *Node) Epoch() string { return n.epoch }

// Journal returns what the node has noted about a member, oldest first; the
// empty name returns all of it. The length is bounded per member and in all.
func (n *Node) Journal(name string) []membership.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drainLocked()
	return n.core.Journal(name)
}

// RTT returns the round-trip time of the last direct probe that the member
// answered; false when there was none since it joined.
func (n *Node) RTT(name string) (time.Duration, bool) { return n.roster.rttOf(name) }

// Keyring returns the node's keys; nil without encryption.
func (n *Node) Keyring() *Keyring { return n.cfg.Keyring }

// Info summarises the node.
func (n *Node) Info() Info {
	view := n.View()
	counts := make(map[membership.State]int, 4)
	for _, s := range []membership.State{membership.Alive, membership.Suspect, membership.Failed, membership.Left} {
		counts[s] = view.Count(s)
	}
	info := Info{
		Name:              n.cfg.Name,
		Cluster:           n.cfg.Cluster,
		Profile:           n.cfg.Profile,
		Detector:          n.cfg.Detector,
		Bind:              n.bind,
		Advertise:         view.Self().Addr.String(),
		Epoch:             n.epoch,
		Started:           n.started,
		Condition:         view.Condition(),
		HealthScore:       n.engine.GetHealthScore(),
		Members:           counts,
		Encrypted:         n.cfg.Keyring != nil,
		Left:              n.left.Load(),
		PendingBroadcasts: n.user.pending(),
		ViewVersion:       view.Version(),
	}
	if n.cfg.SyncDigest {
		digest, counts := n.digests.info()
		info.Digest, info.LastAgreed, info.LastDiffered = &digest, counts.LastAgree, counts.LastDiffer
	}
	return info
}

// Stats are counters since the node's start.
type Stats struct {
	Transport transport.Stats // zero with a Transport of the caller's
	// Tap counts what was read off passing packets.
	Tap wire.Stats
	// DroppedInputs are accusations and refutations that were not looked at
	// because too many were waiting.
	DroppedInputs uint64
	// UserPackets are packets sent that hold our own messages alone, because the engine had left them no room.
	UserPackets uint64
	// DirectPackets are accusations and testimonies that were sent directly to a witness or another member, beside gossip.
	DirectPackets uint64
	// IgnoredMembers are names that did not fit into the table.
	IgnoredMembers uint64
	// Verdicts counts what came of accusations; all 0 with DetectorMemberlist.
	Verdicts membership.Tally
	// Heard counts what was said about members, whoever decides.
	Heard membership.Counts
	// Digest counts what came of comparing digests; all 0 without sync.digest.
	Digest DigestCounts
	// Heal counts attempts to find failed members and seeds again.
	Heal HealStats
	// Events is the ID of the newest event.
	Events uint64
}

// Stats returns the node's counters.
func (n *Node) Stats() Stats {
	s := Stats{Tap: n.tap.peeker.Stats(), DroppedInputs: n.inbox.droppedCount(), Events: n.events.last()}
	s.Heal = HealStats{Attempts: n.healing.attempts.Load(), Reached: n.healing.reached.Load(), Heals: n.healing.heals.Load()}
	s.UserPackets, s.DirectPackets = n.share.extra.Load(), n.directSent.Load()
	if n.sockets != nil {
		s.Transport = n.sockets.Stats()
	}
	_, s.Digest = n.digests.info()
	n.mu.Lock()
	defer n.mu.Unlock()
	s.Verdicts, s.Heard = n.core.Tally(), n.core.Counts()
	s.IgnoredMembers = n.core.Ignored() + n.roster.refused()
	return s
}
