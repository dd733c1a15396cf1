package agent

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// trim hands memory back that only the start has needed: the free part of the
// heap, and those pages of the program's own code and constants that are not
// used while it runs, which are most of them. The kernel reads a page back from
// its cache when it is needed after all. On an error more memory stays in use.
func trim() error {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("trim the memory: %w", err)
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("trim the memory: %w", err)
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	var from, to uintptr
	code := false // whether from and to are pages of the program
	for lines.Scan() {
		// A mapping's range comes first, then facts about it, one a line.
		private, isFact := strings.CutPrefix(lines.Text(), "Anonymous:")
		if !isFact {
			if strings.Contains(strings.SplitN(lines.Text(), " ", 2)[0], "-") {
				from, to, code = codePages(lines.Text(), exe)
			}
			continue
		}
		// Pages that are read-only now may have been written before: what a
		// position-independent program (go build -buildmode=pie) was relocated
		// to is private to the process and would be lost.
		if !code || strings.TrimSpace(private) != "0 kB" {
			continue
		}
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("trim the memory of the program at %x: %w", from, errno)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("trim the memory: %w", err)
	}
	return nil
}

// codePages reads a line of proc_pid_maps(5) and returns its range when it is a
// read-only private mapping of the given file.
func codePages(line, file string) (from, to uintptr, ok bool) {
	fields := strings.SplitN(line, " ", 6) // range, permissions, offset, device, inode, path
	if len(fields) < 6 || strings.TrimSpace(fields[5]) != file {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil || from >= to {
		return 0, 0, false
	}
	return from, to, fields[1] == "r-xp" || fields[1] == "r--p"
}
