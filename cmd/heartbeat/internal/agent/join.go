package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// join begins to look for the cluster through the seeds and through members of
// the last run, and ends what an earlier call had begun.
func (a *agent) join(ctx context.Context, seeds []string) {
	a.stopJoin()
	ctx, a.stopJoin = context.WithCancel(ctx)
	var known []string
	if !a.joined.Load() { // afterwards they are in the view
		known = slices.DeleteFunc(slices.Clone(a.known), func(addr string) bool { return slices.Contains(seeds, addr) })
	}
	if len(seeds)+len(known) == 0 {
		a.joined.Store(true)
		a.log.Info().Msg("no seeds are set and no members are known: the node is alone until others join it (cluster.seeds)")
		return
	}
	settled := make(chan struct{})
	a.settled = settled
	a.work.Go(func() { a.joinUntil(ctx, seeds, known, sync.OnceFunc(func() { close(settled) })) })
}

// joinUntil calls settled once its first attempt is over.
func (a *agent) joinUntil(ctx context.Context, seeds, known []string, settled func()) {
	defer settled()
	a.log.Info().Strs("seeds", seeds).Int("known_members", len(known)).Msg("joining the cluster")
	result, err := a.node.JoinUntil(ctx, slices.Concat(seeds, known), func(attempt int, wait time.Duration, err error) {
		settled()
		a.log.Warn().Int("attempt", attempt).Stringer("next_try_in", wait.Round(time.Millisecond)).Strs("failed", describeFailures(err, known)).
			Msg("nobody to join through has answered")
	})
	switch {
	case ctx.Err() != nil:
		return // told to end, or begun anew with other seeds
	case err != nil:
		a.log.Error().Str("error", oneLine(err)).Msg("joining was given up")
		return
	}
	a.joined.Store(true)
	a.node.SetSeeds(seeds) // not the members of the last run: who fails is tried again anyway
	if len(result.Joined) == 0 {
		a.log.Info().Msg("all seeds are this node itself: it is the first of its cluster")
		return
	}
	line := a.log.Info().Strs("through", result.Joined)
	if failures := describeFailed(result.Failed, known); len(failures) > 0 {
		line = line.Strs("failed", failures)
	}
	line.Msg("joined the cluster")
}

// describeFailures says for each seed why it failed; the members of the last
// run are only counted.
func describeFailures(err error, known []string) []string {
	list, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []string{oneLine(err)}
	}
	var failed []*gossip.SeedError
	var texts []string
	for _, e := range list.Unwrap() {
		if seed, ok := errors.AsType[*gossip.SeedError](e); ok {
			failed = append(failed, seed)
			continue
		}
		texts = append(texts, oneLine(e))
	}
	return append(texts, describeFailed(failed, known)...)
}

func describeFailed(failed []*gossip.SeedError, known []string) []string {
	var texts []string
	var ofLastRun []*gossip.SeedError
	for _, e := range failed {
		if slices.Contains(known, e.Seed) {
			ofLastRun = append(ofLastRun, e)
			continue
		}
		texts = append(texts, oneLine(e))
	}
	if len(ofLastRun) > 0 {
		texts = append(texts, fmt.Sprintf("%d of %d members of the last run, such as %s", len(ofLastRun), len(known), oneLine(ofLastRun[0])))
	}
	return texts
}

// Bounds of the time between a change of the view and its saving, and of the
// time until a failed saving is tried again.
const (
	saveDelay  = time.Second
	saveJitter = 2 * time.Second
	saveRetry  = 15 * time.Second
)

// remember saves the known members and tells the service manager about them
// whenever the view has changed, at most once in a few seconds.
func (a *agent) remember(ctx context.Context) {
	status := ""
	for {
		events := a.node.Watch(0) // the view below includes what was before
		view := a.node.View()
		a.accompanied.Store(view.Count(membership.Alive) > 1)
		if text := statusOf(view); text != status {
			status = text
			a.notify.status(status)
		}
		if a.joined.Load() {
			a.keeper.joined()
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if !a.keeper.save(view, false) {
			wait, cancel = context.WithTimeout(ctx, jitter(saveRetry, saveRetry))
		}
		_, _ = events.Next(wait) // whatever it is, or that the time is over: look again
		cancel()
		select {
		case <-time.After(jitter(saveDelay, saveJitter)):
		case <-ctx.Done():
			return
		}
	}
}

func statusOf(view *membership.View) string {
	return fmt.Sprintf("%d members: %d alive, %d suspect, %d failed; %s", view.Len()-view.Count(membership.Left),
		view.Count(membership.Alive), view.Count(membership.Suspect), view.Count(membership.Failed), view.Condition())
}

// jitter returns a time from [base, base+extra).
func jitter(base, extra time.Duration) time.Duration { return base + rand.N(extra) }
