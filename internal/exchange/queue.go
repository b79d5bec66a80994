package exchange

import (
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/pool"
)

// QueueEnd is how a request fared that found all servers full.
type QueueEnd uint8

// The ends of a wait.
const (
	NotQueued  QueueEnd = iota
	QueueLeft           // it has got a server, or its client has gone
	QueueFull           // there was no room to wait
	QueueTimes          // it waited for too long
)

// Join begins the wait for a server after Start or Failed have said Wait. waits is false when it is over already: then step is what follows. Otherwise Waited
// must follow: when tell is called, which happens on any goroutine, may happen before Join returns, and must not wait; or at by at the latest.
func (x *Exchange) Join(now clock.Instant, tell func()) (step Step, by clock.Instant, waits bool) {
	p := x.Route.Pool
	if x.Place = p.Join(&x.waiter, &x.query, tell); x.Place == 0 {
		x.Queue = QueueFull
		return x.answer(full, 'P', 'Q'), 0, false
	}
	x.waiting = true
	by = now.Add(p.Patience())
	if x.Until != 0 && x.Until < by {
		by = x.Until
	}
	return Step{}, by, true
}

// Waited ends the wait. f is nil when tell was called, or says why the wait was given up: the client, or the time.
func (x *Exchange) Waited(now clock.Instant, f *fault.Error) Step {
	lease, granted := x.withdraw()
	left := f != nil && f.Side != fault.Server
	if !granted && f != nil && !left && x.query.Prefer != nil {
		x.query.Prefer = nil // its own server had no room for it in time: any other will do, also one that those who wait longer do not want
		x.waiting = x.Route.Pool.Join(&x.waiter, &x.query, func() {}) > 0
		lease, granted = x.withdraw()
	}
	switch {
	case left:
		lease.End()
		return x.fail(f)
	case granted:
		x.hold(now, lease)
		return x.proceed(now)
	case f != nil:
		x.Queue = QueueTimes
		return x.answer(waitedLong, 's', 'Q')
	case x.before != nil:
		return x.fail(x.before)
	}
	return x.unavailable()
}

// proceed goes on as if there had been no wait.
func (x *Exchange) proceed(now clock.Instant) Step {
	if f := x.before; f != nil {
		x.before = nil
		return x.again(now, !f.Safe)
	}
	return Step{Kind: Forward}
}

// withdraw leaves the queue, if the exchange is in it, and returns the lease that was handed to it, if one was.
func (x *Exchange) withdraw() (pool.Lease, bool) {
	if !x.waiting {
		return pool.Lease{}, false
	}
	x.waiting, x.Queue = false, QueueLeft
	return x.Route.Pool.Withdraw(&x.waiter)
}
