package proxy

import (
	"errors"
	"time"

	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/stats"
	"poise/internal/upstream"
)

// multiplex makes the client's connection one of HTTP/2, and reads what is there of it.
func (c *conn) multiplex() { mux.New(c.Conn, c.p.muxConfig(c.l), &c.p.mux, c, false).Serve(c.Conn) }

// Freed is mux.Owner's; only connections to servers have use for it.
func (c *conn) Freed(*mux.Conn) {}

// Count is mux.Owner's.
func (c *conn) Count(e stats.StreamEvent) { c.p.stats.ClientStream(c.l.Index, e) }

// muxConfig is what l's connections of HTTP/2 have in common.
func (p *Loop) muxConfig(l *Listener) *mux.Config {
	if cfg := p.muxes[l]; cfg != nil {
		return cfg
	}
	cfg := &mux.Config{
		Heads: &p.cfg.Heads, Streams: p.cfg.Streams, Serve: p.serveStream, Draining: func() bool { return p.draining },
		Idle: l.Timeouts.Idle, Head: l.Timeouts.Head, Write: l.Timeouts.Write,
	}
	for old := range p.muxes { // of a listener that was changed
		if old.Index == l.Index {
			delete(p.muxes, old)
		}
	}
	p.muxes[l] = cfg
	return cfg
}

// prefaced tells whether a connection in clear text begins as one of HTTP/2.
func (c *conn) prefaced() bool {
	if !c.first || !c.l.HTTP2 || c.l.TLS != nil {
		return false
	}
	for {
		b := c.Buffered()
		n := min(len(b), len(h2.Preface))
		if string(b[:n]) != h2.Preface[:n] {
			return false
		}
		if n == len(h2.Preface) {
			return true
		}
		if d := c.l.Timeouts.Head; d > 0 {
			c.ReadBy(c.since.Add(d))
		}
		if c.Fill() != nil {
			return false // who reads the head finds out
		}
	}
}

// serveStream serves one request of an HTTP/2 connection, in a fiber of its own.
func (p *Loop) serveStream(st *mux.Stream) {
	c := st.Conn().Owner().(*conn)
	s := p.takeScratch()
	s.client2 = client2{stream: stream{st}}
	e := &s.e
	e.p, e.l, e.c, e.s, e.tls = p, c.l, &s.client2, s, c.tls
	c.tls = -1 // told once
	defer e.unwind()
	e.serveOne(s.client2.readHead(e, &c.client))
	e.release()
}

// stream is a stream of HTTP/2 as a side of an exchange.
type stream struct{ *mux.Stream }

func (s stream) body(src *source, _ int64) { src.stream(s.Stream) }

func (stream) begin(bool) {}

func (stream) socket() *fiber.Conn { return nil }

func (s stream) send(p *piece) (int, error) {
	if p.from == nil {
		return s.Send(p.head, nil, 0, p.end, nil)
	}
	var trailers msg.Fields
	if p.end {
		trailers = p.from.tail()
	}
	return s.Send(p.head, p.from.spans[:p.from.n], p.from.size, p.end, trailers)
}

// client2 is a client's stream.
type client2 struct {
	stream
	// malformed: what came is no request. Its client is not answered, but shown that it has made a mistake. [RFC 9113 section 8.1.1]
	malformed bool
}

// readHead takes the request's head.
func (c *client2) readHead(e *serving, from *exchange.Client) *fault.Error {
	s := e.s
	now := e.now()
	s.x.Begin(from, &s.req, exchange.Times{FirstByte: now, Head: now})
	var err *h2.Error
	s.in, err = c.Request(&s.req, s.in)
	e.bytesIn = int64(c.HeadSize())
	if err != nil {
		s.req.Reset() // half-parsed: nothing of it is used
		c.malformed = err.Status == 400
		return &fault.Error{Side: fault.Client, Op: fault.ReadHead, Kind: fault.Malformed, Status: err.Status, Err: err}
	}
	if req := &s.req; req.Length == msg.Chunked && c.Whole() && len(c.Trailers()) == 0 {
		req.Length, req.HasLength = int64(c.Unread()), true // it is here, and so its length is known
	}
	return nil
}

func (c *client2) print(h *msg.ResponseHead) error {
	if c.malformed {
		return nil
	}
	return c.PrintResponse(h)
}

func (c *client2) send(p *piece) (int, error) {
	if c.malformed {
		return 0, nil
	}
	return c.stream.send(p)
}

func (c *client2) over(o outcome) bool {
	code := h2.NoError
	switch f := o.f; {
	case c.malformed:
		code = h2.ProtocolError
	case o.silent:
		code = h2.Cancel
	case f != nil && f.Side == fault.Client && f.Kind == fault.Malformed:
		code = h2.ProtocolError
	case f != nil:
		code = h2.InternalError
	}
	c.Finish(code)
	return false
}

func (c *client2) detach() client { return &client2{stream: c.stream} }

// takeServer makes what an exchange was lent its server's side.
func (s *scratch) takeServer(l upstream.Lent) server {
	if l.Stream == nil {
		return s.server1.take(l.Conn)
	}
	s.server2 = server2{stream: stream{l.Stream.Stream}, lent: l.Stream, mem: s.server2.mem}
	return &s.server2
}

// server2 is a stream to a server.
type server2 struct {
	stream
	lent *upstream.Stream
	mem  []byte // of the answer's head
	gone bool   // it is ended, and may serve others
}

func (s *server2) print(h *msg.RequestHead) error { return s.PrintRequest(h) }

func (s *server2) readHead(e *serving) (n int, f *fault.Error) {
	var err error
	if s.mem, err = s.Answer(&e.s.resp, s.mem); err != nil {
		var violation *h2.Error
		if errors.As(err, &violation) && violation.Stream != 0 { // an answer has come, although none that can be understood
			e.s.x.AnswerBegun()
		}
		return 0, e.serverFault(fault.ReadAnswer, err)
	}
	e.s.x.AnswerBegun()
	return s.HeadSize(), nil
}

func (s *server2) forgetHead() {}

func (s *server2) status() (int, error) {
	status, _ := s.Answered()
	return status, nil
}

func (s *server2) begun() bool {
	_, ok := s.Answered()
	return ok
}

func (s *server2) skip(int64) bool { return s.Whole() }

// Reused is server's. A stream that the server has reset alone tells of the server, not of a connection that it has just closed.
func (s *server2) Reused() bool {
	var reset *mux.ResetError
	return s.lent.Reused && !errors.As(s.Broken(), &reset)
}

func (s *server2) Clean() bool { return s.Broken() == nil }

func (s *server2) Keep(idle time.Duration) {
	s.gone = true
	s.lent.Keep(idle)
}

func (s *server2) Close() {
	if !s.gone {
		s.gone = true
		s.lent.Close()
	}
}

func (s *server2) Finish() { s.Close() }

func (s *server2) Reset() { s.Close() }

func (s *server2) detach() server { return &server2{stream: s.stream, lent: s.lent} }
