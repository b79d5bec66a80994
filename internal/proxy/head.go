package proxy

import (
	"bytes"
	"errors"

	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/h1"
)

var endOfHead = []byte("\r\n\r\n")

// readHead reads the next request's head into the exchange. The head is copied out of the receive buffer, since it is needed for as long as
// the exchange runs, and receive buffers are held only while data is in flight.
func (c *conn) readHead(e *serving) *fault.Error {
	s := e.s
	s.in = s.in[:0]
	e.bytesIn = 0
	times := exchange.Times{Since: c.since, FirstByte: e.now()}
	s.req.Reset()
	s.x.Begin(&c.client, &s.req, times)
	c.ReadBy(0)
	if d := c.l.Timeouts.Head; d > 0 {
		c.ReadBy(e.now().Add(d))
	}
	if b := c.Buffered(); len(b) > 0 {
		if i := bytes.Index(b, endOfHead); i >= 0 { // the usual case: a head comes in one piece
			if n, err := e.parse(b[:i+len(endOfHead)]); n > 0 || err != nil {
				return c.gotHead(e, n, err)
			}
		}
	}
	var scan h1.Scanner
	for {
		b := c.Buffered()
		complete, err := scan.Feed(b, &c.p.cfg.Heads)
		if complete && err == nil {
			var n int
			if n, err = e.parse(b); n > 0 {
				return c.gotHead(e, n, nil)
			}
		}
		if err != nil {
			return c.gotHead(e, 0, err)
		}
		if err := c.Fill(); err != nil {
			s.in = append(s.in[:0], c.Buffered()...)
			return clientFault(fault.ReadHead, err)
		}
	}
}

func (e *serving) parse(b []byte) (int, error) {
	e.s.in = append(e.s.in[:0], b...)
	e.s.req.Reset()
	return h1.ParseRequest(&e.s.req, e.s.in, &e.p.cfg.Heads)
}

func (c *conn) gotHead(e *serving, n int, err error) *fault.Error {
	if err != nil {
		f := &fault.Error{Side: fault.Client, Op: fault.ReadHead, Kind: fault.Malformed, Status: 400, Err: err}
		var he *h1.Error
		if errors.As(err, &he) {
			f.Status = he.Status
		}
		e.s.req.Reset() // half-parsed: nothing of it is used
		return f
	}
	c.Discard(n)
	e.bytesIn = int64(n)
	e.s.x.Times.Head = e.now()
	return nil
}
