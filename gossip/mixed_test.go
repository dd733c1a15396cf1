package gossip

import (
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"heartbeat/gossip/transport"
)

// mutable is a transport that can be made to send nothing and to answer no stream, like that of a node that is frozen but for
// what it hears.
type mutable struct {
	memberlist.NodeAwareTransport
	mute    atomic.Bool
	streams chan net.Conn
	stop    chan struct{}
	once    sync.Once
}

func newMutable(inner memberlist.NodeAwareTransport) *mutable {
	m := &mutable{NodeAwareTransport: inner, streams: make(chan net.Conn), stop: make(chan struct{})}
	go func() {
		for {
			select {
			case conn := <-inner.StreamCh():
				if m.mute.Load() {
					conn.Close()
					continue
				}
				select {
				case m.streams <- conn:
				case <-m.stop:
					conn.Close()
					return
				}
			case <-m.stop:
				return
			}
		}
	}()
	return m
}

func (m *mutable) StreamCh() <-chan net.Conn { return m.streams }

func (m *mutable) WriteTo(b []byte, addr string) (time.Time, error) {
	return m.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (m *mutable) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if m.mute.Load() {
		return time.Now(), nil
	}
	return m.NodeAwareTransport.WriteToAddress(b, to)
}

func (m *mutable) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if m.mute.Load() {
		return nil, fmt.Errorf("dialling %s: muted", to.Addr)
	}
	return m.NodeAwareTransport.DialAddressTimeout(to, timeout)
}

// Shutdown takes what is accepted meanwhile until the inner transport, which waits for that, has ended.
func (m *mutable) Shutdown() error {
	err := m.NodeAwareTransport.Shutdown()
	m.once.Do(func() { close(m.stop) })
	return err
}

// peer is a node of the mixed cluster: one of ours, or a bare memberlist.
type peer struct {
	name string
	net  *mutable
	ours *Node
	bare *memberlist.Memberlist
	met  *met // of a bare one
	gone bool
}

