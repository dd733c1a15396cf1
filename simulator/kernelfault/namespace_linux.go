package kernelfault

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// holdNamespace returns a descriptor of our own for a namespace.
func holdNamespace(fd int) (int, error) {
	if fd == 0 {
		ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open this thread's network namespace: %w", err)
		}
		return ns, nil
	}
	ns, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("use file descriptor %d as a network namespace: %w", fd, err)
	}
	return ns, nil
}

// entered is the namespace as netlink sockets are to be told of it: 0, which
// means none, when this thread is in it already. To enter a namespace, even
// one's own, takes CAP_SYS_ADMIN, and a fault agent has CAP_NET_ADMIN alone.
func entered(namespace int) int {
	var wanted, own unix.Stat_t
	if unix.Fstat(namespace, &wanted) == nil && unix.Stat("/proc/thread-self/ns/net", &own) == nil &&
		wanted.Dev == own.Dev && wanted.Ino == own.Ino {
		return 0
	}
	return namespace
}
