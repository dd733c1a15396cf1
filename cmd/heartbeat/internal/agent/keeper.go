package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/gossip"
	"heartbeat/membership"
)

const snapshotName = "members.snapshot"

// maxAside is how many snapshots that could not be read are kept for people.
const maxAside = 3

// keeper loads and saves the snapshot of members. Its methods are called by one
// goroutine at a time.
type keeper struct {
	dir     *dataDir // nil: nothing is kept
	cluster string
	log     zerolog.Logger

	// earlier are the members of the last run. They stay in the file until this
	// run has joined somebody: an agent that is killed while it is still alone
	// must not have forgotten its cluster.
	earlier []knownMember
	last    snapshot // as saved last
	saved   bool     // something was saved in this run
	failing bool     // the last attempt to save failed; it was logged
}

// load reads the snapshot of the last run. A file that cannot be used is set
// aside: it is never a reason not to start.
func (k *keeper) load(self string, rejoin bool) {
	if k.dir == nil {
		return
	}
	path := k.dir.file(snapshotName)
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		k.log.Warn().Err(err).Msg("cannot read the members of the last run: this start relies on the seeds alone")
		return
	}
	s, err := decodeSnapshot(data)
	if err == nil && s.Cluster != k.cluster {
		err = fmt.Errorf("it is of cluster %q", s.Cluster)
	}
	if err != nil {
		k.setAside(path, err)
		return
	}
	if s.Left && !rejoin {
		k.log.Info().Int("members", len(s.Members)).Msg("the last run left the cluster gracefully: its members are not used to rejoin (leave.rejoin)")
		return
	}
	k.earlier = slices.DeleteFunc(s.Members, func(m knownMember) bool { return m.Name == self })
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSnapshotBytes+1)) // one more than decodeSnapshot takes
}

func (k *keeper) setAside(path string, cause error) {
	aside := fmt.Sprintf("%s.corrupt-%s", path, time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Rename(path, aside); err != nil {
		k.log.Warn().AnErr("cause", cause).Err(err).Str("file", path).
			Msg("the members of the last run cannot be used, and their file cannot be set aside: this start relies on the seeds alone")
		return
	}
	k.log.Warn().Err(cause).Str("file", aside).Msg("the members of the last run cannot be used: their file was set aside, this start relies on the seeds alone")
	old, err := filepath.Glob(path + ".corrupt-*")
	if err != nil {
		return // only a bad pattern: the directory's name holds special characters
	}
	slices.Sort(old) // by time
	for _, name := range old[:max(0, len(old)-maxAside)] {
		if err := os.Remove(name); err != nil {
			k.log.Warn().Err(err).Msg("cannot remove an old snapshot that was set aside")
		}
	}
}

// joined tells that this run has found its cluster.
func (k *keeper) joined() { k.earlier = nil }

// save writes the members of the view unless they are as they were. It reports
// whether the file is up to date; a failure is logged once, until saving works
// again.
func (k *keeper) save(view *membership.View, left bool) bool {
	if k.dir == nil {
		return true
	}
	s := snapshotOf(view, k.cluster, k.earlier)
	s.Left = left
	if k.saved && sameMembers(k.last, s) {
		return true
	}
	data, err := s.encode()
	if err == nil {
		err = gossip.WriteFileAtomic(k.dir.file(snapshotName), data, 0o600)
	}
	if err != nil {
		if !k.failing {
			k.failing = true
			k.log.Warn().Err(err).Msg("cannot save the known members: the file stays as it was; it is tried again until it works")
		}
		return false
	}
	if k.failing {
		k.failing = false
		k.log.Info().Msg("the known members are saved again")
	}
	k.last, k.saved = s, true
	return true
}

// maxRejoin bounds how many addresses of the snapshot are tried together.
const maxRejoin = 32

// rejoinAddrs picks addresses of the last run at random, those of members that
// were alive first.
func (k *keeper) rejoinAddrs() []string {
	candidates := slices.Clone(k.earlier)
	rand.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	slices.SortStableFunc(candidates, func(a, b knownMember) int { return wasDown(a) - wasDown(b) })
	var addrs []string
	for _, m := range candidates[:min(len(candidates), maxRejoin)] {
		addrs = append(addrs, m.Addr.String())
	}
	return addrs
}

func wasDown(m knownMember) int {
	if m.State == membership.Alive.String() {
		return 0
	}
	return 1
}
