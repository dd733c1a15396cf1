// Package demo shows a small cluster at work: real agent processes on this
// machine, of which one is killed, started again and asked to leave.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"heartbeat/gossip/httpapi"
)

// Options are what the demo needs from its caller.
type Options struct {
	// Executable is the heartbeat binary that the agents run.
	Executable string
	// Out is where the story goes.
	Out io.Writer
	// Table prints members as the CLI does.
	Table func(io.Writer, *httpapi.Members) error
	// Keep leaves the cluster running until ctx ends, and prints commands to
	// try on it.
	Keep bool
}

const clusterSize = 5

// Waits are bounds only; each step goes on as soon as it may.
const (
	joinWait   = 30 * time.Second
	detectWait = 60 * time.Second
)

// Run plays the demo. It ends with an error when a step did not happen, or
// with ctx's when it was interrupted. Either way it ends the agents and removes
// their files.
func Run(ctx context.Context, opts Options) (err error) {
	c, err := newCluster(opts.Executable)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	d := &demo{Options: opts, cluster: c}
	steps := []func(context.Context) error{d.start, d.crash, d.comeBack, d.leave}
	if opts.Keep {
		steps = []func(context.Context) error{d.start, d.keep}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				d.say("interrupted: ending the agents")
				return ctx.Err()
			}
			return err
		}
	}
	if !opts.Keep {
		d.summary()
	}
	return nil
}

type demo struct {
	Options
	cluster *cluster
	step    int

	joined, firstSaw, allSaw, rejoined, left time.Duration
}

func (d *demo) title(what string) {
	d.step++
	fmt.Fprintf(d.Out, "\n%d. %s\n", d.step, what)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, "   "+format+"\n", args...) }

// line prints something that happened, with the time since the step began.
func (d *demo) line(after time.Duration, format string, args ...any) {
	fmt.Fprintf(d.Out, "   %8s  %s\n", seconds(after), fmt.Sprintf(format, args...))
}

func seconds(t time.Duration) string { return fmt.Sprintf("%.2f s", t.Seconds()) }

func (d *demo) start(ctx context.Context) error {
	d.title(fmt.Sprintf("Start %d agents; all but n1 are told one address to join through", clusterSize))
	begin := time.Now()
	for i := range clusterSize {
		a, err := d.cluster.start(ctx, i)
		if err != nil {
			return err
		}
		what := "is the first"
		if i > 0 {
			what = "joins through " + d.cluster.seed
		}
		d.line(time.Since(begin), "%s (pid %d) %s", a.name, a.pid(), what)
	}
	if err := d.cluster.waitAll(ctx, joinWait, "all members alive", func(m *httpapi.Members) bool {
		return count(m, "alive") == clusterSize
	}); err != nil {
		return err
	}
	d.joined = time.Since(begin)
	d.line(d.joined, "all %d see each other; this is the view of n3:", clusterSize)
	return d.show(ctx, 2)
}

func (d *demo) crash(ctx context.Context) error {
	victim := d.cluster.agents[3]
	d.title(fmt.Sprintf("Crash: %s (pid %d) gets SIGKILL", victim.name, victim.pid()))
	observers := d.cluster.without(victim)
	watch := d.cluster.watch(ctx, observers, victim.name)
	defer watch.stop()
	begin := time.Now()
	if err := victim.kill(); err != nil {
		return err
	}
	waiting := len(observers)
	for waiting > 0 {
		ev, err := watch.next(ctx, detectWait)
		if err != nil {
			return fmt.Errorf("waiting for %s to be held failed by %d more: %w", victim.name, waiting, err)
		}
		after := time.Since(begin)
		switch ev.Kind {
		case "suspected":
			d.line(after, "%s suspects %s", ev.observer, victim.name)
		case "failed":
			d.line(after, "%s holds %s failed%s", ev.observer, victim.name, saidBy(ev.By))
			if waiting == len(observers) {
				d.firstSaw = after
			}
			waiting--
			d.allSaw = after
		}
	}
	d.say("nobody was told: the others noticed by themselves, the first after %s, all after %s", seconds(d.firstSaw), seconds(d.allSaw))
	return nil
}

