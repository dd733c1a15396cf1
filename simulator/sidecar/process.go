package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// process names a process for good: its id may be given to another one after
// its end, but not with the same start time.
type process struct {
	pid   int
	start uint64 // as field 22 of /proc/PID/stat has it
}

// processes is what a supervisor needs of the operating system.
type processes interface {
	// Look tells whether the process is there, and whether it is stopped.
	Look(p process) (status, error)
	// Command is its command line; empty while it is between two programs.
	Command(p process) (string, error)
	// Signal never reaches another process; os.ErrProcessDone is the error
	// when p has ended.
	Signal(p process, sig syscall.Signal) error
}

type status struct {
	gone    bool // has ended; its parent may not have noticed yet
	stopped bool // by SIGSTOP or the like, with all threads
}

// procFS looks at processes through /proc, which must be that of the process id
// namespace that this process is in.
type procFS struct{}

// self names this process.
func self() (process, error) {
	stat, err := readStat("/proc/self/stat")
	if err != nil {
		return process{}, fmt.Errorf("cannot find this process in /proc: %w", err)
	}
	return process{os.Getpid(), stat.start}, nil
}

func (procFS) Look(p process) (status, error) {
	dir := "/proc/" + strconv.Itoa(p.pid)
	stat, err := readStat(dir + "/stat")
	switch {
	case isGone(err):
		return status{gone: true}, nil
	case err != nil:
		return status{}, fmt.Errorf("cannot look at process %d: %w", p.pid, err)
	case stat.start != p.start || stat.dead():
		return status{gone: true}, nil
	case stat.state != 'T':
		return status{}, nil
	}
	threads, err := filepath.Glob(dir + "/task/*/stat")
	if err != nil {
		return status{}, err
	}
	for _, thread := range threads {
		stat, err := readStat(thread)
		if err == nil && stat.state != 'T' {
			return status{}, nil
		}
		if err != nil && !isGone(err) {
			return status{}, fmt.Errorf("cannot look at process %d: %w", p.pid, err)
		}
	}
	return status{stopped: true}, nil
}

func (f procFS) Command(p process) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/cmdline")
	if isGone(err) {
		return "", os.ErrProcessDone
	}
	if err != nil {
		return "", fmt.Errorf("cannot look at process %d: %w", p.pid, err)
	}
	// What was read is p's only if the id was still p's afterwards.
	if now, err := f.Look(p); err != nil || now.gone {
		return "", errors.Join(err, os.ErrProcessDone)
	}
	return string(data), nil
}

func (f procFS) Signal(p process, sig syscall.Signal) error {
	// The kernel's handle of a process (pidfd), where there is one, is taken
	// before the start time is compared: the signal then goes to what was
	// compared, even if the id is given away in between.
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return fmt.Errorf("cannot find process %d: %w", p.pid, err)
	}
	defer func() { _ = handle.Release() }()
	now, err := f.Look(p)
	if err != nil {
		return err
	}
	if now.gone {
		return os.ErrProcessDone
	}
	if err := handle.Signal(sig); err != nil {
		return fmt.Errorf("cannot send %v to process %d: %w", sig, p.pid, err)
	}
	return nil
}

type procStat struct {
	state   byte
	threads uint64
	start   uint64
}

// dead tells that the process has ended. A first thread that has ended while
// others live is no such sign: it looks so for a moment when another thread
// runs a new program, as the gate does.
func (s procStat) dead() bool {
	return s.state == 'X' || s.state == 'Z' && s.threads <= 1
}

// readStat reads a stat file of /proc. The second field, the program's name in
// parentheses, may hold anything, parentheses too.
func readStat(path string) (procStat, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (procStat, error) {
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return procStat{}, errors.New("its stat file is not as expected")
	}
	threads, err := strconv.ParseUint(string(fields[17]), 10, 32)
	start, err2 := strconv.ParseUint(string(fields[19]), 10, 64)
	if err = errors.Join(err, err2); err != nil {
		return procStat{}, errors.New("its stat file has no start time or no number of threads")
	}
	return procStat{fields[0][0], threads, start}, nil
}

// isGone tells that a file of /proc could not be read since its process has
// ended, before or while it was read.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
