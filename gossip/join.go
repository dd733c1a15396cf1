package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SplitSeed reads a seed: "host", "host:port", an IPv4 or IPv6 address with or
// without port, the latter in brackets when a port follows. Without a port it
// is defaultPort.
func SplitSeed(seed string, defaultPort int) (host string, port int, err error) {
	host, port = strings.TrimSpace(seed), defaultPort
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip.String(), port, nil
	}
	if strings.Contains(host, ":") {
		var text string
		if host, text, err = net.SplitHostPort(host); err != nil {
			return "", 0, fmt.Errorf("%q is not host, host:port or [IPv6]:port", seed)
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("%q has no port from 1 to 65535", seed)
		}
		port = int(n)
	}
	if host == "" || strings.ContainsAny(host, " /\t\r\n@[]") {
		return "", 0, fmt.Errorf("%q is not host, host:port or [IPv6]:port", seed)
	}
	return host, port, nil
}

// maxDials bounds the seeds that are tried at the same time.
const maxDials = 16

// Join makes this node a member of the cluster that the seeds belong to. All
// are resolved and tried in parallel; one answer is enough. A seed that is this
// node itself is passed over, and when there is no other the node is the first
// of its cluster, which is no error. When none answered, the error joins one
// *SeedError each. Canceling ctx returns early; exchanges under way then end on
// their own within StreamTimeout.
func (n *Node) Join(ctx context.Context, seeds []string) (JoinResult, error) {
	if err := n.begin(); err != nil {
		return JoinResult{}, err
	}
	defer n.ops.Done()
	if len(seeds) == 0 {
		return JoinResult{}, errors.New("no seed is given to join through")
	}
	targets, result, self := n.resolveSeeds(ctx, seeds)
	for _, r := range n.tryTargets(ctx, targets) {
		if r.Err == nil {
			result.Joined = append(result.Joined, r.Addr)
		} else {
			result.Failed = append(result.Failed, r)
		}
	}
	if err := ctx.Err(); err != nil && len(result.Joined) == 0 {
		return result, fmt.Errorf("joining was given up: %w", context.Cause(ctx))
	}
	if len(result.Joined) > 0 || self && len(result.Failed) == 0 {
		return result, nil
	}
	errs := make([]error, len(result.Failed))
	for i, f := range result.Failed {
		errs[i] = f
	}
	return result, errors.Join(errs...)
}

// resolveSeeds turns seeds into addresses, each once, without this node's own.
// It says whether a seed was this node.
func (n *Node) resolveSeeds(ctx context.Context, seeds []string) (targets []*SeedError, result JoinResult, self bool) {
	type answer struct {
		addrs []netip.AddrPort
		err   error
	}
	answers := make([]answer, len(seeds))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxDials)
	for i, seed := range seeds {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i].addrs, answers[i].err = n.resolve(ctx, seed)
		})
	}
	wg.Wait()
	seen := make(map[netip.AddrPort]bool)
	for i, a := range answers {
		if a.err != nil {
			result.Failed = append(result.Failed, &SeedError{Seed: seeds[i], Err: a.err})
		}
		for _, addr := range a.addrs {
			switch {
			case seen[addr]:
			case n.isSelf(addr):
				self = true
			default:
				targets = append(targets, &SeedError{Seed: seeds[i], Addr: addr.String()})
			}
			seen[addr] = true
		}
	}
	return targets, result, self
}

func (n *Node) resolve(ctx context.Context, seed string) ([]netip.AddrPort, error) {
	host, port, err := SplitSeed(seed, n.defaultPort())
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("the name %q cannot be resolved: %w", host, err)
	}
	if n.sockets != nil && n.cfg.Bind != "::" {
		if ips = sameFamily(ips, n.advertise.Addr()); len(ips) == 0 {
			return nil, fmt.Errorf("the name %q has no address of the family of this node's own (%v)", host, n.advertise.Addr())
		}
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return addrs, nil
}

// sameFamily returns those of ips that a node bound to own's family can send
// to. A name such as localhost mostly has addresses of both.
func sameFamily(ips []netip.Addr, own netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(ips), func(ip netip.Addr) bool { return ip.Unmap().Is4() != own.Is4() })
}

