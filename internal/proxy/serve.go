package proxy

import (
	"errors"
	"os"
	"time"

	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/upstream"
)

// serveOne is the life of one request, whose head was read; f says why it could not be. It reports whether the connection goes on.
func (e *serving) serveOne(f *fault.Error) bool {
	x := &e.s.x
	e.until, e.bytesOut, e.interims, e.interimBytes, e.continued, e.begun = 0, 0, 0, 0, false, false
	e.body, e.counted, e.early, e.prepared = bodyNone, false, false, false
	now := e.now()
	e.busy = true
	var step exchange.Step
	if f != nil {
		step = x.Failed(now, f, false)
	} else {
		x.SetRequestID(e.p.newID())
		step = x.Start(now, e.p.cfg.Table.Load())
		e.begin()
	}
	return e.carryOut(step)
}

// carryOut does step after step until the exchange has ended. It reports whether the client's connection goes on.
func (e *serving) carryOut(step exchange.Step) bool {
	x := &e.s.x
	for {
		switch step.Kind {
		case exchange.Forward:
			f := e.pause(step.After)
			if f == nil {
				f = e.prepare()
			}
			if f != nil {
				step = x.Failed(e.now(), f, false)
				continue
			}
			reused, f := e.attempt()
			if f != nil {
				e.endAttempt(f)
				step = x.Failed(e.now(), f, reused)
				continue
			}
			step = e.responded()
		case exchange.Verify:
			e.p.loop.Offload(x.CheckPassword)
			step = x.Verified(e.now())
		case exchange.Wait:
			step = e.awaitServer()
		case exchange.Relay:
			return e.relay()
		case exchange.Upgrade:
			return e.upgrade()
		case exchange.Answer:
			return e.reply(step.Reply)
		}
	}
}

// pause waits before another try. The client may leave meanwhile.
func (e *serving) pause(d time.Duration) *fault.Error {
	if d <= 0 {
		return nil
	}
	e.p.loop.Sleep(d)
	e.s.x.Resumed(e.now())
	if upstream.Left(e.c) {
		return clientFault(fault.Connect, e.c.Broken())
	}
	return nil
}

// awaitServer waits in the pool's queue. A client that closes meanwhile, be it only its sending half, gives its place up.
func (e *serving) awaitServer() exchange.Step {
	x, c := &e.s.x, e.c
	w := e.p.loop.NewWait()
	step, by, waits := x.Join(e.now(), w.Tell)
	if !waits {
		return step
	}
	c.Listen()
	err := w.Until(by, c)
	switch {
	case err == nil:
		return x.Waited(e.now(), nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return x.Waited(e.now(), &fault.Error{Side: fault.Server, Op: fault.Queue, Kind: fault.Timeout, Err: err})
	case errors.Is(err, fiber.ErrStopped):
		return x.Waited(e.now(), &fault.Error{Side: fault.Internal, Op: fault.Queue, Kind: fault.Cancelled, Err: err})
	}
	return x.Waited(e.now(), clientFault(fault.Queue, err))
}

// responded asks what becomes of an answer whose head has come. One that another server's shall replace is dropped, and one that says that the request may
// go on.
func (e *serving) responded() exchange.Step {
	x := &e.s.x
	server, chosen, asking := x.Server(), x.Times.Chosen, x.Asking()
	step := x.Responded(e.now(), &e.s.resp)
	if step.Kind == exchange.Forward || asking && !x.Asking() {
		e.countAttempt(server, chosen, e.s.resp.Status, nil)
		e.dropAnswer()
	}
	return step
}

// begin sets what counts for the whole exchange once its route is known.
func (e *serving) begin() {
	x := &e.s.x
	e.prepareBody() // also where no route wants it: it is no request
	if x.Route == nil {
		return
	}
	e.p.stats.Start(x.Route.ID)
	e.counted = true
	e.limitTime()
}

// limitTime bounds the exchange.
func (e *serving) limitTime() {
	x := &e.s.x
	if d := x.Within(x.Route.Timeouts.Request); d > 0 {
		e.until = x.Times.Head.Add(d)
		x.Until = e.until
	}
}

// prepare makes of the request what the pool's servers get, before the first attempt at one.
func (e *serving) prepare() *fault.Error {
	if e.prepared || e.s.x.Asking() {
		return nil
	}
	e.prepared = true
	if e.s.x.Web() == exchange.NoWeb {
		return nil
	}
	e.limitTime() // by what the call says
	return e.decodeBody()
}

// streams tells whether the present attempt passes the request's body on as it comes.
func (e *serving) streams() bool { return e.body == bodyStream && !e.s.x.Asking() }

// whole is the body that the present attempt sends with the head.
func (e *serving) whole() []byte {
	if e.s.x.Asking() {
		return nil
	}
	return e.s.upload.body
}

// keepAlive tells whether the client's connection may go on after this exchange, as far as is known now.
func (e *serving) keepAlive() bool {
	if e.s.x.Upgrade() != nil && e.c.Unread() > 0 {
		return false // the client has not waited for the answer: what it sent is no request
	}
	return e.s.req.KeepAlive && !e.p.draining
}
