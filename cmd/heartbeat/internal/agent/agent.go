// Package agent is the daemon: a gossip.Node with its HTTP API, its log, its
// memory of the cluster across restarts, and its manners towards the service
// manager.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/cmd/heartbeat/internal/config"
	"heartbeat/gossip"
	"heartbeat/gossip/transport"
)

// Options are what an agent is run with.
type Options struct {
	// Settings are the resolved settings.
	Settings *config.Settings
	// Reload resolves the same sources anew, on SIGHUP. Nil: SIGHUP is answered
	// by a line that says that it does nothing.
	Reload func() (*config.Settings, error)
	// Version is told to people.
	Version string
	// Stderr gets the log.
	Stderr io.Writer
}

// Run runs an agent until ctx ends or a client of the API makes it leave; both
// are no error, and the agent then leaves its cluster gracefully, within
// leave.timeout. The caller ties ctx to SIGINT and SIGTERM, and lets a second
// signal end the process at once. Run itself handles SIGHUP, for the process as
// a whole.
//
// An *config.Error says that the settings, or files that they name, cannot be
// used. Whatever the error, nothing is left running and the data directory is
// free. Several agents may run in one process.
func Run(ctx context.Context, opts Options) error {
	s := opts.Settings
	level, err := zerolog.ParseLevel(s.Log.Level)
	if err != nil {
		return s.Blame("log.level", err)
	}
	a := &agent{
		opts: opts, settings: s, began: time.Now(),
		hub:     newLogHub(logOutput(opts.Stderr, s.Log.Format), level),
		ended:   make(chan error, 1),
		leaving: make(chan struct{}),
		hup:     make(chan os.Signal, 1),

		stopJoin: func() {},
	}
	defer a.hub.Close()
	a.log = a.hub.Logger()
	// From here on SIGHUP no longer ends the process.
	signal.Notify(a.hup, syscall.SIGHUP)
	defer signal.Stop(a.hup)
	defer a.release()
	if err := a.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to end before it had begun
		}
		return err
	}
	return a.serve(ctx)
}

// agent is one running daemon. Fields without another word are set by start and
// only read afterwards.
type agent struct {
	opts     Options
	settings *config.Settings // as in effect; owned by serve
	began    time.Time
	hub      *logHub
	log      zerolog.Logger
	notify   *notifier
	dir      *dataDir // nil without one
	keeper   *keeper  // owned by remember while that runs
	node     *gossip.Node
	api      *api // nil without one

	hup     chan os.Signal
	ended   chan error    // the API has stopped answering
	leaving chan struct{} // closed when the node has left by the API

	// joined tells that a seed or a member of the last run has answered, or
	// that there is none to ask; accompanied, that another member was alive at
	// the last look.
	joined, accompanied atomic.Bool
	known               []string // addresses of members of the last run

	work       sync.WaitGroup // goroutines that end with cancelWork
	cancelWork context.CancelFunc
	stopJoin   context.CancelFunc // ends the joining under way; owned by serve
	settled    <-chan struct{}    // closed once its first attempt is over; nil without one; owned by serve
}

// start takes what the agent needs, in the order in which it is most useful to
// fail. What it has taken is given back by release.
func (a *agent) start(ctx context.Context) error {
	s := a.settings
	cfg := s.Gossip
	cfg.Logger = a.log
	if s.KeyringPath != "" {
		ring, err := gossip.LoadKeyring(s.KeyringPath)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; copy the file from another node, or make the cluster's first one with heartbeat keygen --keyring FILE", err)
		}
		if err != nil {
			return s.Blame("encryption.keyring", err)
		}
		cfg.Keyring = ring
	}
	secrets, err := loadSecrets(s)
	if err != nil {
		return err
	}
	if s.DataDir != "" {
		if a.dir, err = openDataDir(s.DataDir); err != nil {
			return s.Blame("data_dir", err)
		}
	}
	listener, err := listenAPI(ctx, s, secrets)
	if err != nil {
		return err
	}
	a.node, err = gossip.Start(ctx, cfg)
	if err != nil {
		if listener != nil {
			_ = listener.Close()
		}
		return explainStart(s, err)
	}
	if listener != nil {
		if a.api, err = newAPI(a, listener, secrets); err != nil {
			_ = listener.Close()
			return err
		}
	}
	a.notify = newNotifier(a.log)
	a.keeper = &keeper{dir: a.dir, cluster: cfg.Cluster, log: a.log}
	a.keeper.load(cfg.Name, s.Leave.Rejoin)
	a.known = a.keeper.rejoinAddrs()
	return nil
}

