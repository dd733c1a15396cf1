//go:build !linux

package agent

import "runtime/debug"

// trim hands memory back that only the start has needed.
func trim() error {
	debug.FreeOSMemory()
	return nil
}
