package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/scenario"
)

func (a *app) faultApplyCommand() *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "put a fault into effect, stay, and take it away when its time is over",
		Description: "Effects may be combined. Ctrl-C and SIGTERM end the fault early, with exit code 0.\n" +
			"Should this process be killed, the kernel ends the fault when its time is over.\n" +
			"For a link that is dead in both directions do it on both machines.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "from", Usage: "what is received from this `ADDRESS` (repeat, or separate by commas)"},
			&cli.BoolFlag{Name: "cut", Usage: "lose everything"},
			&cli.StringFlag{Name: "loss", Usage: "lose this `SHARE` of the packets, such as 20%"},
			&cli.StringFlag{Name: "duplicate", Usage: "send this `SHARE` of the UDP packets to the peers twice"},
			&cli.DurationFlag{Name: "delay", Usage: "delay packets by this `DURATION`, such as 40ms"},
			&cli.DurationFlag{Name: "jitter", Usage: "vary the delay by up to this `DURATION` in either direction"},
			&cli.StringFlag{Name: "reorder", Usage: "let this `SHARE` of the UDP packets skip the delay and overtake others"},
			&cli.StringFlag{Name: "rate", Usage: "let no more than this `RATE` through from each peer, such as 1mbit"},
			&cli.StringFlag{Name: "only", Usage: "only packets of this `PROTOCOL`: udp or tcp"},
			&cli.DurationFlag{Name: "for", Usage: "end it after this `DURATION`, at most 168h"},
		}, namespaceFlags()...),
		Action: func(c *cli.Context) error {
			faults, err := readFaults(c)
			if err != nil {
				return err
			}
			return inNamespace(c, func(fd int) error { return a.applyFaults(c, fd, faults) })
		},
	}
}

