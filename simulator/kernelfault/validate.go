package kernelfault

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"time"
)

const (
	// MaxPeers bounds the peers of one fault, so that a fault fits into one
	// netlink transaction with others.
	MaxPeers = 2048

	// MaxFaults bounds the faults that one table has at a time.
	MaxFaults = 256

	// MaxDelay bounds a fault's delay: longer ones would fill the queue of held
	// packets, and every protocol gives up before.
	MaxDelay = time.Minute
)

var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Validate says all that is wrong with a fault. What an effect needs of the
// kernel is not its business.
func (f Fault) Validate() error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !idPattern.MatchString(f.ID) {
		report("the ID %q is not 1 to 32 lower-case letters, digits and dashes", f.ID)
	}
	switch f.Only {
	case "", UDP, TCP:
	default:
		report("only %q: give %q, %q or nothing", f.Only, UDP, TCP)
	}
	if f.TTL <= 0 || f.TTL > MaxTTL {
		report("the time to live is %v, but must be more than 0 and at most %v", f.TTL, MaxTTL)
	}
	errs = append(errs, checkPeers(f.Peers)...)
	errs = append(errs, f.Effect.check()...)
	if f.Only == TCP && (f.Effect.Duplicate != 0 || f.Effect.Reorder != 0) {
		report("only %q, but duplicate and reorder concern UDP packets", TCP)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("fault %q: %w", f.ID, errors.Join(errs...))
}

func checkPeers(peers []netip.Addr) []error {
	if len(peers) == 0 {
		return []error{errors.New("no peers: give at least one address")}
	}
	if len(peers) > MaxPeers {
		return []error{fmt.Errorf("%d peers, but a fault has at most %d", len(peers), MaxPeers)}
	}
	var errs []error
	seen := make(map[netip.Addr]bool, len(peers))
	for _, p := range peers {
		a := p.Unmap()
		switch {
		case !a.IsValid():
			errs = append(errs, errors.New("a peer without an address"))
			continue
		case a.Zone() != "":
			errs = append(errs, fmt.Errorf("peer %v: an address with a zone is not supported", p))
		case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
			errs = append(errs, fmt.Errorf("peer %v is no other machine's address", p))
		case seen[a]:
			errs = append(errs, fmt.Errorf("peer %v is listed twice", p))
		}
		seen[a] = true
	}
	for _, p := range peers[1:] {
		if p.IsValid() && peers[0].IsValid() && p.Unmap().Is4() != peers[0].Unmap().Is4() {
			return append(errs, errors.New("peers of both IPv4 and IPv6: give a fault for each family"))
		}
	}
	return errs
}

func (e Effect) check() []error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", e.Loss}, {"duplicate", e.Duplicate}, {"reorder", e.Reorder}} {
		if math.IsNaN(p.value) || p.value < 0 || p.value > 1 {
			report("%s %v is not a share from 0 to 1", p.name, p.value)
		}
	}
	if e.Delay < 0 || e.Delay > MaxDelay {
		report("the delay is %v, but must be from 0 to %v", e.Delay, MaxDelay)
	}
	if e.Jitter < 0 || e.Jitter > max(e.Delay, 0) {
		report("the jitter is %v, but must be from 0 to the delay, %v", e.Jitter, e.Delay)
	}
	if e.Reorder > 0 && e.Delay == 0 {
		report("reorder needs a delay: packets overtake others by skipping it")
	}
	if e.Rate < 0 {
		report("the rate is %d bits per second, but must not be negative", e.Rate)
	}
	if e == (Effect{}) {
		report("no effect: give cut, loss, duplicate, delay, jitter, reorder or rate")
	}
	return errs
}

// shapes tells whether packets must be held for the effect.
func (e Effect) shapes() bool { return e.Delay > 0 || e.Rate > 0 }

// concerns tells whether a fault has to do with a protocol.
func (f Fault) concerns(p Protocol) bool { return f.Only == "" || f.Only == p }
