package proxy

import (
	"errors"
	"time"

	"poise/internal/encode"
	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/msg"
	"poise/internal/mux"
)

// relay sends the server's answer to the client and ends the exchange. It reports whether the client's connection goes on.
//
// What becomes of the connections once the answer is through, where both sides want to keep theirs:
//
//	the request's body                                         client's      server's
//	none, or all of it sent                                    goes on       serves others
//	all received, the news of its last send still to come      as above: settleUpload waits for it
//	sent by the time that the answer ended, not when it began  goes on       serves others
//	all received, and the server takes no more of it           goes on       closed
//	still coming when the answer ended (early)                 closed        closed
//	still coming when the head came, and the status is 300     closed, and   closed
//	or more, a 100 was waited for, or the server takes no      told so
//	more of it (bodyMissing)
//	not begun, since the answer is who was asked's             closed        serves others
func (e *serving) relay() bool {
	s, c := e.s, e.c
	keep := e.keepAlive()
	if s.x.Asking() && e.body == bodyStream {
		keep = false // nobody has read the request's body: what comes next is no request
	}
	dropped := s.x.Asking() && string(s.req.Method) == "HEAD" && s.resp.Length != 0
	if dropped { // who was asked by GET answers with a body, which is none of this client's
		s.resp.HasLength, s.resp.ContentLength = s.resp.Length > 0, s.resp.Length
		s.resp.Length, s.resp.KeepAlive = 0, false
	}
	if e.uploading() && e.s.upload.src.ended() {
		e.p.loop.Yield() // its last send has probably ended too, and was only not told yet
	}
	if e.bodyMissing() && (s.resp.Status >= 300 || (s.req.Expect100 && !e.continued) || s.upload.fault != nil) {
		// The client may or may not send the rest of a body that nobody wants (RFC 9110 section 10.1.1): what comes next has no single reading.
		keep = false
		e.haltUpload()
	}
	untilClose, err := e.printAnswer(&keep)
	var f *fault.Error
	if err != nil {
		f = &fault.Error{Side: fault.Internal, Op: fault.WriteAnswer, Err: err}
	} else {
		if dropped {
			s.src.reset(0)
		}
		f = e.relayBody()
	}
	e.down.close()
	e.giveEncoder()
	if f == nil {
		s.x.Ended(s.src.trailers())
		e.settleUpload()
	}
	if e.uploading() && !s.upload.inVain() {
		keep = false
	}
	if f == nil && !e.early && s.resp.KeepAlive && s.resp.Length != msg.UntilClose && !e.uploading() && e.u.Clean() {
		e.keepServer = true
	}
	e.stopUpload()
	e.endServer(f)
	if f != nil && f.Side != fault.Client && !e.begun {
		// Nothing of the answer is out: the client can still be told what is wrong with it.
		step := s.x.Failed(e.now(), f, false)
		return e.reply(step.Reply)
	}
	ended := f == nil || e.cutCall(f)
	s.x.Done(e.now(), f)
	e.report()
	if ended {
		f = nil
	}
	return c.over(outcome{f: f, keep: keep, untilClose: untilClose, finishes: e.finishes()})
}

// cutCall tells the client of a gRPC call how the answer, of which something is out, has broken off. It reports whether the client knows. A server that
// has reset the call alone has said what it means by that.
func (e *serving) cutCall(f *fault.Error) bool {
	var reset *mux.ResetError
	if e.s.tell.Length != msg.Chunked || (f.Kind == fault.Reset && errors.As(f.Err, &reset)) {
		return false
	}
	trailers, ok := e.s.x.CutCall(e.s.fields[:0], f)
	if !ok {
		return false
	}
	e.s.fields = trailers
	e.s.src.endWith(trailers)
	e.until = 0 // the time of the exchange may be up, but not that of its end
	return e.sendClient(piece{from: &e.s.src, end: true}) == nil
}

// finishes tells whether the client's connection ends with the answer without more ado: the client knows the answer's end, and has said that it sends nothing
// more.
func (e *serving) finishes() bool {
	return !e.s.req.KeepAlive && (e.s.req.Version > msg.HTTP10 || e.s.resp.Length >= 0) && e.body != bodyStream
}

// settleTime is how long the last piece of a request's body may still take to be sent once the answer is there: the server may have got it, and
// answered, before the completion of its send was seen.
const settleTime = time.Second

// settleUpload waits for the end of an upload that has only its last send in flight.
func (e *serving) settleUpload() {
	if up := &e.s.upload; e.uploading() && up.fault == nil && up.src.ended() {
		e.u.WriteBy(e.by(settleTime))
		e.s.task.Wait()
	}
}

