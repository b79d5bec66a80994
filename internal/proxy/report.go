package proxy

import (
	"time"

	"poise/internal/accesslog"
	"poise/internal/clock"
	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/pool"
	"poise/internal/stats"
)

// report writes the one record of an exchange, and counts it.
func (e *serving) report() {
	e.busy = false
	e.dropCopy()
	if e.mirrors != nil {
		e.reportCopy()
		return
	}
	p, x, t := e.p, &e.s.x, &e.s.x.Times
	o := stats.Outcome{
		Listener: e.l.Index, Route: -1, Pool: -1, Status: x.Status, Duration: t.End.Sub(t.FirstByte), In: e.bytesIn, Out: e.bytesOut,
		Retries: max(0, x.Attempts-1), Rejected: x.Own && x.Status >= 400, Refused: x.Refused, Unpaid: x.Unpaid, Cut: x.Cut,
		ClientAborted: x.Status == 499 || x.ClientLeft,
	}
	if e.counted {
		o.Route = x.Route.ID
		if pool := x.Route.Pool; pool != nil {
			o.Pool = pool.ID
			e.countFor(pool)
		}
	}
	if x.Switched() {
		o.Duration = t.Response.Sub(t.FirstByte) // what clients wait for
	}
	p.stats.Exchange(&o)
	if p.log == nil {
		return
	}
	e.s.record = e.record()
	p.log.Append(&e.s.record)
	p.flush = true
}

// countFor counts what of an exchange is the pool's alone.
func (e *serving) countFor(p *pool.Pool) {
	x, s := &e.s.x, e.p.stats
	if x.Unavailable {
		s.Unavailable(p.ID)
	}
	if x.Hedge != exchange.NotHedged {
		s.Hedged(p.ID, x.Hedge == exchange.HedgeWon)
	}
	if x.Queue != exchange.NotQueued {
		s.Queued(p.ID, x.Queue == exchange.QueueFull, x.Queue == exchange.QueueTimes)
	}
}

func (e *serving) record() accesslog.Record {
	x, req, t := &e.s.x, &e.s.req, &e.s.x.Times
	e.s.line = append(append(e.s.line[:0], req.Path...), req.Query...)
	r := accesslog.Record{
		Time: t.FirstByte, RequestID: x.RequestID(), Client: x.ClientAddr(), User: x.User(), Listener: e.l.Name, Protocol: req.Version.String(),
		Method: req.Method, Host: req.Authority, Path: e.s.line, Status: x.Status, BytesIn: e.bytesIn, BytesOut: e.bytesOut,
		Attempts: x.Attempts, Queued: x.Place, Hedge: hedgeEnds[x.Hedge],
		TLS: e.tls, Idle: span(t.Since, t.FirstByte), Head: span(t.FirstByte, t.Head), Auth: span(t.Head, t.Allowed),
		Queue: span(max(t.Head, t.Allowed), t.Chosen), Connect: span(t.Chosen, t.Connected),
		Response: span(t.Connected, t.Response), Body: span(t.Response, t.End), Active: span(t.FirstByte, t.End),
	}
	if len(req.Method) == 0 { // its head was never understood
		r.Protocol = ""
	}
	if x.Times.Response != 0 {
		r.ServerProtocol = e.s.resp.Version.String()
	}
	r.GRPCStatus = -1
	if status, ok := x.CallStatus(); ok {
		r.GRPCStatus = status
	}
	if x.Cut {
		r.Body = -1
	}
	if x.Route != nil {
		r.Route = x.Route.Name
		if x.Route.Pool != nil {
			r.Pool = x.Route.Pool.Name
		}
	}
	if s := x.Server(); s != nil {
		r.Server = s.Name
	}
	r.End, r.Reason = x.End()
	return r
}

// hedgeEnds are the words of the log.
var hedgeEnds = [...]string{exchange.NotHedged: "", exchange.HedgeLost: "lost", exchange.HedgeWon: "won"}

// span is -1 when the phase never ended.
func span(from, to clock.Instant) time.Duration {
	if from == 0 || to == 0 {
		return -1
	}
	return to.Sub(from)
}

// reportAttempt counts one attempt; f says how it failed.
func (e *serving) reportAttempt(f *fault.Error) {
	x, status := &e.s.x, 0
	if x.Times.Response != 0 {
		status = e.s.resp.Status
		if x.Switched() {
			status = x.Status // its head is gone
		}
	}
	e.countAttempt(x.Server(), x.Times.Chosen, status, f)
}

// countAttempt counts an attempt at a server, which was chosen then.
func (e *serving) countAttempt(server *pool.Server, chosen clock.Instant, status int, f *fault.Error) {
	if server == nil {
		return
	}
	a := stats.Attempt{Server: server.ID, Status: status, Duration: e.now().Sub(chosen), In: e.serverIn, Out: e.serverOut}
	if x := &e.s.x; x.Switched() {
		a.Duration = x.Times.Response.Sub(chosen)
	}
	e.p.stats.Attempt(&a)
	if f != nil && f.Side == fault.Server {
		e.p.stats.Failed(server.ID, f.Kind)
	}
}

// abandon ends an exchange whose code has panicked.
func (e *serving) abandon() {
	e.stopUpload()
	e.closeServer()
	x := &e.s.x
	if x.Times.Response == 0 {
		x.Failed(e.now(), &fault.Error{Side: fault.Internal, Op: fault.ReadAnswer}, false)
	}
	x.Done(e.now(), &fault.Error{Side: fault.Internal, Op: fault.WriteAnswer})
	e.report()
}
