package proxy

import (
	"errors"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/pool"
	"poise/internal/stats"
	"poise/internal/upstream"
)

// rival is the second of two tries that run at once. It has a fiber and memory of its own, since what it does may last longer than the exchange.
type rival struct {
	p         *Loop
	server    *pool.Server
	want      upstream.Want
	request   []byte
	writeBy   clock.Instant
	answerBy  clock.Instant
	stall     time.Duration
	idle      time.Duration // how long its connection may be kept
	begun     clock.Instant
	connected clock.Instant

	task    fiber.Task
	first   *upstream.Conn // of the first try, whose fiber is told
	u       *upstream.Conn
	f       *fault.Error
	done    bool // the answer has begun, or f says why not
	dropped bool // nobody wants it any more: its fiber cleans up
}

var (
	errDropped = errors.New("another server has answered")
	// broken is the fault of a rival whose code has panicked.
	broken = &fault.Error{Side: fault.Internal, Op: fault.ReadAnswer}
)

// firstBytes waits for the answer's first bytes where a server that takes unusually long to send them shall get a rival. Afterwards e.u is of the try that
// counts. by is when the answer's head must be there.
func (e *serving) firstBytes(by clock.Instant) *fault.Error {
	at := e.s.x.HedgeAt()
	if at == 0 || e.body == bodyStream || (by != 0 && by <= at) {
		return nil
	}
	e.u.ReadBy(at)
	err := e.u.Next()
	e.u.ReadBy(by)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !e.startRival() {
		return nil // who reads next sees what there is
	}
	return e.race()
}

// startRival asks a second server, if there is one to ask.
func (e *serving) startRival() bool {
	x := &e.s.x
	server := x.HedgeStart(e.now())
	if server == nil {
		return false
	}
	t := &x.Route.Timeouts
	r := &rival{p: e.c.p, server: server, first: e.u, stall: t.Write, idle: t.ServerIdle, begun: e.now()}
	r.want = upstream.Want{Server: server, By: e.rivalBy(e.by(t.Connect))}
	r.writeBy, r.answerBy = e.rivalBy(e.until), e.rivalBy(e.by(t.Response))
	r.request = append(append(r.request, e.s.out...), e.s.upload.body...)
	e.rival = r
	r.task.Start(e.c.p.loop, r.run)
	return true
}

// rivalBy is t, or an earlier end of the second try.
func (e *serving) rivalBy(t clock.Instant) clock.Instant {
	if by := e.s.x.HedgeBy(); by != 0 && (t == 0 || by < t) {
		return by
	}
	return t
}

// run is the rival's fiber.
func (r *rival) run() {
	defer r.end()
	r.f = broken
	if r.u, r.f = r.p.up.Get(&r.want); r.f != nil {
		failed := *r.f
		failed.Safe = false // the first server has the request
		r.f = &failed
		return
	}
	r.connected = r.p.loop.Now()
	if r.dropped {
		r.u.Keep(r.idle)
		r.u = nil
		return
	}
	r.f = broken
	r.u.WriteBy(r.writeBy)
	r.u.StallAfter(r.stall)
	if err := r.u.Send(r.request); err != nil {
		r.f = &fault.Error{Side: fault.Server, Op: fault.WriteHead, Kind: upstream.KindOf(err), Err: err}
		return
	}
	r.u.ReadBy(r.answerBy)
	r.f = nil
	if err := r.u.Next(); err != nil {
		r.f = &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: upstream.KindOf(err), Err: err}
	}
}

// end tells the first try's fiber.
func (r *rival) end() {
	r.done = true
	switch {
	case r.dropped:
		r.close()
	case r.first != nil:
		r.first.Nudge()
	}
}

func (r *rival) close() {
	if r.u != nil {
		r.u.Close()
	}
}

// refused is the status of an answer that says that the server failed, or 0: such a one does not win over a server that may still answer.
func (r *rival) refused() int {
	b := r.u.Buffered()
	const before, all = len("HTTP/1.1 "), len("HTTP/1.1 503")
	if len(b) < all || b[before] != '5' {
		return 0
	}
	return 500 + int(b[before+1]-'0')*10 + int(b[before+2]-'0')
}

// race waits for the one of both tries that is the first to answer.
func (e *serving) race() *fault.Error {
	x, r := &e.s.x, e.rival
	err := e.u.NextOr(&r.done)
	switch {
	case len(e.u.Buffered()) > 0:
		e.dropRival(nil, 0)
	case err != nil:
		return e.outlived(err)
	case r.f != nil:
		e.dropRival(r.f, 0)
	case r.refused() > 0:
		e.dropRival(nil, r.refused())
	default:
		server, chosen := x.Server(), x.Times.Chosen
		x.HedgeWins(e.now())
		e.countAttempt(server, chosen, 0, nil)
		e.takeRival()
	}
	return nil
}

// outlived has the rival go on alone after the first try has failed.
func (e *serving) outlived(err error) *fault.Error {
	x, r := &e.s.x, e.rival
	f := e.serverFault(fault.ReadAnswer, err)
	if f.Side != fault.Server {
		return f
	}
	server, chosen := x.Server(), x.Times.Chosen
	x.HedgeIsLeft(e.now(), f, e.u.Reused)
	e.countAttempt(server, chosen, 0, f)
	e.takeRival()
	r.task.Wait() // while it connects, that it must do in time bounds this: only from then on does it end with the client
	if e.u = r.u; e.u == nil {
		return r.f
	}
	x.Connected(r.connected)
	e.c.Guard(e.u.Conn)
	if r.f == nil {
		return nil
	}
	if r.f.Side == fault.Server {
		return e.serverFault(r.f.Op, r.f.Err)
	}
	return r.f
}

// takeRival makes the rival's connection that of the present try.
func (e *serving) takeRival() {
	r := e.rival
	e.rival = nil
	e.closeServer()
	r.first = nil
	e.serverIn, e.serverOut = 0, int64(len(r.request))
	if e.u = r.u; e.u != nil {
		e.s.x.Connected(r.connected)
		e.c.Guard(e.u.Conn)
	}
}

// dropRival ends the rival. f is how it failed, if it did; status that of its answer, if that is why.
func (e *serving) dropRival(f *fault.Error, status int) {
	r := e.rival
	if r == nil {
		return
	}
	e.rival = nil
	reused := r.u != nil && r.u.Reused
	e.s.x.HedgeOver(e.now(), f, reused, status)
	a := stats.Attempt{Server: r.server.ID, Status: status, Duration: e.now().Sub(r.begun), Out: int64(len(r.request))}
	e.c.p.stats.Attempt(&a)
	if f != nil && f.Side == fault.Server {
		e.c.p.stats.Failed(r.server.ID, f.Kind)
	}
	r.dropped = true
	switch {
	case r.done:
		r.close()
	case r.u != nil:
		r.u.Interrupt(errDropped)
	}
}
