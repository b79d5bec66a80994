package proxy

import (
	"errors"

	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/msg"
	"poise/internal/relay"
	"poise/internal/upstream"
)

// upgraded is an exchange whose connections were upgraded. It has what is left of it for the log, and no more: most are idle most of the time.
type upgraded struct {
	relay.Relay
	x exchange.Exchange
	e serving // its connections, and what it had counted
	// req is the request as far as it is logged; its slices are of one piece of memory of its own.
	req msg.Request
	// answered is what the server answered in.
	answered msg.Version
}

// upgrade sends the server's 101 to the client, and has a relay pass on what follows. The fiber's work on the connection ends with it.
func (e *serving) upgrade() bool {
	s, x, c := e.s, &e.s.x, e.c
	from, to := c.socket(), e.u.socket()
	relayed := from != nil && to != nil
	if relayed {
		from.GuardReset(to) // while the 101 is on its way, the client may send, and leave as the relay lets it
	}
	e.until = 0 // what bounds a request does not bound what follows it
	s.fields = x.ResponseFields(s.fields[:0], &s.resp, false)
	s.tell = msg.ResponseHead{
		Status: x.Status, Fields: s.fields, NoLength: true, Upgrade: x.Upgrade(),
	}
	err := c.print(&s.tell)
	e.u.forgetHead()
	f := &fault.Error{Side: fault.Internal, Op: fault.WriteAnswer, Err: err}
	if err == nil {
		f = e.sendClient(piece{head: true})
	}
	if f != nil {
		e.endServer(f)
		x.Done(e.now(), f)
		e.report()
		return c.over(outcome{f: f})
	}
	if !relayed {
		return e.relayStreams()
	}
	t := &upgraded{e: *e, answered: s.resp.Version}
	t.e.s, t.e.c, t.e.u = nil, c.detach(), e.u.detach()
	t.keep(&s.req, x)
	t.Relay = relay.Relay{First: from, Second: to, Idle: x.Route.Timeouts.RelayIdle, Done: t.done}
	e.u, e.busy = nil, false
	e.p.stats.UpgradeBegun(t.x.Route.ID)
	t.Start()
	return false
}

// keep copies what is needed until the end.
func (t *upgraded) keep(req *msg.Request, x *exchange.Exchange) {
	id, user := x.RequestID(), x.User()
	text := make([]byte, 0, len(id)+len(user)+len(req.Method)+len(req.Authority)+len(req.Path)+len(req.Query))
	part := func(b []byte) []byte {
		from := len(text)
		text = append(text, b...)
		return text[from:]
	}
	t.req = msg.Request{Method: part(req.Method), Authority: part(req.Authority), Path: part(req.Path), Query: part(req.Query), Version: req.Version}
	t.x = x.Detached(&t.req, part(id), part(user))
}

// done ends the exchange when the relay has ended.
func (t *upgraded) done() {
	s := t.e.p.takeScratch()
	s.e, s.x, s.req = t.e, t.x, t.req
	s.resp.Version = t.answered
	e := &s.e
	e.s, e.busy = s, true
	defer e.unwind()
	up, down := t.Sent()
	e.endUpgrade(t.End(), up, down)
}

// endUpgrade ends an exchange after so many bytes were passed on from the client and to it.
func (e *serving) endUpgrade(end relay.End, up, down int64) bool {
	e.bytesIn += up
	e.bytesOut += down
	e.serverOut += up
	e.serverIn += down
	f := faultOf(end)
	if end.Broken {
		e.u.Reset() // so that nobody takes it for the end of what was to be said
	} else {
		e.u.Finish()
	}
	e.p.stats.UpgradeEnded(e.s.x.Route.ID)
	e.reportAttempt(f)
	e.closeServer()
	e.s.x.Done(e.now(), f)
	e.report()
	if end.Broken {
		return e.c.over(outcome{f: f, untilClose: true})
	}
	return e.c.over(outcome{})
}

// faultOf is how it ended, if not by both sides having said all.
func faultOf(end relay.End) *fault.Error {
	if end.Err == nil {
		return nil
	}
	f := &fault.Error{Side: fault.Client, Op: fault.Relay, Kind: upstream.KindOf(end.Err), Err: end.Err}
	switch {
	case errors.Is(end.Err, fiber.ErrStopped):
		f.Side, f.Kind = fault.Internal, fault.Cancelled
	case errors.Is(end.Err, relay.ErrIdle):
		f.Kind = fault.Timeout
	case end.By == relay.Nobody:
		f.Side = fault.Internal
	}
	if end.By == relay.Second {
		f.Side = fault.Server
	}
	return f
}