// readFaults makes the faults that the flags ask for: one, or one for each
// family of addresses.
func readFaults(c *cli.Context) ([]kernelfault.Fault, error) {
	if !c.IsSet("for") {
		return nil, usagef("--for is missing: say how long the fault is to last, such as --for 30s")
	}
	base := kernelfault.Fault{TTL: c.Duration("for"), Only: kernelfault.Protocol(c.String("only"))}
	if c.IsSet("only") {
		// Without a guess at what was meant: icmp is no typo.
		if base.Only != kernelfault.UDP && base.Only != kernelfault.TCP {
			return nil, usagef("--only %q is not possible: choose one of udp, tcp", base.Only)
		}
	}
	var err error
	if base.Effect, err = readEffect(c); err != nil {
		return nil, err
	}
	v4, v6, err := readPeers(c.StringSlice("from"))
	if err != nil {
		return nil, err
	}
	var faults []kernelfault.Fault
	for _, family := range []struct {
		id    string
		peers []netip.Addr
	}{{"cli", v4}, {"cli-v6", v6}} {
		if len(family.peers) == 0 {
			continue
		}
		f := base
		f.ID, f.Peers = family.id, family.peers
		if err := f.Validate(); err != nil {
			return nil, usagef("this is not possible: %s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), fmt.Sprintf("fault %q: ", f.ID)), "\n", "; "))
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func readEffect(c *cli.Context) (kernelfault.Effect, error) {
	e := kernelfault.Effect{Cut: c.Bool("cut"), Delay: c.Duration("delay"), Jitter: c.Duration("jitter")}
	for name, share := range map[string]*float64{"loss": &e.Loss, "duplicate": &e.Duplicate, "reorder": &e.Reorder} {
		if !c.IsSet(name) {
			continue
		}
		v, err := scenario.ParseFraction(c.String(name))
		if err != nil {
			return e, usagef("--%s: %w", name, err)
		}
		*share = float64(v)
	}
	if c.IsSet("rate") {
		v, err := scenario.ParseRate(c.String("rate"))
		if err != nil {
			return e, usagef("--rate: %w", err)
		}
		e.Rate = int64(v)
	}
	if e == (kernelfault.Effect{}) {
		return e, usagef("there is no effect: give --cut, --loss, --duplicate, --delay, --reorder or --rate")
	}
	return e, nil
}

// readPeers reads addresses and sorts them by family.
func readPeers(lists []string) (v4, v6 []netip.Addr, err error) {
	for _, list := range lists {
		for text := range strings.SplitSeq(list, ",") {
			text = strings.TrimSpace(text)
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, nil, usagef("--from %q is no IP address: give one such as 10.0.0.2, without a port", text)
			}
			if addr = addr.Unmap(); addr.Is4() {
				v4 = append(v4, addr)
			} else {
				v6 = append(v6, addr)
			}
		}
	}
	if len(v4)+len(v6) == 0 {
		return nil, nil, usagef("--from is missing: give the addresses of the peers")
	}
	return v4, v6, nil
}

// applyFaults keeps the faults in effect until their time is over or the
// process is told to end.
func (a *app) applyFaults(c *cli.Context, namespace int, faults []kernelfault.Fault) (err error) {
	table, err := kernelfault.Open(kernelfault.Config{Namespace: namespace, Log: a.faultLog(zerolog.WarnLevel)})
	if err != nil {
		return cannotFault(err)
	}
	defer func() { err = errors.Join(err, cannotFault(table.Close())) }()
	if err := table.Change(faults, nil); err != nil {
		return cannotFault(err)
	}
	over := time.NewTimer(faults[0].TTL)
	defer over.Stop()
	for _, f := range faults {
		if err := a.print(effectText(f) + " from " + peerList(f.Peers) + "\n"); err != nil {
			return err
		}
	}
	if err := a.print("in effect until " + stamp(a.now().Add(faults[0].TTL)) + "; Ctrl-C ends it earlier\n"); err != nil {
		return err
	}
	end, err := stayInEffect(c.Context, table, over.C)
	if err = errors.Join(err, table.Close()); err != nil {
		return err
	}
	return a.print(end)
}

// lookEvery is how often it is looked whether faults are still there; the table
// itself notices with the renewals of its lease.
const lookEvery = 200 * time.Millisecond

// stayInEffect waits for the end of the faults and says which one it was. It is
// an error when somebody else has removed them.
func stayInEffect(ctx context.Context, table *kernelfault.Table, over <-chan time.Time) (string, error) {
	// A change of nothing fails when the table is no longer there.
	removed := func() error {
		if err := table.Change(nil, nil); err != nil {
			return &failure{code: exitFailed, err: fmt.Errorf("the faults were not in effect until their end: %w", err),
				hint: "`heartbeat fault clear` in another shell does that; apply them again"}
		}
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return "over, and removed\n", removed()
		case <-ctx.Done():
			return "ended early, and removed\n", removed()
		case <-tick.C:
			if len(table.Active()) > 0 {
				continue
			}
			if err := removed(); err != nil {
				return "", err
			}
		}
	}
}

// faultLog is the log of what does faults, for people, on stderr.
func (a *app) faultLog(level zerolog.Level) zerolog.Logger {
	out := zerolog.ConsoleWriter{Out: a.stderr, NoColor: !newTerminal(a.stderr).colour, TimeFormat: time.RFC3339}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}

// effectText says what a fault does, such as "loss 20%, delay 40ms ± 5ms (udp)".
func effectText(f kernelfault.Fault) string {
	var words []string
	e := f.Effect
	if e.Cut {
		words = append(words, "cut")
	}
	share := func(name string, v float64) {
		if v > 0 {
			words = append(words, name+" "+scenario.Fraction(v).String())
		}
	}
	share("loss", e.Loss)
	share("duplicate", e.Duplicate)
	if e.Delay > 0 {
		text := "delay " + e.Delay.String()
		if e.Jitter > 0 {
			text += " ± " + e.Jitter.String()
		}
		words = append(words, text)
	}
	share("reorder", e.Reorder)
	if e.Rate > 0 {
		words = append(words, "rate "+scenario.Rate(e.Rate).String())
	}
	text := strings.Join(words, ", ")
	if f.Only != "" {
		text += " (" + clean(string(f.Only)) + ")"
	}
	return text
}

// peerList is the addresses in order, the first few of them.
func peerList(peers []netip.Addr) string {
	const most = 4
	peers = slices.SortedFunc(slices.Values(peers), netip.Addr.Compare) // the kernel has its own order
	var words []string
	for i, p := range peers {
		if i == most && len(peers) > most+1 {
			words = append(words, fmt.Sprintf("%d more", len(peers)-most))
			break
		}
		words = append(words, p.String())
	}
	return listed(words)
}

// timeLeft rounds a duration to what a person wants to know.
func timeLeft(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
