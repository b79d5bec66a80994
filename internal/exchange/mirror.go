package exchange

import (
	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/route"
)

// A route may have copies of its requests go to the servers of another pool, its mirror. A copy is an exchange of its own for which nobody waits: it begins
// once the request was sent, is what the request's own server gets, and its answer is dropped.

// TakeMirror is where a copy of the request is to go, or nil. It is told once.
func (x *Exchange) TakeMirror() *route.Mirror {
	m := x.mirror
	if m == nil || x.Asking() || x.Upgrade() != nil {
		return nil
	}
	x.mirror = nil
	return m
}

// mirrors tells whether the request is among those that are copied.
func (x *Exchange) mirrors(m *route.Mirror) bool {
	return m.Share >= 1 || x.chanceOf(mirrorSalt) < m.Share
}

// mirrorSalt makes what is copied independent of which pool of a split gets the request.
const mirrorSalt = 1 << 32

// BeginCopy makes x ready for a copy of another exchange's request.
func (x *Exchange) BeginCopy(now clock.Instant, of *Exchange, req *msg.Request, m *route.Mirror) {
	x.Begin(of.Client, req, Times{FirstByte: now, Head: now})
	x.Route, x.From, x.requestID, x.idLen, x.copied = m.Route, of.From, of.requestID, of.idLen, true
	x.call.is, x.call.status = of.call.is, noStatus
}

// StartCopy finds a server for it.
func (x *Exchange) StartCopy(now clock.Instant) Step { return x.take(now) }
