package proxy

import (
	"poise/internal/clock"
	"poise/internal/secure"
)

// A handshake takes as much of a loop's time as dozens of requests, and nothing interrupts it between two waits. So few of them begin in a turn, and those who
// have a connection already are served in between.
const handshakesPerTurn = 4

// handshakes counts those that have begun in this turn.
type handshakes struct {
	turn  clock.Instant
	begun int
}

// begin waits until another handshake may begin.
func (h *handshakes) begin(p *Loop) {
	for {
		if now := p.loop.Now(); now != h.turn {
			h.turn, h.begun = now, 0
		}
		if h.begun < handshakesPerTurn {
			h.begun++
			return
		}
		p.loop.Yield()
	}
}

// unshaken tells whether the client has to make its handshake yet.
func (c *conn) unshaken() bool { return c.l.TLS != nil && !c.Filtered() }

// handshake makes the TLS handshake whose first bytes have come. It reports whether the connection goes on.
func (c *conn) handshake() bool {
	p := c.p
	p.shaking.begin(p)
	begun := p.loop.Now()
	by := begun.Add(c.l.Timeouts.Handshake)
	c.ReadBy(by)
	c.WriteBy(by)
	_, err := secure.Server(c.Conn, c.l.TLS, &p.secure)
	p.stats.Handshake(c.l.Index, err == nil)
	if err != nil {
		_ = c.Close() // with the alert that says why
		return false
	}
	c.ReadBy(0)
	c.WriteBy(0)
	c.client.Secure = true
	c.tls, c.since = p.loop.Now().Sub(begun), p.loop.Now()
	return true
}
