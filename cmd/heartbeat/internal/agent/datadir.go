package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dataDir is the directory where an agent keeps what a restart needs, locked
// against a second agent.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir creates the directory when it is missing and locks it. The lock
// ends with the process, however that ends; its file stays.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, dataDirError(path, err)
	}
	name := filepath.Join(path, "agent.lock")
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, dataDirError(path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := lockHolder(lock)
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data directory %s is in use by another agent%s: give each agent its own data_dir", path, holder)
		}
		return nil, fmt.Errorf("cannot lock the data directory %s: %w", path, err)
	}
	if err := probeWritable(path); err != nil {
		_ = lock.Close()
		return nil, dataDirError(path, err)
	}
	// For the message above only: on a full disk it is done without.
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dataDir{path: path, lock: lock}, nil
}

// probeWritable tells whether files can be made in the directory. A full disk
// is no reason to refuse it: space may come back.
func probeWritable(path string) error {
	f, err := os.CreateTemp(path, ".probe.*")
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func dataDirError(path string, err error) error {
	return fmt.Errorf("cannot use the data directory %s: %w; make it a directory that user %d may write to, or set data_dir to another", path, err, os.Getuid())
}

// lockHolder names the process that the lock's file speaks of.
func lockHolder(lock *os.File) string {
	buf := make([]byte, 16)
	n, err := lock.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// close gives the directory free.
func (d *dataDir) close() {
	_ = d.lock.Close() // nothing was written that could be lost
}
