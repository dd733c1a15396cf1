package demo

import "syscall"

// dieWithParent ends a child when the demo itself is killed without a chance
// to clean up. The agents get a process group of their own, so that a Ctrl-C
// in the terminal reaches the demo alone, which then ends them in order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
