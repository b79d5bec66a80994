package proxy

import (
	"strconv"

	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/h1"
	"poise/internal/msg"
	"poise/internal/route"
)

// reply answers the client ourselves and ends the exchange. It reports whether the connection goes on.
func (e *serving) reply(r *exchange.Reply) bool {
	s, c := e.s, e.c
	e.closeServer()
	e.until = 0 // the time of the exchange may be up, but not that of its answer
	if r.Silent {
		s.x.Done(e.now(), nil)
		e.report()
		return c.over(outcome{silent: true})
	}
	// What is left of a body is not read: the next request could not be told from it.
	keep := !r.Close && e.keepAlive() && e.body != bodyStream
	if r.Fixed == nil {
		r.Fixed = e.l.page(r.Status)
	}
	body := e.ownBody(r)
	s.fields = s.x.ReplyFields(s.fields[:0], r)
	s.tell = msg.ResponseHead{
		Status: r.Status, Fields: s.fields, Length: int64(len(body)), Close: !keep, KeepAlive10: keep && s.req.Version == msg.HTTP10,
	}
	if s.x.IsCall() { // its status says it all
		s.tell.Status, s.tell.Length, s.tell.NoLength = 200, 0, s.req.Version >= msg.HTTP2
	}
	err := c.print(&s.tell)
	c.begin(false)
	s.src.reset(0)
	if string(s.req.Method) != "HEAD" && !s.x.IsCall() {
		s.src.own(body)
	}
	var f *fault.Error
	if err != nil {
		f = &fault.Error{Side: fault.Internal, Op: fault.WriteAnswer, Err: err}
	} else {
		f = e.sendClient(piece{head: true, from: &s.src, end: true})
	}
	s.x.Done(e.now(), f)
	e.report()
	return c.over(outcome{f: f, keep: keep})
}

// page is what a reply with that status has as its body; nil: nothing was configured.
func (l *Listener) page(status int) *route.Reply {
	for _, p := range l.Pages {
		if p.From <= status && status <= p.To {
			return p.Reply
		}
	}
	return nil
}

// ownBody is the body of a reply: what the configuration gives, or a line that says what happened.
func (e *serving) ownBody(r *exchange.Reply) []byte {
	if r.Fixed != nil {
		return r.Fixed.Body
	}
	s := e.s
	s.line = strconv.AppendInt(s.line[:0], int64(r.Status), 10)
	s.line = append(append(append(s.line, ' '), h1.StatusText(r.Status)...), ": "...)
	s.line = append(append(s.line, r.Text...), '\n')
	return s.line
}
