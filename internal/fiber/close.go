package fiber

import (
	"io"
	"net"
	"time"

	"poise/internal/clock"
)

// Close ends the connection so that nothing sent is lost: what is queued goes out, then a FIN; what still comes is read and dropped until the peer's
// FIN, for 2 s or 1 MiB at most. It does not wait for that.
func (c *Conn) Close() error {
	if c.state >= flushing {
		return nil
	}
	c.wakeAll()
	c.dropUnread()
	c.handler, c.guard, c.idling = nil, nil, byIdle
	if c.state == connecting {
		c.closeNow()
		return nil
	}
	if c.filter != nil && c.sendErr == nil && (c.recvErr == nil || c.recvErr == io.EOF) {
		c.enqueue(c.filter.end(c.queueMem()))
	}
	c.state = flushing
	c.lingBy = c.loop.now.Add(lingerTime)
	if c.writeBy > c.lingBy {
		c.lingBy = c.writeBy // queued bytes have as long as a stalled write may take
	}
	c.arm()
	c.closeOn()
	return nil
}

// Finish is Close where the peer has said that it sends nothing more: nobody waits for its FIN then.
func (c *Conn) Finish() {
	if c.state != open || c.sending || len(c.queue) > 0 || c.unread > 0 || c.recvErr != nil || c.sendErr != nil || (c.filter != nil && !c.filter.ended) {
		_ = c.Close()
		return
	}
	c.closeNow()
}

// Abort closes at once; what is in flight is cancelled. Unread or unsent bytes make it a reset.
func (c *Conn) Abort() { c.closeNow() }

// End closes a connection from outside. If a fiber works with it, the fiber is told err and closes it: what was received may be on its way to
// another connection, and is given back only then.
func (c *Conn) End(err error) {
	if (c.handler != nil && c.idling != byAwait) || c.state >= flushing {
		c.closeNow()
		return
	}
	c.Interrupt(err)
}

// Reset closes at once and visibly: the peer gets a reset, never a clean end.
func (c *Conn) Reset() {
	c.reset = true
	c.closeNow()
}

// Closed tells whether Close, Abort or Reset was called, or the connection ended while idle.
func (c *Conn) Closed() bool { return c.state >= flushing }

// closeOn takes the next step of a close when one is due: it is called after each operation's end.
func (c *Conn) closeOn() {
	switch c.state {
	case flushing:
		if c.sending || (c.sendErr == nil && len(c.queue) > 0) {
			return
		}
		if c.sendErr != nil || c.recvErr != nil {
			c.closeNow() // the peer's FIN is here already, or nobody listens
			return
		}
		c.state = lingering
		c.intake = Heads
		c.lingBy = c.loop.now.Add(lingerTime)
		c.loop.driver.shutdown(c)
		c.startRecv(false)
		c.arm()
	case closing:
		if c.ops == 0 {
			c.free()
		}
	}
}

// lingerOn ends the lingering once the peer has closed, or has sent too much.
func (c *Conn) lingerOn() {
	if c.state == lingering {
		if c.recvErr == nil && c.lingered <= lingerBytes {
			c.startRecv(false)
			return
		}
		c.closeNow()
		return
	}
	c.closeOn()
}

func (c *Conn) closeNow() {
	if c.state >= closing {
		return
	}
	c.state = closing
	c.wakeAll()
	c.dropUnread()
	c.handler, c.guard, c.idling = nil, nil, byIdle
	c.loop.timers.remove(&c.timer)
	if c.ops > 0 {
		c.loop.driver.cancelAll(c)
		return
	}
	c.free()
}

// wakeAll ends the waits of other fibers on this connection; they find it closed.
func (c *Conn) wakeAll() {
	if c.reader != nil {
		c.wakeReader()
	}
	// A writer wakes with its send's end: its slices are in flight until then.
}

func (c *Conn) dropUnread() {
	c.first.drop()
	for i := range c.rest {
		c.rest[i].drop()
	}
	c.rest, c.unread = nil, 0
}

// free gives the socket back. Nothing is in flight.
func (c *Conn) free() {
	if c.state == released {
		return
	}
	c.state = released
	l := c.loop
	if c.writer != nil {
		c.wakeWriter()
	}
	l.driver.release(c, c.reset)
	last := len(l.conns) - 1
	l.conns[c.index] = l.conns[last]
	l.conns[c.index].index = c.index
	l.conns[last] = nil
	l.conns = l.conns[:last]
	l.count.Closed++
	if c.ln != nil && c.ln.on.Closed != nil {
		c.ln.on.Closed(c)
	}
	if c.then != nil {
		l.freed = append(l.freed, c.then)
	}
}

// Read is net.Conn's.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.Next(); err != nil {
		return 0, err
	}
	n := copy(p, c.first.b)
	c.Discard(n)
	return n, nil
}

// CloseWrite sends a FIN after what is queued, and keeps reading.
func (c *Conn) CloseWrite() error {
	for c.sending {
		if err := c.awaitSend(); err != nil {
			return err
		}
	}
	if err := c.sendable(); err != nil {
		return err
	}
	if c.filter != nil {
		c.enqueue(c.filter.end(c.queueMem()))
		if err := c.awaitSend(); err != nil {
			return err
		}
	}
	c.sendErr = net.ErrClosed
	c.loop.driver.shutdown(c)
	return nil
}

// LocalAddr is net.Conn's; only its network is known without a system call.
func (c *Conn) LocalAddr() net.Addr { return netAddr{network: c.peer.Network()} }

// RemoteAddr is net.Conn's.
func (c *Conn) RemoteAddr() net.Addr { return netAddr{c.peer.Network(), c.peer.Dialable()} }

// SetDeadline is net.Conn's.
func (c *Conn) SetDeadline(t time.Time) error {
	c.ReadBy(instant(t))
	c.WriteBy(instant(t))
	return nil
}

// SetReadDeadline is net.Conn's.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.ReadBy(instant(t))
	return nil
}

// SetWriteDeadline is net.Conn's.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.WriteBy(instant(t))
	return nil
}

func instant(t time.Time) clock.Instant {
	if t.IsZero() {
		return 0
	}
	return clock.Now().Add(time.Until(t))
}

type netAddr struct{ network, address string }

func (a netAddr) Network() string { return a.network }
func (a netAddr) String() string  { return a.address }

var _ interface {
	net.Conn
	io.Writer
} = (*Conn)(nil)
