package proxy

import (
	"container/list"
	"crypto/tls"
	"errors"
	"time"

	"poise/internal/clock"
	"poise/internal/exchange"
	"poise/internal/secure"
)

// A handshake takes as much of a loop's time as dozens of requests, and nothing interrupts it between two waits. So one begins in a turn, and those that go on
// after a wait do so while the turn is short yet, or one by one; who has a connection already is served in between. Four at a time made no more
// handshakes a second, and who was connected waited twice as long.
const (
	beginsPerTurn = 1
	stepsPerTurn  = 1
	shortTurn     = time.Millisecond
)

// handshakes are those of a loop.
//
//	bytes come ── too many begin ──► held ── some turn later ──► going ──► over
//	    └──────────────────────────────────────────────────────────┘
//
// A held one has no fiber and no buffer: they are as many as connections may be. Those going are at most as many as is set, since each has a stack and the
// state of its handshake. A client takes part in a fraction of a second; who stops half-way becomes the oldest, and makes room for others.
type handshakes struct {
	most  int       // going
	going list.List // of *shake, the oldest first
	held  []*conn   // the oldest first; those that are not held any more are gone
	calls bool      // a fiber has held ones begin

	turn         clock.Instant
	begun, steps int // in this turn
}

// shake is a handshake under way.
type shake struct {
	c         *conn
	displaced bool
}

var errDisplaced = errors.New("too many handshakes are under way, and this is the oldest")

func (h *handshakes) at(now clock.Instant) {
	if now != h.turn {
		h.turn, h.begun, h.steps = now, 0, 0
	}
}

// enter takes a handshake among those going.
func (h *handshakes) enter(c *conn) (*shake, *list.Element) {
	s := &shake{c: c}
	e := h.going.PushBack(s)
	for h.going.Len() > h.most {
		oldest := h.going.Remove(h.going.Front()).(*shake)
		oldest.displaced = true
		oldest.c.Interrupt(errDisplaced)
	}
	return s, e
}

// pace lets a handshake go on at the end of this turn or of a later one.
func (p *Loop) pace() {
	h := &p.shaking
	for {
		p.loop.Late()
		h.at(p.loop.Now())
		if h.steps < stepsPerTurn || clock.Now().Sub(h.turn) < shortTurn {
			h.steps++
			return
		}
	}
}

// callHeld has the held ones begin, few in each turn, until there are none.
func (p *Loop) callHeld() {
	h := &p.shaking
	for len(h.held) > 0 {
		p.loop.Yield()
		h.at(p.loop.Now())
		for len(h.held) > 0 && h.begun < beginsPerTurn {
			c := h.held[0]
			h.held[0], h.held = nil, h.held[1:]
			if c.held {
				h.begun++
				c.Resume()
			}
		}
	}
	h.held, h.calls = nil, false
}

// unshaken tells whether the client has to make its handshake yet.
func (c *conn) unshaken() bool { return c.l.TLS != nil && !c.Filtered() }

// begins reports whether the handshake whose first bytes have come begins now; else the connection is held, and served again when it does.
func (c *conn) begins() bool {
	p, h := c.p, &c.p.shaking
	if c.held { // and called
		c.held = false
		return true
	}
	h.at(p.loop.Now())
	if h.begun < beginsPerTurn && len(h.held) == 0 {
		h.begun++
		return true
	}
	h.held = append(h.held, c)
	c.held, c.tls = true, p.loop.Now().Sub(c.since)
	if !h.calls {
		h.calls = true
		p.loop.Go(p.callHeld)
	}
	c.Hold(c, c.since.Add(c.l.Timeouts.Handshake))
	return false
}

// handshake makes the TLS handshake whose first bytes have come. It reports whether the connection goes on.
func (c *conn) handshake() bool {
	p := c.p
	begun := p.loop.Now()
	if c.tls >= 0 {
		begun = c.since.Add(c.tls)
	}
	by := c.since.Add(c.l.Timeouts.Handshake)
	c.ReadBy(by)
	c.WriteBy(by)
	h, place := p.shaking.enter(c)
	s, err := secure.Server(c.Conn, c.l.TLS, &p.secure, p.pace)
	p.shaking.going.Remove(place) // if it is there yet
	if err != nil || h.displaced {
		p.stats.HandshakeFailed(c.l.Index, h.displaced)
		if h.displaced {
			c.Abort()
		}
		_ = c.Close() // with the alert that says why
		return false
	}
	c.ReadBy(0)
	c.WriteBy(0)
	state := s.State()
	p.stats.Handshake(c.l.Index, state.DidResume)
	c.h2 = state.NegotiatedProtocol == "h2"
	c.client.Secure, c.client.ServerName = true, state.ServerName
	if c.l.Clients != nil {
		if c.client.Identity, err = identify(c.l.Clients, &state); err != nil {
			c.Abort()
			return false
		}
	}
	c.tls, c.since = p.loop.Now().Sub(begun), p.loop.Now()
	return true
}

// identify finds out whom the client has proved to be.
func identify(rule *secure.Clients, state *tls.ConnectionState) (*exchange.Identity, error) {
	var chain [][]byte
	subject := ""
	if shown := state.PeerCertificates; len(shown) > 0 {
		subject = shown[0].Subject.String()
	}
	switch shown := state.PeerCertificates; len(shown) {
	case 0:
	case 1:
		chain = append(chain, shown[0].Raw)
	default: // which of those behind the first lead to an authority is not in state; the last is the authority
		verified, err := rule.Verify(shown, time.Now())
		if err != nil {
			return nil, err
		}
		for _, x := range verified[:max(1, len(verified)-1)] {
			chain = append(chain, x.Raw)
		}
	}
	return exchange.NewIdentity(state.ServerName, chain, subject), nil
}
