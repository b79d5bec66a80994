package proxy

import (
	"bytes"
	"errors"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/stats"
	"poise/internal/upstream"
)

// rival is the second of two tries that run at once. It has a fiber and memory of its own, since what it does may last longer than the exchange.
type rival struct {
	p         *Loop
	server    *pool.Server
	want      upstream.Want
	head      msg.RequestHead
	body      []byte // beside the head, in memory of the rival's own
	sent      int64
	writeBy   clock.Instant
	answerBy  clock.Instant
	stall     time.Duration
	idle      time.Duration // how long its connection may be kept
	begun     clock.Instant
	connected clock.Instant

	first   server      // of the first try, whose fiber is told
	alone   *fiber.Wait // of that fiber, once the first try has failed
	u       server      // nil: none
	f       *fault.Error
	status  int  // of its answer
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
	if at == 0 || e.streams() || (by != 0 && by <= at) {
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
	r := &rival{p: e.p, server: server, first: e.u, stall: t.Write, idle: t.ServerIdle, begun: e.now()}
	r.want = upstream.Want{Server: server, By: e.rivalBy(e.by(t.Connect))}
	r.writeBy, r.answerBy = e.rivalBy(e.until), e.rivalBy(e.by(t.Response))
	r.head, r.body = e.s.ask.Clone(), bytes.Clone(e.whole())
	e.rival = r
	e.p.loop.Go(r.run)
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
	lent, f := r.p.up.Get(&r.want)
	if r.f = f; f != nil {
		failed := *r.f
		failed.Safe = false // the first server has the request
		r.f = &failed
		return
	}
	r.u = new(scratch).takeServer(lent)
	r.connected = r.p.loop.Now()
	if r.dropped {
		r.u.Keep(r.idle)
		r.u = nil
		return
	}
	r.f = broken
	r.u.WriteBy(r.writeBy)
	r.u.StallAfter(r.stall)
	if err := r.send(); err != nil {
		r.f = rivalFault(fault.WriteHead, err)
		return
	}
	r.u.ReadBy(r.answerBy)
	r.f = r.readStatus()
}

// send sends the whole request.
func (r *rival) send() error {
	err := r.u.print(&r.head)
	if err != nil {
		return err
	}
	r.u.begin(false)
	var body source
	body.own(r.body)
	n, err := r.u.send(&piece{head: true, from: &body, end: true})
	r.sent = int64(n)
	return err
}

// readStatus waits until it is known whether the server has an answer: what is none shall not win over a server that may still have one.
func (r *rival) readStatus() *fault.Error {
	for {
		var err error
		switch r.status, err = r.u.status(); {
		case err != nil:
			return malformedAnswer(err)
		case r.status == 101:
			return malformedAnswer(errUnasked)
		case r.status > 0:
			return nil
		}
		if err := r.u.Fill(); err != nil {
			return rivalFault(fault.ReadAnswer, err)
		}
	}
}

// rivalFault is the server's, unless we stop.
func rivalFault(op fault.Op, err error) *fault.Error {
	if errors.Is(err, fiber.ErrStopped) {
		return &fault.Error{Side: fault.Internal, Op: op, Kind: fault.Cancelled, Err: err}
	}
	return &fault.Error{Side: fault.Server, Op: op, Kind: upstream.KindOf(err), Err: err}
}

// end tells the first try's fiber.
func (r *rival) end() {
	r.done = true
	switch {
	case r.dropped:
		r.close()
	case r.first != nil:
		r.first.Nudge()
	case r.alone != nil:
		r.alone.Tell()
	}
}

// failed tells whether there is nothing to hope for.
func (r *rival) failed() bool { return r.done && (r.f != nil || r.status >= 500) }

// drop ends it: its fiber cleans up, or has ended already.
func (r *rival) drop() {
	r.dropped = true
	switch {
	case r.done:
		r.close()
	case r.u != nil:
		r.u.Interrupt(errDropped)
	}
}

func (r *rival) close() {
	if r.u != nil {
		r.u.Close()
	}
}

// race waits for the one of both tries that is the first to answer.
func (e *serving) race() *fault.Error {
	x, r := &e.s.x, e.rival
	server, chosen := x.Server(), x.Times.Chosen
	err := e.u.NextOr(&r.done)
	switch {
	case e.u.begun():
		if status, _ := e.u.status(); !r.failed() && x.HedgeIsBetter(e.now(), status) {
			e.countAttempt(server, chosen, status, nil)
			return e.goOnAlone()
		}
		e.dropRival(nil, 0)
	case err != nil:
		return e.outlived(err)
	case r.f != nil:
		e.dropRival(r.f, 0)
	case r.status >= 500: // such a one does not win over a server that may still answer
		e.dropRival(nil, r.status)
	default:
		x.HedgeWins(e.now())
		e.countAttempt(server, chosen, 0, nil)
		e.takeRival()
	}
	return nil
}

// outlived has the rival go on alone after the first try has failed.
func (e *serving) outlived(err error) *fault.Error {
	x := &e.s.x
	f := e.serverFault(fault.ReadAnswer, err)
	if f.Side != fault.Server {
		return f
	}
	server, chosen := x.Server(), x.Times.Chosen
	x.HedgeIsLeft(e.now(), f, e.u.Reused())
	e.countAttempt(server, chosen, 0, f)
	return e.goOnAlone()
}

// goOnAlone leaves the first try, and waits for what the rival comes to.
func (e *serving) goOnAlone() *fault.Error {
	x, r := &e.s.x, e.rival
	e.takeRival()
	if f := e.awaitRival(r); f != nil {
		return f
	}
	if e.u = r.u; e.u == nil {
		return r.f
	}
	x.Connected(r.connected)
	e.c.Guard(e.u)
	if r.f == nil {
		return nil
	}
	if e.u.begun() {
		x.AnswerBegun()
	}
	if upstream.Left(e.c) {
		return e.serverFault(r.f.Op, r.f.Err)
	}
	return r.f
}

// awaitRival waits until the rival, which is alone, has an answer or has failed; the fault is of who ends it before, as a client does that leaves.
func (e *serving) awaitRival(r *rival) *fault.Error {
	if r.done {
		return nil
	}
	r.alone = e.p.loop.NewWait()
	err := r.alone.UntilReset(0, e.c)
	if err == nil {
		return nil
	}
	r.drop()
	return e.serverFault(fault.ReadAnswer, err)
}

// takeRival makes the rival's connection that of the present try.
func (e *serving) takeRival() {
	r := e.rival
	e.rival = nil
	e.closeServer()
	r.first = nil
	e.serverIn, e.serverOut = 0, r.sent
	if e.u = r.u; e.u != nil {
		e.s.x.Connected(r.connected)
		e.c.Guard(e.u)
	}
}

// dropRival ends the rival. f is how it failed, if it did; status that of its answer, if that is why.
func (e *serving) dropRival(f *fault.Error, status int) {
	r := e.rival
	if r == nil {
		return
	}
	e.rival = nil
	reused := r.u != nil && r.u.Reused()
	e.s.x.HedgeOver(e.now(), f, reused, status)
	a := stats.Attempt{Server: r.server.ID, Status: status, Duration: e.now().Sub(r.begun), Out: r.sent}
	e.p.stats.Attempt(&a)
	if f != nil && f.Side == fault.Server {
		e.p.stats.Failed(r.server.ID, f.Kind)
	}
	r.drop()
}
