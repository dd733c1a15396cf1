//go:build !linux

package offspring

import "syscall"

// Attr gives a child its own process group, so that a Ctrl-C in the terminal reaches this process alone, which then ends the child
// in order. Only Linux can tie their lives together.
func Attr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Keep does nothing here.
func Keep(int) error { return nil }
