package sidecar

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// ReapOrphans takes notice of the end of processes that were given to this one
// because it is the first of its process id namespace, so that they do not stay
// as zombies; until ctx ends. It is only for a process that starts none itself:
// whoever waits for a child of its own would miss it.
func ReapOrphans(ctx context.Context) {
	// The first search makes package os try the kernel with a child of its own.
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Release()
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(ended)
		for {
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
					break
				}
			}
			select {
			case <-ended:
			case <-ctx.Done():
				return
			}
		}
	}()
}
