package kernelfault

import "golang.org/x/sys/unix"

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
