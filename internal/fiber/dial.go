package fiber

import (
	"os"

	"poise/internal/clock"
	"poise/internal/sys"
)

// Dial connects to a, until by at the latest (zero: as long as the kernel tries). guard, if not nil, is whose leaving ends the attempt.
func (l *Loop) Dial(a sys.Addr, by clock.Instant, guard Client) (*Conn, error) {
	return l.DialThen(a, by, guard, nil)
}

// DialThen is Dial, and calls then once the socket is closed, also where no connection came of it: on the loop, outside any fiber, exactly once.
func (l *Loop) DialThen(a sys.Addr, by clock.Instant, guard Client, then func()) (*Conn, error) {
	c := l.newConn()
	c.peer, c.state, c.then = a, connecting, then
	if err := l.driver.connect(c); err != nil {
		c.state = closing
		c.putSendMem()
		c.free()
		return nil, err
	}
	c.ops++
	c.sending = true // a connect is the connection's first send
	c.writeBy = by
	if guard != nil {
		guard.Guard(c)
	}
	err := c.awaitSend()
	if guard != nil {
		guard.Guard(nil)
	}
	if err == nil && c.state != connecting {
		err = os.ErrClosed
	}
	if err != nil {
		c.closeNow()
		return nil, err
	}
	c.state, c.writeBy = open, 0
	l.count.Dialled++
	return c, nil
}

// ready is told by the driver: a connect has ended, or the socket takes more bytes.
func (c *Conn) ready(err error) {
	c.ops--
	c.sending = false
	c.putSendMem()
	if err != nil {
		c.sendErr = err
	}
	if c.writer != nil {
		c.wakeWriter()
	}
	c.closeOn()
}
