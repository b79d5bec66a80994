package proxy

import (
	"errors"
	"time"

	"poise/internal/clock"
	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/upstream"
)

const (
	// headRoom is how much may be expected before receives go into large buffers.
	headRoom = 16 << 10
	// youngEnough: a request that must not be repeated takes a kept connection only when it was used this lately, since an old one may be closed by the
	// server in this very moment.
	youngEnough = 4 * time.Second
	// maxInterims and maxInterimBytes bound 1xx responses before the final one.
	maxInterims, maxInterimBytes = 16, 64 << 10
)

// attempt sends the request to the server that was chosen, and reads the head of its answer.
func (e *serving) attempt() (reused bool, f *fault.Error) {
	x, s, c := &e.s.x, e.s, e.c
	s.want = upstream.Want{Server: x.Server(), Fresh: x.Fresh, By: e.tryBy(e.by(x.Route.Timeouts.Connect)), Client: c, Upgrade: len(x.Upgrade()) > 0}
	if !exchange.Idempotent(x.Method()) {
		s.want.MaxAge = youngEnough
	}
	if !e.streams() {
		c.Listen() // a reset must be seen while the server is at work; an upload reads anyway
	}
	e.serverIn, e.serverOut, e.keepServer = 0, 0, false
	e.interims, e.interimBytes = 0, 0
	lent, f := e.p.up.Get(&s.want)
	if f != nil {
		return false, f
	}
	e.u = s.takeServer(lent)
	x.Connected(e.now())
	c.Guard(e.u)
	if f := e.sendRequest(); f != nil {
		return e.u != nil && e.u.Reused(), f
	}
	f = e.readAnswer()
	return e.u != nil && e.u.Reused(), f // it may be of another try than u
}

func (e *serving) sendRequest() *fault.Error {
	x, s, u := &e.s.x, e.s, e.u
	if e.mirrors == nil { // else it is what the request's own server got
		s.fields = x.RequestFields(s.fields[:0], s.req.Expect100 && e.body == bodyStream)
		s.ask = e.requestHead()
	}
	if err := u.print(&s.ask); err != nil {
		return &fault.Error{Side: fault.Internal, Op: fault.WriteHead, Err: err}
	}
	u.begin(s.ask.Length == msg.Chunked)
	u.WriteBy(e.tryBy(e.until))
	u.StallAfter(x.Route.Timeouts.Write)
	s.src.own(e.whole())
	s.piece = piece{head: true, from: &s.src, end: !e.streams() && len(s.ask.Upgrade) == 0} // after an upgrade, more follows
	n, err := u.send(&s.piece)
	if err != nil {
		return e.serverFault(fault.WriteHead, err)
	}
	e.serverOut += int64(n)
	if m := x.TakeMirror(); m != nil {
		e.copyTo(m)
	}
	if e.streams() {
		e.startUpload()
	}
	return nil
}

// requestHead is what servers get, with the fields that were chosen last.
func (e *serving) requestHead() msg.RequestHead {
	req, x := &e.s.req, &e.s.x
	h := msg.RequestHead{
		Method: x.Method(), Path: x.Path(), Query: x.Query(), Authority: x.Authority(),
		Fields: e.s.fields, Length: req.Length, HasLength: req.HasLength, Upgrade: x.Upgrade(), Secure: x.Client.Secure, Trailers: req.Trailers,
	}
	if x.Asking() {
		h.Length, h.HasLength, h.Trailers = 0, false, false
		return h
	}
	if x.Web() != exchange.NoWeb {
		h.Trailers = true
		if e.body == bodyWhole {
			h.Length = int64(len(e.s.upload.body))
		} else if x.Web() == exchange.WebText && e.body == bodyStream {
			h.Length, h.HasLength = msg.Chunked, false
		}
	}
	return h
}

// tryBy is t, or an earlier end of the present try. A body that is passed on as it comes can be sent but once: its try has no end of its own.
func (e *serving) tryBy(t clock.Instant) clock.Instant {
	if by := e.s.x.TryBy(); by != 0 && !e.streams() && (t == 0 || by < t) {
		return by
	}
	return t
}