// printAnswer prints the head for the client, and sets up how the body is framed. It tells whether the body ends with the connection.
func (e *serving) printAnswer(keep *bool) (untilClose bool, err error) {
	s, resp, version, h := e.s, &e.s.resp, e.s.req.Version, &e.s.tell
	*h = msg.ResponseHead{Status: resp.Status, Reason: resp.Reason, Length: resp.Length}
	by := e.translator()
	switch {
	case by != nil && version > msg.HTTP10:
		h.Length = msg.Chunked
	case by != nil:
		h.Length, untilClose, *keep = msg.UntilClose, true, false
	case resp.Length < 0 && version > msg.HTTP10:
		h.Length = msg.Chunked
	case resp.Length < 0:
		h.Length, untilClose, *keep = msg.UntilClose, true, false
	case resp.Length == 0 && resp.HasLength && !s.x.IsCompressed():
		h.Length = resp.ContentLength
	case resp.Length == 0:
		h.NoLength = true
	}
	h.Close, h.KeepAlive10 = !*keep, *keep && version == msg.HTTP10
	s.fields = s.x.ResponseFields(s.fields[:0], resp, h.Length == msg.Chunked)
	h.Fields = s.fields
	err = e.c.print(h)
	e.u.body(&s.src, resp.Length)
	s.src.by = by
	e.c.begin(h.Length == msg.Chunked)
	e.u.forgetHead() // its slices are gone with it
	return untilClose, err
}

// translator makes another body of the answer's, where the client is to get one; nil: it stays as it is.
func (e *serving) translator() translator {
	x, resp := &e.s.x, &e.s.resp
	coding := x.FindCoding(resp)
	switch {
	case resp.Length == 0:
		return nil
	case x.AnswersWeb(resp):
		return &web{encodes: x.Web() == exchange.WebText}
	case coding == encode.None:
		return nil
	}
	return e.takeEncoder(coding)
}

// relayBody passes the body on, buffer by buffer, sent from where it was received, or through the kernel. The head goes with the first piece.
func (e *serving) relayBody() *fault.Error {
	s, u := e.s, e.u
	end := s.src.ended()
	if s.src.length > int64(u.Unread())+headRoom {
		u.Receive(fiber.Bodies)
	}
	p := piece{head: true, from: &s.src, way: &e.down}
	for {
		if len(u.Buffered()) == 0 && !end && !p.head {
			var f *fault.Error
			if end, f = e.awaitBody(); f != nil {
				return f
			}
		}
		used := 0
		p.moved = 0
		s.src.none()
		if !end {
			var err error
			if used, err = s.src.take(u.Buffered()); err != nil {
				return &fault.Error{Side: fault.Server, Op: fault.ReadAnswerBody, Kind: fault.Malformed, Err: err}
			}
			if !e.uploading() && s.src.by == nil {
				e.down.open(u, e.c, s.src.length, used)
			}
			p.moved = e.down.take(&s.src, used)
			end = s.src.ended()
		}
		if end {
			// A server that has said all before it has the body may never read it, or take it for its next request: its connection serves no other.
			e.early = e.bodyMissing()
			if s.src.by != nil {
				s.src.by.finish(&s.src)
			}
		}
		e.serverIn += int64(used + p.moved)
		e.begun = true
		p.end = end
		p.last = end && e.finishes() && p.moved == 0
		if f := e.sendClient(p); f != nil {
			return f
		}
		p.head = false
		if used > 0 {
			u.Discard(used)
		}
		if end {
			return nil
		}
	}
}

// bodyMissing tells whether the server has an answer although a part of the request's body was not even received.
func (e *serving) bodyMissing() bool { return e.uploading() && !e.s.upload.src.ended() }

// awaitBody waits for more of the answer's body; end: it has ended with its connection.
func (e *serving) awaitBody() (end bool, f *fault.Error) {
	if e.s.src.length < 0 {
		e.u.Receive(fiber.Bodies)
	}
	e.u.ReadBy(e.by(e.s.x.Route.Timeouts.BodyIdle))
	err := e.down.next(e.u, &e.s.src)
	switch {
	case err == nil:
		return false, nil
	case e.s.src.ends(err):
		return true, nil
	}
	return false, e.serverFault(fault.ReadAnswerBody, err)
}

// endServer gives the server's connection back, or ends it.
func (e *serving) endServer(f *fault.Error) {
	if f != nil && f.Side == fault.Server {
		e.reportAttempt(f)
	} else {
		e.reportAttempt(nil)
	}
	e.giveServerBack()
}

// giveServerBack lets the server's connection serve others, or closes it.
func (e *serving) giveServerBack() {
	if !e.keepServer || e.u == nil || e.s.x.LoggedIn {
		e.closeServer()
		return
	}
	e.c.Guard(nil)
	idle := e.s.x.Route.Timeouts.ServerIdle
	if n := e.s.resp.KeepAliveTimeout; n >= 0 {
		idle = min(idle, time.Duration(n-1)*time.Second) // closed by us before the server does it
	}
	e.u.Receive(intakeAfter(e.s.resp.Length))
	e.u.Keep(idle)
	e.u = nil
}
