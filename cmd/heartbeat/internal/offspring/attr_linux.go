package offspring

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attr makes a child die when the thread that started it does, so that thread must live on (runtime.LockOSThread), and gives it a
// process group of its own: a Ctrl-C in the terminal reaches this process alone, which then ends the child in order.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// Keep ties the program that the calling thread is about to become to its parent, as Attr did with this one: the tie is the first
// thread's alone, and is lost when another one calls exec. The error says that the parent has ended already.
func Keep(parent int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot tie the life of this process to that of process %d: %w", parent, err)
	}
	if now := os.Getppid(); now != parent {
		return fmt.Errorf("process %d, which started this one, has ended", parent)
	}
	return nil
}
