package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/xrash/smetrics"

	"heartbeat/gossip/wire"
)

// maxNameLen bounds node names, in bytes.
const maxNameLen = 128

// Validate reports everything that is wrong with the configuration at once,
// one line each; nil when nothing is.
func (c Config) Validate() error {
	var errs []error
	for _, s := range settings {
		if s.check == nil {
			continue
		}
		if err := s.check(&c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Key, err))
		}
	}
	if c.Bind == "" && c.Transport == nil {
		errs = append(errs, errors.New("network.bind: an address or an interface's name is needed"))
	}
	if c.ProbeTimeout >= c.ProbeInterval {
		errs = append(errs, fmt.Errorf("probe.timeout: %v must be less than probe.interval (%v), or no time is left for indirect probes", c.ProbeTimeout, c.ProbeInterval))
	}
	if longest := time.Duration(c.SuspicionMult) * c.ProbeInterval; longest > 0 && c.GossipInterval >= longest {
		errs = append(errs, fmt.Errorf("gossip.interval: %v must be less than suspicion.mult times probe.interval (%v), or no refutation comes in time", c.GossipInterval, longest))
	}
	if c.HealInterval != 0 && c.HealInterval < minHealInterval {
		errs = append(errs, fmt.Errorf("heal.interval: %v is too short: at least %v, or 0 for no healing", c.HealInterval, minHealInterval))
	}
	if c.VerdictQuorum > c.VerdictWitnesses {
		errs = append(errs, fmt.Errorf("verdict.quorum: %d testimonies can never come from %d witnesses (verdict.witnesses)", c.VerdictQuorum, c.VerdictWitnesses))
	}
	if c.AdvertisePort != 0 && c.Advertise == "" {
		errs = append(errs, errors.New("network.advertise_port: it needs network.advertise as well"))
	}
	if (c.AcceptPlain || c.SendPlain) && c.Keyring == nil {
		errs = append(errs, errors.New("encryption.accept_plain, encryption.send_plain: they mean nothing without a keyring"))
	}
	if c.SendPlain && !c.AcceptPlain {
		errs = append(errs, errors.New("encryption.send_plain: it needs encryption.accept_plain as well, for a cluster with nodes that send in plain text must accept it"))
	}
	return errors.Join(errs...)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "" // Validate then asks for a name
	}
	return name
}

// checkName accepts what can be typed, shown in a table and put into a URL.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a node needs a name")
	case len(name) > maxNameLen:
		return fmt.Errorf("%d bytes are too many: at most %d", len(name), maxNameLen)
	case !utf8.ValidString(name):
		return fmt.Errorf("%q is not valid UTF-8", name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '/' }):
		return fmt.Errorf("%q holds a space, a slash or a control character", name)
	}
	return nil
}

func checkCluster(name string) error {
	if len(name) > 255 {
		return fmt.Errorf("%d bytes are too many: at most 255", len(name))
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%q holds a control character", name)
	}
	return nil
}

func checkAdvertise(addr string) error {
	if addr == "" {
		return nil
	}
	ip, err := netip.ParseAddr(addr)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not an IP address", addr)
	case ip.IsUnspecified():
		return fmt.Errorf("%s is no address that others could reach", addr)
	}
	return nil
}

func checkDetector(name string) error {
	if !slices.Contains(Detectors(), name) {
		return fmt.Errorf("%q is not one of %s", name, strings.Join(Detectors(), ", "))
	}
	return nil
}

func checkTags(tags map[string]string) error {
	_, err := wire.EncodeTags(tags)
	return err
}

// Nearest returns `; did you mean "x"?` for the candidate closest to what was
// typed, or nothing when none is close.
func Nearest(typed string, candidates []string) string {
	best, bestDist := "", len(typed)/3+2
	for _, c := range candidates {
		if d := smetrics.WagnerFischer(typed, c, 1, 1, 1); d < bestDist {
			best, bestDist = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