func saidBy(names []string) string {
	if len(names) == 0 {
		return ""
	}
	names = slices.Clone(names)
	slices.Sort(names)
	return " (said by " + strings.Join(names, ", ") + ")"
}

func (d *demo) comeBack(ctx context.Context) error {
	victim := d.cluster.agents[3]
	d.title("Restart: " + victim.name + " is started again and rejoins")
	begin := time.Now()
	a, err := d.cluster.start(ctx, 3)
	if err != nil {
		return err
	}
	d.line(time.Since(begin), "%s is back as pid %d", a.name, a.pid())
	if err := d.cluster.waitAll(ctx, joinWait, "all members alive again", func(m *httpapi.Members) bool {
		return count(m, "alive") == clusterSize
	}); err != nil {
		return err
	}
	d.rejoined = time.Since(begin)
	d.line(d.rejoined, "all %d see each other again", clusterSize)
	return nil
}

func (d *demo) leave(ctx context.Context) error {
	leaver := d.cluster.agents[4]
	d.title("Leave: " + leaver.name + " says goodbye, as on SIGTERM")
	begin := time.Now()
	if err := leaver.terminate(ctx); err != nil {
		return err
	}
	if err := d.cluster.waitAll(ctx, joinWait, leaver.name+" left", func(m *httpapi.Members) bool {
		return count(m, "left") == 1 && count(m, "alive") == clusterSize-1
	}); err != nil {
		return err
	}
	d.left = time.Since(begin)
	d.line(d.left, "all others hold %s left, not failed; the view of n3:", leaver.name)
	return d.show(ctx, 2)
}

func (d *demo) summary() {
	d.title("Summary")
	d.say("%-44s %s", "five agents started and agreed within", seconds(d.joined))
	d.say("%-44s %s (first), %s (all)", "a crash was noticed after", seconds(d.firstSaw), seconds(d.allSaw))
	d.say("%-44s %s", "the restarted agent was a member again after", seconds(d.rejoined))
	d.say("%-44s %s", "a graceful leave was known to all after", seconds(d.left))
	fmt.Fprintf(d.Out, "\n   Try it yourself: heartbeat demo --keep\n")
}

func (d *demo) keep(ctx context.Context) error {
	d.title("The cluster stays up. Try, in another terminal")
	n1 := d.cluster.agents[0]
	fmt.Fprintf(d.Out, "   export HEARTBEAT_ADDRESS=%s\n", n1.api)
	exe := d.Executable
	for _, line := range [][2]string{
		{"members", "who is up, as n1 sees it"},
		{"members --watch", "the same, live"},
		{"events", "what changes, as it happens"},
		{"info", "about n1 itself"},
		{"journal n4", "what n1 noted about n4"},
		{"tags set role=web", "give n1 a tag"},
		{"--address " + d.cluster.agents[4].api + " leave", "let n5 leave"},
	} {
		fmt.Fprintf(d.Out, "   %-50s # %s\n", exe+" "+line[0], line[1])
	}
	fmt.Fprintf(d.Out, "   %-50s # and see it noticed\n", fmt.Sprintf("kill -9 %d", d.cluster.agents[3].pid()))
	d.say("Ctrl-C ends the agents and removes their files.")
	<-ctx.Done()
	d.say("ending the agents")
	return nil
}

func (d *demo) show(ctx context.Context, observer int) error {
	m, err := d.cluster.agents[observer].client.Members(ctx, httpapi.Filter{})
	if err != nil {
		return fmt.Errorf("asking %s for its members: %w", d.cluster.agents[observer].name, err)
	}
	var b strings.Builder
	if err := d.Table(&b, m); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprint(d.Out, "      ", line)
	}
	return nil
}

func count(m *httpapi.Members, state string) int {
	n := 0
	for _, member := range m.Members {
		if member.State == state {
			n++
		}
	}
	return n
}
