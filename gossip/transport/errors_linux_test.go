package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"heartbeat/gossip/transport/transporttest"
)

// inNamespace runs f on a thread of its own in a fresh network namespace, which ends with the sockets that f opens there. f gets
// functions that set the loopback interface up and down.
func inNamespace(t *testing.T, f func(setUp func(bool))) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		ns, err := netns.New()
		if err != nil {
			done <- fmt.Errorf("a network namespace of one's own (root): %w", err)
			return
		}
		defer ns.Close()
		handle, err := netlink.NewHandleAt(ns)
		if err != nil {
			done <- err
			return
		}
		defer handle.Close()
		lo, err := handle.LinkByName("lo")
		if err != nil {
			done <- err
			return
		}
		f(func(up bool) {
			set := handle.LinkSetDown
			if up {
				set = handle.LinkSetUp
			}
			if err := set(lo); err != nil {
				t.Errorf("setting lo (up %v): %v", up, err)
			}
		})
		done <- nil
	}()
	err := <-done
	switch {
	case err == nil:
	case os.Getenv("CI") == "true" && os.Getuid() == 0:
		t.Fatalf("CI must have it: %v", err)
	default:
		t.Skipf("SKIPPED, INTERFACES THAT GO DOWN ARE NOT TESTED HERE: this needs %v", err)
	}
}

// arrives sends packets until one arrives.
func arrives(t *testing.T, from, to *Transport) {
	t.Helper()
	transporttest.Eventually(t, "a packet arrives", func() bool {
		if _, err := from.WriteTo([]byte{msgUser, 'x'}, at(to, "127.0.0.1")); err != nil {
			t.Fatalf("sending: %v", err)
		}
		select {
		case <-to.PacketCh():
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
}

// An interface that goes down loses packets and refuses streams. When it is up again all works as before, without a new socket.
func TestInterfaceDownAndUp(t *testing.T) {
	inNamespace(t, func(setUp func(bool)) {
		setUp(true)
		a, b := open(t, Config{Logger: zerolog.Nop()}), open(t, Config{Logger: zerolog.Nop()})
		arrives(t, a, b)
		setUp(false)
		for range 3 {
			if _, err := a.WriteTo([]byte{msgUser}, at(b, "127.0.0.1")); err != nil {
				t.Errorf("sending while the interface is down: %v", err)
			}
		}
		select {
		case p := <-b.PacketCh():
			t.Errorf("a packet from %v arrives while the interface is down", p.From)
		case <-time.After(20 * time.Millisecond):
		}
		if conn, err := a.DialTimeout(at(b, "127.0.0.1"), 200*time.Millisecond); err == nil {
			conn.Close()
			t.Error("a stream opens while the interface is down")
		}
		setUp(true)
		arrives(t, a, b)
		arrives(t, b, a)
		conn, err := a.DialTimeout(at(b, "127.0.0.1"), 5*time.Second)
		if err != nil {
			t.Fatalf("dialling after the interface is up again: %v", err)
		}
		conn.Close()
	})
}

// A closed port answers by ICMP. The error belongs to a packet of the past and must not hit a later one, nor end the receiving.
func TestRefusedByICMP(t *testing.T) {
	a, b := open(t, Config{Logger: zerolog.Nop()}), open(t, Config{Logger: zerolog.Nop()})
	// Without this option the kernel tells only connected sockets; with it, every call on the socket may return such errors.
	raw, err := a.udp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1) }); err != nil || set != nil {
		t.Fatal(err, set)
	}
	closed := open(t, Config{Logger: zerolog.Nop()})
	nobody := at(closed, "127.0.0.1")
	if err := closed.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := a.WriteTo([]byte{msgUser}, nobody); err != nil {
			t.Fatalf("sending to a closed port: %v", err)
		}
		arrives(t, b, a)
		arrives(t, a, b)
	}
	drops := a.Stats().Drops
	if drops[PacketReceiveError]+drops[PacketSendLost] == 0 {
		t.Error("the kernel has not reported a refusal: this test tests nothing")
	}
}

// The kernel has no room for what is sent: packets are lost and counted, and the next ones go.
func TestSendBufferFull(t *testing.T) {
	a, b := open(t, Config{Logger: zerolog.Nop()}), open(t, Config{Logger: zerolog.Nop()})
	if err := a.udp.SetWriteBuffer(1); err != nil { // the kernel makes it its smallest, some 4 KiB
		t.Fatal(err)
	}
	large := make([]byte, 60000)
	large[0] = msgUser
	_, err := a.WriteTo(large, at(b, "127.0.0.1"))
	if err != nil && !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("sending more than the socket holds: %v", err)
	}
	arrives(t, a, b)
}

// The listener gets no descriptors for a while: it says so, counts it, and accepts again afterwards.
func TestNoDescriptorsForAWhile(t *testing.T) {
	tr := open(t, Config{Logger: zerolog.Nop()})
	client, err := net.Listen("tcp", "127.0.0.1:0") // so that the poller and its descriptors exist
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(fd) + 1, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: tr.Port(), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	waitDrops(t, tr, StreamAcceptError, 1)
	restore()
	transporttest.Eventually(t, "the stream is accepted", func() bool { return tr.Stats().StreamsOpen == 1 })
}

// A dial that nobody answers ends with its timeout.
func TestDialIsBounded(t *testing.T) {
	tr := open(t, Config{Logger: zerolog.Nop()})
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	err = errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0))
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	transporttest.Eventually(t, "the backlog is full, and a dial times out", func() bool {
		conn, err := tr.DialTimeout(addr, 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			return false
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || !strings.Contains(err.Error(), addr) {
			t.Errorf("dialling: %v", err)
		}
		return true
	})
}

// An answer that the engine is giving when the shutdown begins is given to its end; one that takes too long is cut.
func TestShutdownLetsAnswersEnd(t *testing.T) {
	a, b := open(t, Config{Logger: zerolog.Nop()}), open(t, Config{Bind: "127.0.0.2", Logger: zerolog.Nop()})
	conn, err := a.DialTimeout(at(b, "127.0.0.2"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{msgPing}); err != nil {
		t.Fatal(err)
	}
	inbound := nextStream(t, b)
	if _, err := inbound.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Shutdown() }()
	transporttest.Eventually(t, "the shutdown has begun", func() bool {
		_, err := b.DialTimeout("127.0.0.1:9", time.Second)
		return errors.Is(err, errDown)
	})
	answer := []byte{msgAck, 0x81, 0xa5, 'S', 'e', 'q', 'N', 'o', 1}
	if _, err := inbound.Write(answer); err != nil {
		t.Errorf("writing the answer: %v", err)
	}
	if err := inbound.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(answer))
	if n, err := conn.Read(got); err != nil || string(got[:n]) != string(answer) {
		t.Errorf("read %q, error %v", got, err)
	}
}
