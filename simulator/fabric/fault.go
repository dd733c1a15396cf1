package fabric

import "time"

// stallRange is how late a stalled node reads; the zero value means not late.
type stallRange struct{ min, max time.Duration }

// Freeze holds the node's I/O as if its process were stopped, while its
// timers and its code keep running:
//
//   - Packets and streams that arrive wait, in order, for Thaw. What does not
//     fit into a receive buffer of 425,984 bytes, each packet charged with 768
//     bytes besides its payload, is dropped, as the kernel does.
//   - Packets that the node sends wait for Thaw too, in a buffer of the same
//     size, and meet the link of that moment. WriteTo does not block.
//   - Reads from streams wait for Thaw or their deadline. Writes fill the
//     stream's window and then wait likewise.
//   - Dials by the node wait for Thaw, within their timeout. Dials to it get no
//     answer until it has thawed.
//
// Freezing a frozen or closed endpoint does nothing.
func (e *Endpoint) Freeze() {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if !e.down && e.thawed == nil {
		e.thawed = make(chan struct{})
	}
}

// Thaw ends a Freeze: what was held is received and sent at once. Thawing an
// endpoint that is not frozen does nothing.
func (e *Endpoint) Thaw() {
	n := e.net
	n.mu.Lock()
	if e.down || e.thawed == nil {
		n.mu.Unlock()
		return
	}
	close(e.thawed)
	e.thawed = nil
	for _, d := range e.inHeld {
		n.release(d)
	}
	for _, c := range e.accepts {
		c.accept()
	}
	for _, c := range e.conns {
		c.cond.Broadcast()
	}
	for _, c := range append([]*conn(nil), e.conns...) {
		c.transmit()
	}
	out := e.outHeld
	e.inHeld, e.accepts, e.outHeld, e.outLen = nil, nil, nil, 0
	n.mu.Unlock()

	for _, o := range out {
		// The endpoint may have closed in between; the packets are lost then.
		_ = e.send(o.to, o.buf)
	}
	n.run()
}

// Stall makes the node read late, as a process starved of CPU does: each
// packet, each accepted stream and each piece of a stream reaches it after a
// delay drawn evenly from lo to hi, in order of arrival. What waits is bounded
// as for [Endpoint.Freeze]. Stall(0, 0) ends it; what is already waiting keeps
// its delay. Negative bounds count as 0, and hi below lo as lo.
func (e *Endpoint) Stall(lo, hi time.Duration) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	lo = max(lo, 0)
	e.stall = stallRange{lo, max(lo, hi)}
}

// late is the instant at which what arrives now reaches the node, not before
// what arrived earlier.
func (e *Endpoint) late(n *Network) time.Duration {
	return max(e.released, n.now()+e.lateness(n))
}

// lateness draws how late the node reads what arrives now.
func (e *Endpoint) lateness(n *Network) time.Duration {
	if e.stall.max == 0 {
		return 0
	}
	node := n.node(e.host.node)
	node.stallSeq++
	f := fate(mix(mix(n.seed^uint64(e.host.node)) + node.stallSeq))
	return e.stall.min + time.Duration(f.chance(drawStall)*float64(e.stall.max-e.stall.min))
}

// Kill ends the process that owns the endpoint, as SIGKILL does, on a machine
// that stays up: its sockets close without a word, the kernel resets its
// streams, and dials to the address are refused until a new endpoint listens
// there. The process's own calls fail with net.ErrClosed from now on.
func (e *Endpoint) Kill() { e.die(false) }

// Crash is [Endpoint.Kill] with the machine going off too: its streams are not
// reset, and dials to the address get no answer until a new endpoint listens
// there.
func (e *Endpoint) Crash() { e.die(true) }

func (e *Endpoint) die(machine bool) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.host.ep == e || e.host.ep == nil {
		e.host.gone = machine
	}
	e.close()
	for _, c := range e.conns {
		c.closed, c.sending = true, nil
		c.drop()
		c.reset()
	}
	e.conns = nil
}