// serverFault says who is to blame for an error on the server's connection: it may have been interrupted for the client's sake.
func (e *serving) serverFault(op fault.Op, err error) *fault.Error {
	if up := &e.s.upload; up.started && up.fault != nil && (up.fault.Side != fault.Server || up.fault.Kind == fault.Timeout) {
		return up.fault
	}
	if errors.Is(err, fiber.ErrStopped) {
		return &fault.Error{Side: fault.Internal, Op: op, Kind: fault.Cancelled, Err: err}
	}
	if upstream.Left(e.c) {
		return upstream.ClientFault(op, e.c)
	}
	kind := upstream.KindOf(err)
	var reset *mux.ResetError
	if errors.As(err, &reset) && reset.Code == h2.Cancel && e.until != 0 && e.now() >= e.until {
		kind = fault.Timeout // a server that was told the time of a call gives up when we do
	}
	return &fault.Error{Side: fault.Server, Op: op, Kind: kind, Safe: errors.Is(err, mux.ErrRefused), Err: err}
}

// readAnswer reads heads until the final response's.
func (e *serving) readAnswer() *fault.Error {
	s := e.s
	e.u.ReadBy(0) // while the request is on its way, what bounds that bounds this
	if !e.uploading() {
		by := e.tryBy(e.by(s.x.Route.Timeouts.Response))
		e.u.ReadBy(by)
		if f := e.firstBytes(by); f != nil {
			return f
		}
	}
	for {
		n, f := e.u.readHead(e)
		if f != nil {
			return f
		}
		e.serverIn += int64(n)
		if s.resp.Status >= 200 || s.x.Switches(&s.resp) {
			return nil
		}
		if f := e.interim(n); f != nil {
			return f
		}
	}
}

func malformedAnswer(err error) *fault.Error {
	return &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Malformed, Err: err}
}

var (
	errUnasked  = errors.New("101 that is no answer to an upgrade that was asked for")
	errInterims = errors.New("too many interim responses")
)

// interim passes a 1xx response on, unless the client speaks HTTP/1.0 (RFC 9110 section 15.2).
func (e *serving) interim(n int) *fault.Error {
	s := e.s
	e.interims++
	e.interimBytes += n
	switch {
	case s.resp.Status == 101:
		return malformedAnswer(errUnasked)
	case e.interims > maxInterims || e.interimBytes > maxInterimBytes:
		return malformedAnswer(errInterims)
	case s.resp.Status == 100 && !s.x.Asking():
		e.continued = true
	}
	if s.req.Version > msg.HTTP10 && !s.x.Asking() {
		s.fields = exchange.InterimFields(s.fields[:0], &s.resp)
		s.tell = msg.ResponseHead{Status: s.resp.Status, Reason: s.resp.Reason, Fields: s.fields, NoLength: true}
		if err := e.c.print(&s.tell); err != nil {
			return malformedAnswer(err)
		}
		if f := e.sendClient(piece{head: true}); f != nil {
			return f
		}
	}
	e.u.forgetHead()
	return nil
}

// sendClient sends to the client, and counts.
func (e *serving) sendClient(p piece) *fault.Error {
	e.c.WriteBy(e.until)
	e.c.StallAfter(e.l.Timeouts.Write)
	begun := e.now()
	e.s.piece = p
	n, err := e.c.send(&e.s.piece)
	switch {
	case err == nil:
		e.bytesOut += int64(n)
		return nil
	case errors.Is(err, h1.ErrField):
		return &fault.Error{Side: fault.Server, Op: fault.ReadAnswerBody, Kind: fault.Malformed, Err: err}
	case e.timeUp(begun):
		return &fault.Error{Side: fault.Server, Op: fault.ReadAnswerBody, Kind: fault.Timeout, Err: err}
	}
	return clientFault(fault.WriteAnswer, err)
}

// stalledAfter is how long a side may take for one piece before the end of the time for the whole exchange counts as its fault.
const stalledAfter = time.Second

// timeUp tells whether the time for the whole exchange was up just when a piece, whose sending began then, was to be passed on: the side that it came
// from has used the time.
func (e *serving) timeUp(begun clock.Instant) bool {
	return e.until != 0 && e.now() >= e.until && e.now().Sub(begun) < stalledAfter
}

// endAttempt cleans up after a failed attempt.
func (e *serving) endAttempt(f *fault.Error) {
	e.stopUpload()
	e.closeServer()
	e.reportAttempt(f)
}

// dropAnswer ends an attempt whose answer nobody gets. Its connection goes on if all of the answer is here.
func (e *serving) dropAnswer() {
	if e.s.resp.KeepAlive && !e.uploading() && e.u.skip(e.s.resp.Length) {
		e.keepServer = e.u.Clean()
	}
	e.stopUpload()
	e.giveServerBack()
}

// closeServer ends the attempt's connection to the server.
func (e *serving) closeServer() {
	e.c.Guard(nil)
	e.dropRival(nil, 0)
	if e.u != nil {
		e.u.Close()
		e.u = nil
	}
}