// explainStart adds to an error of the node's start what to do about it.
func explainStart(s *config.Settings, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return s.Blame("network.port", fmt.Errorf("%w; end that process, or give this agent another network.port (0 takes a free one) or network.bind", err))
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, transport.ErrNoInterface):
		return s.Blame("network.bind", fmt.Errorf("%w; set network.bind to an address or interface of this machine, and network.advertise to what others reach it by", err))
	}
	return fmt.Errorf("cannot start the node: %w", err)
}

// release gives back what start took, in the other order.
func (a *agent) release() {
	if a.node != nil {
		if err := a.node.Close(); err != nil {
			a.log.Warn().Err(err).Msg("the node did not close cleanly")
		}
	}
	if a.notify != nil {
		a.notify.close()
	}
	if a.dir != nil {
		a.dir.close()
	}
}

// startup is how long an agent takes to start and join, generously.
const startup = 10 * time.Second

// serve runs until it is told to end.
func (a *agent) serve(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.cancelWork = cancel
	if a.api != nil {
		a.work.Go(func() {
			if err := a.api.serve(work); err != nil {
				a.ended <- err
			}
		})
	}
	a.join(work, a.settings.Seeds)
	a.announce()
	a.work.Go(func() { a.remember(work) })
	if a.notify.watchdog > 0 {
		a.work.Go(func() { a.feedWatchdog(work) })
	}
	started := time.NewTimer(startup)
	defer started.Stop()
	for {
		select {
		case <-started.C:
			if err := trim(); err != nil {
				a.log.Debug().Err(err).Msg("memory that the start has needed stays in use")
			}
		case <-a.hup:
			a.reload(work)
		case <-a.leaving:
			a.log.Info().Msg("the node has left by the API: the agent ends")
			return a.end(nil)
		case err := <-a.ended:
			return a.end(err)
		case <-ctx.Done():
			return a.end(nil)
		}
	}
}

// announce says that the agent is up.
func (a *agent) announce() {
	info := a.node.Info()
	line := a.log.Info().Str("node", info.Name).Str("version", a.opts.Version).Str("gossip", info.Bind).
		Str("advertise", info.Advertise).Str("profile", info.Profile).Bool("encrypted", info.Encrypted).Int("pid", os.Getpid())
	if info.Cluster != "" {
		line = line.Str("cluster", info.Cluster)
	}
	if a.api != nil {
		line = line.Str("api", a.api.address())
	}
	line.Stringer("took", time.Since(a.began).Round(time.Millisecond)).Msg("the agent is up")
	if !info.Encrypted {
		if ap, err := net.ResolveTCPAddr("tcp", info.Advertise); err == nil && !ap.IP.IsLoopback() {
			a.log.Warn().Msg("encryption is off: whoever reaches the gossip port can read all messages and make members look failed (encryption.keyring)")
		}
	}
	if a.dir == nil {
		a.log.Info().Msg("nothing is kept across restarts: a restart relies on the seeds alone (data_dir)")
	}
	a.notify.ready(statusOf(a.node.View()))
}

// end leaves the cluster, ends everything that runs beside serve, and saves what
// the node knew. It returns cause; with one the node shall rejoin by itself when
// the agent is started again.
func (a *agent) end(cause error) error {
	a.notify.stopping()
	if !a.node.Info().Left {
		a.leave()
	}
	a.stopJoin()
	a.cancelWork()
	a.work.Wait()
	a.keeper.save(a.node.View(), cause == nil)
	a.log.Info().Msg("the agent has ended")
	return cause
}

func (a *agent) leave() {
	limit := a.settings.Leave.Timeout
	a.log.Info().Stringer("at_most", limit).Msg("leaving the cluster; a second signal ends the agent at once")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	a.awaitJoin(ctx)
	if err := a.node.Leave(ctx); err != nil {
		a.log.Warn().Err(err).Msg("the leave was not confirmed by others")
	}
}

// awaitJoin gives a first attempt to join a moment to end. A seed may have taken
// this node in already while the node knows nobody yet whom it could tell that
// it leaves; the seed would then hold it failed.
func (a *agent) awaitJoin(ctx context.Context) {
	if a.settled == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	select {
	case <-a.settled:
	case <-ctx.Done():
	}
}

// feedWatchdog tells the service manager that the agent lives for as long as
// the node's loop answers: a View waits for it, so a loop that hangs keeps the
// sign of life from being sent, and the service manager restarts the agent.
func (a *agent) feedWatchdog(ctx context.Context) {
	tick := time.NewTicker(a.notify.watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.node.View()
			a.notify.alive()
		case <-ctx.Done():
			return
		}
	}
}
