package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// homePrefix begins the names of the directories of runs.
const homePrefix = "heartbeat-netns-"

// noted is the file in a home that names the processes of its agents.
const noted = "processes"

// home is the directory of one run. Its lock is held for as long as the run's
// process lives, so a home whose lock is free is a leftover.
type home struct {
	path string
	lock *os.File // the directory itself
	list *os.File
}

// newHome removes what dead runs have left below dir and makes a home there.
func newHome(dir string, log zerolog.Logger) (*home, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := sweep(dir, log); err != nil {
		return nil, err
	}
	for {
		path, err := os.MkdirTemp(dir, homePrefix)
		if err != nil {
			return nil, fmt.Errorf("make a directory for the agents' sockets: %w", err)
		}
		h, err := lockHome(path)
		// Between the making and the locking another run may have taken it for
		// a leftover.
		if errors.Is(err, errTaken) {
			continue
		}
		if err == nil {
			h.list, err = os.OpenFile(filepath.Join(path, noted), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("prepare the directory for the agents' sockets: %w", err), os.RemoveAll(path))
		}
		return h, nil
	}
}

// errTaken: somebody else holds the lock of a home, or has removed it.
var errTaken = errors.New("the directory belongs to another run")

// lockHome takes the lock of a directory that is still there.
func lockHome(path string) (*home, error) {
	before, err := ownDirectory(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errTaken
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errTaken
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errTaken
	}
	var after os.FileInfo
	if err == nil {
		after, err = os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(before, after) {
			err = errTaken
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &home{path: path, lock: f}, nil
}

// note writes down that a process belongs to this run.
func (h *home) note(pid int) error {
	s, err := readStat(pid)
	if err != nil {
		return nil // it has ended already
	}
	if _, err := fmt.Fprintf(h.list, "%d %s\n", pid, s.started); err != nil {
		return fmt.Errorf("note the agent's process: %w", err)
	}
	return nil
}

// remove removes the home. Its lock is held until it is gone.
func (h *home) remove() error {
	err := os.RemoveAll(h.path)
	if h.list != nil {
		_ = h.list.Close()
	}
	_ = h.lock.Close()
	return err
}

// sweep removes the homes of dead runs, and ends their agents that still run.
func sweep(dir string, log zerolog.Logger) error {
	paths, err := filepath.Glob(filepath.Join(escape(dir), homePrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for leftovers in %s: %w", dir, err)
	}
	for _, path := range paths {
		h, err := lockHome(path)
		if errors.Is(err, errTaken) || errors.Is(err, errNotOurs) {
			continue
		}
		if err != nil {
			log.Warn().Err(err).Str("path", path).Msg("what may be left of an earlier run cannot be looked at")
			continue
		}
		ended := h.endProcesses()
		if err := h.remove(); err != nil {
			log.Warn().Err(err).Str("path", path).Msg("what an earlier run has left cannot be removed")
			continue
		}
		log.Info().Str("path", path).Int("processes_ended", ended).Msg("removed what an earlier run had left")
	}
	return nil
}

// endProcesses ends the agents of a dead run, and says how many there were. A
// number that means another process by now is left alone.
func (h *home) endProcesses() (ended int) {
	f, err := os.Open(filepath.Join(h.path, noted))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, started, _ := strings.Cut(lines.Text(), " ")
		pid, err := strconv.Atoi(number)
		if err != nil || pid <= 1 {
			continue
		}
		// A handle names the process for good, however numbers are given out.
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil && s.started == started && s.state != "Z" && p.Kill() == nil {
			ended++
		}
		_ = p.Release()
	}
	return ended
}

// escape makes a directory's name mean itself in a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// owned says whether a file is this user's own.
func owned(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

var errNotOurs = errors.New("it is not this user's own directory")

// ownDirectory says whether a path is a directory of this user's, and no link.
func ownDirectory(path string) (os.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || !owned(info) {
		return nil, fmt.Errorf("%s: %w", path, errNotOurs)
	}
	return info, nil
}
