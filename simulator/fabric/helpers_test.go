package fabric_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"heartbeat/gossip/transport/transporttest"
	"heartbeat/simulator/fabric"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) (a, b memberlist.NodeAwareTransport) {
		n := fabric.New(fabric.Config{Links: all(fabric.Link{Delay: time.Millisecond})})
		return listen(t, n, 0), listen(t, n, 1)
	})
}

// all is a link function that gives every link the same shape.
func all(l fabric.Link) func(int, int, fabric.Proto) fabric.Link {
	return func(int, int, fabric.Proto) fabric.Link { return l }
}

func listen(t *testing.T, n *fabric.Network, node int) *fabric.Endpoint {
	t.Helper()
	e, err := n.Listen(node, nodeAddr(node))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func addr(node int) string { return nodeAddr(node).String() }

// pair runs f in a bubble with two endpoints whose links are all alike.
func pair(t *testing.T, l fabric.Link, f func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := fabric.New(fabric.Config{Seed: 7, Links: all(l)})
		f(t, n, listen(t, n, 0), listen(t, n, 1))
	})
}

// packet is one received, with the number that its payload starts with.
type packet struct {
	id int
	at time.Duration // since recording began
}

// record notes what an endpoint's node receives. The result is complete after
// synctest.Wait and valid once stop was called.
func record(e *fabric.Endpoint) (stop func() []packet) {
	var got []packet
	done, ended := make(chan struct{}), make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(ended)
		for {
			select {
			case p := <-e.PacketCh():
				got = append(got, packet{int(p.Buf[0])<<16 | int(p.Buf[1])<<8 | int(p.Buf[2]), time.Since(begin)})
			case <-done:
				return
			}
		}
	}()
	return func() []packet {
		close(done)
		<-ended
		return got
	}
}

// emit sends one numbered packet of the given size, at least 3 bytes.
func emit(t *testing.T, e *fabric.Endpoint, to, id, size int) {
	t.Helper()
	b := make([]byte, max(3, size))
	b[0], b[1], b[2] = byte(id>>16), byte(id>>8), byte(id)
	if _, err := e.WriteTo(b, addr(to)); err != nil {
		t.Fatal(err)
	}
}

// ids lists the numbers of packets in order of arrival.
func ids(ps []packet) []int {
	out := make([]int, len(ps))
	for i, p := range ps {
		out[i] = p.id
	}
	return out
}

// dialled opens a stream from a to b and returns both ends.
func dialled(t *testing.T, a, b *fabric.Endpoint) (near, far net.Conn) {
	t.Helper()
	ip, _, err := b.FinalAdvertiseAddr("", 0)
	if err != nil {
		t.Fatal(err)
	}
	near, err = a.DialTimeout(net.JoinHostPort(ip.String(), "7946"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return near, <-b.StreamCh()
}

// timedOut reports whether an error is what package net returns after a deadline.
func timedOut(err error) bool {
	var op *net.OpError
	var ne net.Error
	return errors.As(err, &op) && errors.As(err, &ne) && ne.Timeout()
}