func (p *peer) addr() string {
	ip, port, err := p.net.FinalAdvertiseAddr("", 0)
	if err != nil {
		panic(err)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}

func (p *peer) join(t *testing.T, via *peer) {
	t.Helper()
	var err error
	if p.ours != nil {
		_, err = p.ours.Join(t.Context(), []string{via.addr()})
	} else {
		_, err = p.bare.Join([]string{via.addr()})
	}
	if err != nil {
		t.Fatalf("%s joins through %s: %v", p.name, via.name, err)
	}
}

// kill ends the node without a word, leave with one.
func (p *peer) kill(t *testing.T) {
	t.Helper()
	if p.gone {
		return
	}
	p.gone = true
	var err error
	if p.ours != nil {
		err = p.ours.Close()
	} else {
		err = p.bare.Shutdown()
	}
	if err != nil {
		t.Errorf("ending %s: %v", p.name, err)
	}
}

func (p *peer) leave(t *testing.T) {
	t.Helper()
	var err error
	if p.ours != nil {
		err = p.ours.Leave(t.Context())
	} else {
		err = p.bare.Leave(10 * time.Second)
	}
	if err != nil {
		t.Errorf("%s leaves: %v", p.name, err)
	}
	p.kill(t)
}

// state is how the node sees a member: a bare one tells only suspect and alive from gone.
func (p *peer) state(name string) string {
	if p.ours != nil {
		m, ok := p.ours.View().Member(name)
		if !ok {
			return "gone"
		}
		return m.State.String()
	}
	for _, m := range p.bare.Members() {
		if m.Name == name {
			return "alive"
		}
	}
	return "gone"
}

// meta is what the node holds as the member's metadata; our own nodes show them as tags.
func (p *peer) meta(name string) string {
	if p.ours != nil {
		m, _ := p.ours.View().Member(name)
		return fmt.Sprint(m.Tags)
	}
	p.met.mu.Lock()
	defer p.met.mu.Unlock()
	return p.met.meta[name]
}

// met is what the engine of a bare node told of metadata; the nodes that it lists itself change under one's hands.
type met struct {
	mu   sync.Mutex
	meta map[string]string // guarded by mu
}

func (m *met) NotifyJoin(n *memberlist.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta[n.Name] = string(n.Meta)
}

func (m *met) NotifyUpdate(n *memberlist.Node) { m.NotifyJoin(n) }
func (m *met) NotifyLeave(*memberlist.Node)    {}

// bareMeta is the delegate of the bare nodes.
type bareMeta string

func (m bareMeta) NodeMeta(int) []byte           { return []byte(m) }
func (bareMeta) NotifyMsg([]byte)                {}
func (bareMeta) GetBroadcasts(int, int) [][]byte { return nil }
func (bareMeta) LocalState(bool) []byte          { return []byte("its own state") }
func (bareMeta) MergeRemoteState([]byte, bool)   {}

// mixed is a cluster in which every other node is a bare memberlist, with the library's defaults but for the times.
type mixed struct {
	t     *testing.T
	peers []*peer
	key   []byte
	edit  func(*Config)
}

func (c *mixed) addOurs(name string) *peer {
	c.t.Helper()
	cfg := quick(name)
	cfg.SuspicionMult = 4
	cfg.Tags = map[string]string{"of": name}
	c.edit(&cfg)
	tr, err := transport.New(transport.Config{Bind: c.host(), Label: cfg.Cluster, Logger: zerolog.Nop()})
	if err != nil {
		c.t.Fatal(err)
	}
	p := &peer{name: name, net: newMutable(tr)}
	cfg.Transport = struct {
		*mutable
		hooked
	}{p.net, tr}
	p.ours = start(c.t, cfg)
	return c.add(p)
}

func (c *mixed) addBare(name string) *peer {
	c.t.Helper()
	tr, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{c.host()}, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		c.t.Fatal(err)
	}
	p := &peer{name: name, net: newMutable(tr), met: &met{meta: make(map[string]string)}}
	want := quick(name)
	mc := memberlist.DefaultLANConfig()
	mc.Name, mc.Label, mc.Transport, mc.SecretKey = name, want.Cluster, p.net, c.key
	mc.ProbeInterval, mc.ProbeTimeout, mc.GossipInterval = want.ProbeInterval, want.ProbeTimeout, want.GossipInterval
	mc.TCPTimeout = time.Second
	mc.PushPullInterval = time.Second // gossip alone misses a node now and then, in a cluster as small as this
	mc.Delegate = bareMeta("meta of " + name + " \x00\xff")
	mc.Events = p.met
	mc.LogOutput = io.Discard
	if p.bare, err = memberlist.Create(mc); err != nil {
		c.t.Fatal(err)
	}
	return c.add(p)
}

func (c *mixed) host() string { return fmt.Sprintf("127.0.0.%d", 10+len(c.peers)) }

func (c *mixed) add(p *peer) *peer {
	c.peers = append(c.peers, p)
	c.t.Cleanup(func() { p.kill(c.t) })
	return p
}

// seen waits until every other node that runs holds the member in one of the states.
func (c *mixed) seen(p *peer, states ...string) {
	c.t.Helper()
	eventually(c.t, func() error {
		for _, observer := range c.peers {
			if observer.gone || observer == p {
				continue
			}
			got, ok := observer.state(p.name), false
			for _, s := range states {
				ok = ok || got == s
			}
			if !ok {
				return fmt.Errorf("%s sees %s %s, not %v", observer.name, p.name, got, states)
			}
		}
		return nil
	})
}

