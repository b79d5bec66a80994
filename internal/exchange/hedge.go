package exchange

import (
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/pool"
)

// HedgeEnd is how a request fared that a second server was asked for too.
type HedgeEnd uint8

// The ends of a hedge.
const (
	NotHedged HedgeEnd = iota
	HedgeLost          // the first server's try counted
	HedgeWon           // the second's: it was the first to answer, or the first one failed
)

// hedge is the second try of two that run at once. It holds nothing when there is none.
type hedge struct {
	lease  pool.Lease
	server *pool.Server
	chosen clock.Instant
}

// HedgeAt is when a second server is to be asked too, unless the present one has begun to answer; 0: never. Only requests that change nothing at the server
// (RFC 9110 section 9.2.1) are asked for twice at once: the slower of two writes may take effect after the client's next one. Nor those of clients that belong
// to a server, nor a request for an upgrade.
func (x *Exchange) HedgeAt() clock.Instant {
	after := x.Route.Pool.HedgeAfter(x.Client.Loop)
	if after == 0 || x.Hedge != NotHedged || !x.repeatable() || !Safe(x.Method()) || x.query.Prefer != nil || x.query.Key != 0 || x.Upgrade() != nil {
		return 0
	}
	return x.Times.Chosen.Add(after)
}

// HedgeStart chooses the second server, and takes its try out of the budget. nil: there is none to ask.
func (x *Exchange) HedgeStart(now clock.Instant) *pool.Server {
	if x.Hedge != NotHedged || x.isOver(now) || !x.Route.Pool.MayRepeat(now, x.Client.Loop) {
		return nil
	}
	q := x.query
	q.Tried.Add(x.server)
	lease, err := x.Route.Pool.Acquire(now, &q)
	if err != nil {
		return nil
	}
	x.Route.Pool.SpendRepeat(now, x.Client.Loop)
	x.repeats++
	x.Attempts++
	x.Hedge = HedgeLost
	x.hedge = hedge{lease: lease, server: lease.Server(), chosen: now}
	return x.hedge.server
}

// HedgeBy is when the second try must have its answer's head; 0: no bound of its own.
func (x *Exchange) HedgeBy() clock.Instant {
	if r := &x.Route.Retry; r.PerTry > 0 && r.Timeout {
		return x.hedge.chosen.Add(r.PerTry)
	}
	return 0
}

// HedgeOver ends the second try, and the first goes on. f is how it failed, if it did; status that of an answer which was not used, or 0.
func (x *Exchange) HedgeOver(now clock.Instant, f *fault.Error, reused bool, status int) {
	h := &x.hedge
	if h.server == nil {
		return
	}
	switch {
	case f != nil && x.blames(now, f, reused):
		h.lease.Tell(pool.Broken, now.Sub(h.chosen))
	case status != 0:
		h.lease.Tell(pool.OutcomeOf(status), 0)
	}
	h.lease.End()
	x.query.Tried.Add(h.server)
	x.hedge = hedge{}
}

// HedgeWins makes the second try the present one: it was the first to answer.
func (x *Exchange) HedgeWins(now clock.Instant) {
	x.lease.Tell(pool.Outrun, now.Sub(x.Times.Chosen))
	x.promote()
}

// HedgeIsLeft makes the second try the present one: the first has failed.
func (x *Exchange) HedgeIsLeft(now clock.Instant, f *fault.Error, reused bool) {
	if x.blames(now, f, reused) {
		x.lease.Tell(pool.Broken, now.Sub(x.Times.Chosen))
	}
	x.promote()
}

// HedgeIsBetter makes the second try the present one where the first's answer has a status that is named for another try: then that one is under way already.
func (x *Exchange) HedgeIsBetter(now clock.Instant, status int) bool {
	if r := &x.Route.Retry; len(r.Statuses) == 0 || !r.OnStatus(status) || x.isOver(now) {
		return false
	}
	x.lease.Tell(pool.OutcomeOf(status), 0)
	x.promote()
	return true
}

func (x *Exchange) promote() {
	h := &x.hedge
	x.lease.End()
	x.query.Tried.Add(x.server)
	x.lease, x.server = h.lease, h.server
	x.Times.Chosen, x.Times.Connected = h.chosen, 0
	x.Hedge = HedgeWon
	x.hedge = hedge{}
}

// Safe tells whether a request with the method changes nothing (RFC 9110 section 9.2.1).
func Safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}
