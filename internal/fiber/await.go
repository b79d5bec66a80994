package fiber

import (
	"io"

	"poise/internal/clock"
)

// Await is Idle for a connection that is in use without having a fiber: h is served when bytes have come, but also when the receiving has ended, when a wait on
// the connection would be interrupted, and when by has passed. The connection stays open. Others may send on it meanwhile.
func (c *Conn) Await(h Handler, by clock.Instant) {
	c.handler, c.idleBy, c.idling = h, by, byAwait
	c.readBy = 0
	if c.unread > 0 || c.recvErr != nil || c.intr != nil || c.state != open {
		c.endIdle()
		return
	}
	c.startRecv(false)
	c.arm()
}

// Hold is Idle for a connection that is not served although its bytes are there, until Resume. It takes no receive buffer meanwhile, where all came at once.
func (c *Conn) Hold(h Handler, by clock.Instant) {
	c.handler, c.idleBy, c.idling = h, by, byHold
	c.readBy, c.writeBy = 0, 0
	if c.recvErr != nil || c.intr != nil || c.state != open {
		c.endIdle()
		return
	}
	c.first.gather(len(c.first.b))
	c.startRecv(false)
	c.arm()
}

// Resume ends Hold: the bytes are served now.
func (c *Conn) Resume() {
	if c.handler != nil && c.idling == byHold {
		c.idling = byIdle
		c.endIdle()
	}
}

// GuardReset is Guard, but that an end behind a filter which its peer has not announced interrupts nothing: what came before it may be on its way.
func (c *Conn) GuardReset(other *Conn) { c.Guard(resetOnly{other}) }

type resetOnly struct{ *Conn }

func (g resetOnly) Left(err error) {
	if err != io.ErrUnexpectedEOF {
		g.Conn.Left(err)
	}
}