// defaultPort is the port of a seed that names none: this node's own unless
// that one was picked at random, since the nodes of a cluster mostly share it.
func (n *Node) defaultPort() int {
	if n.advertise.Port() != 0 && n.fixedPort {
		return int(n.advertise.Port())
	}
	return DefaultPort
}

// isSelf recognises this node's own address, also by loopback or any other
// address of the host when the node listens on all of them.
func (n *Node) isSelf(addr netip.AddrPort) bool {
	if addr == n.advertise {
		return true
	}
	if n.sockets == nil || int(addr.Port()) != n.sockets.Port() {
		return false
	}
	bound, err := netip.ParseAddr(n.cfg.Bind)
	if err != nil || !bound.IsUnspecified() {
		return err == nil && bound.Unmap() == addr.Addr()
	}
	if addr.Addr().IsLoopback() {
		return true
	}
	local, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range local {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr.Addr() {
			return true
		}
	}
	return false
}

// tryTargets exchanges state with all addresses and returns the outcomes that
// are known when all have answered, when ctx ends, or a probe's time after the
// first success: a dead seed must not hold up a node that has joined.
func (n *Node) tryTargets(ctx context.Context, targets []*SeedError) []*SeedError {
	outcomes := make(chan *SeedError, len(targets))
	slots := make(chan struct{}, maxDials)
	for _, t := range targets {
		n.ops.Add(1) // the caller holds one already, so Close still waits
		go func() {
			defer n.ops.Done()
			select {
			case slots <- struct{}{}:
				if _, err := n.engine.Join([]string{t.Addr}); err != nil {
					t.Err = joinError(err)
				}
				<-slots
			case <-ctx.Done():
				t.Err = context.Cause(ctx)
			}
			outcomes <- t
		}()
	}
	var known []*SeedError
	var enough <-chan time.Time
	for range targets {
		select {
		case t := <-outcomes:
			known = append(known, t)
			if t.Err == nil && enough == nil {
				enough = time.After(n.cfg.ProbeTimeout)
			}
		case <-enough:
			return known
		case <-ctx.Done():
			return known
		}
	}
	return known
}

// joinError makes the engine's error readable and, where it can be told, typed.
func joinError(err error) error {
	text := err.Error()
	if i := strings.Index(text, ErrNameConflict.Error()); i >= 0 {
		return fmt.Errorf("%w%s", ErrNameConflict, strings.TrimRight(text[i+len(ErrNameConflict.Error()):], "\n "))
	}
	if words := explainJoin(err); words != "" {
		return errors.New(words)
	}
	return errors.New(strings.Join(strings.Fields(text), " "))
}

// Bounds of the wait between two attempts of JoinUntil.
const (
	minJoinWait     = 500 * time.Millisecond
	maxJoinWait     = 30 * time.Second
	maxConflictWait = 2 * time.Second
)

// JoinUntil calls Join again and again until a seed answered or ctx ends. The
// wait doubles from half a second up to half a minute, and each is drawn from
// [wait/2, wait], so that nodes started together do not ask together. After
// ErrNameConflict it is two seconds at most: a node that was started again at
// another address has to wait only until its old self is held failed. report,
// when not nil, is told of each failed attempt and of the wait that follows.
func (n *Node) JoinUntil(ctx context.Context, seeds []string, report func(attempt int, wait time.Duration, err error)) (JoinResult, error) {
	for attempt := 1; ; attempt++ {
		result, err := n.Join(ctx, seeds)
		if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrLeft) || ctx.Err() != nil {
			return result, err
		}
		wait := joinWait(attempt, err)
		pause := wait/2 + rand.N(wait/2)
		if report != nil {
			report(attempt, pause, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return result, fmt.Errorf("joining was given up after %d attempts: %w; the last error was: %w", attempt, context.Cause(ctx), err)
		case <-n.ctx.Done():
			return result, ErrClosed
		}
	}
}

// joinWait is the longest wait after that attempt, which failed with err.
func joinWait(attempt int, err error) time.Duration {
	limit := maxJoinWait
	if errors.Is(err, ErrNameConflict) {
		limit = maxConflictWait
	}
	return min(minJoinWait<<min(attempt-1, 16), limit)
}
