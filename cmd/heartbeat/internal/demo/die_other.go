//go:build !linux

package demo

import "syscall"

// dieWithParent gives a child its own process group, so that a Ctrl-C in the
// terminal reaches the demo alone, which then ends the agents in order. Only
// Linux can tie their lives to the demo's.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