// seenWith waits until every node that runs holds the metadata of every other unchanged.
func (c *mixed) seenWith(tags string) {
	c.t.Helper()
	eventually(c.t, func() error {
		for _, observer := range c.peers {
			for _, p := range c.peers {
				want := fmt.Sprint(map[string]string(nil)) // what is no tags of ours shows as none
				switch {
				case observer.gone || p.gone || observer == p:
					continue
				case observer.bare != nil && p.bare != nil:
					want = "meta of " + p.name + " \x00\xff"
				case observer.bare != nil:
					want = string(p.ours.tags.Load().meta)
				case p.ours != nil:
					want = fmt.Sprint(map[string]string{"of": p.name, "k": tags})
					if tags == "" {
						want = fmt.Sprint(map[string]string{"of": p.name})
					}
				}
				if got := observer.meta(p.name); got != want {
					return fmt.Errorf("%s holds metadata %q of %s, not %q", observer.name, got, p.name, want)
				}
			}
		}
		return nil
	})
}

// refutes mutes the node until one of ours suspects it, and waits until that has been refuted everywhere.
func (c *mixed) refutes(p *peer) {
	c.t.Helper()
	var observer *peer
	for _, o := range c.peers {
		if o.ours != nil && o != p {
			observer = o
		}
	}
	before, _ := observer.ours.View().Member(p.name)
	p.net.mute.Store(true)
	eventually(c.t, func() error {
		if got := observer.state(p.name); got != "suspect" && got != "failed" {
			return fmt.Errorf("%s sees %s %s though it is mute", observer.name, p.name, got)
		}
		return nil
	})
	p.net.mute.Store(false)
	c.seen(p, "alive")
	if m, _ := observer.ours.View().Member(p.name); m.Incarnation != 0 && m.Incarnation <= before.Incarnation { // 0: heard of by an exchange of state
		c.t.Errorf("%s came back at incarnation %d, not above %d", p.name, m.Incarnation, before.Incarnation)
	}
}

// Half of the nodes are bare memberlist: all join through each other, see the others fail, refute and leave, and pass on the
// metadata of both kinds as it is.
func TestMixedCluster(t *testing.T) {
	for _, detector := range Detectors() {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/encrypted=%v", detector, encrypted), func(t *testing.T) {
				c := &mixed{t: t, edit: func(cfg *Config) { cfg.Detector = detector }}
				if encrypted {
					text := newKey(t, 256)
					key, err := ParseKey(text)
					if err != nil {
						t.Fatal(err)
					}
					c.key = key
					c.edit = func(cfg *Config) {
						cfg.Detector = detector
						if cfg.Keyring, err = NewKeyring(text); err != nil {
							t.Fatal(err)
						}
					}
				}
				bare1, ours1 := c.addBare("bare1"), c.addOurs("ours1")
				ours1.join(t, bare1)
				bare2 := c.addBare("bare2")
				bare2.join(t, ours1)
				ours2 := c.addOurs("ours2")
				ours2.join(t, bare2)
				bare3, ours3 := c.addBare("bare3"), c.addOurs("ours3")
				bare3.join(t, ours2)
				ours3.join(t, ours1)
				bare4, ours4 := c.addBare("bare4"), c.addOurs("ours4")
				bare4.join(t, bare3)
				ours4.join(t, bare4)
				for _, p := range c.peers {
					c.seen(p, "alive")
				}
				c.seenWith("")
				for _, p := range []*peer{ours1, ours2, ours3, ours4} {
					if _, err := p.ours.UpdateTags(t.Context(), map[string]string{"k": "new"}, nil); err != nil {
						t.Error(err)
					}
				}
				c.seenWith("new")

				c.refutes(bare1)
				c.refutes(ours1)

				bare2.kill(t)
				ours2.kill(t)
				c.seen(bare2, "failed", "gone")
				c.seen(ours2, "failed", "gone")

				bare3.leave(t)
				ours3.leave(t)
				c.seen(bare3, "left", "gone", "failed") // its goodbye is two packets, and when both miss a node it is failed there
				c.seen(ours3, "left", "gone")
				for _, p := range []*peer{bare1, ours1, bare4, ours4} {
					c.seen(p, "alive")
				}
				c.seenWith("new")
			})
		}
	}
}
