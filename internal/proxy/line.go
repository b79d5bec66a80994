package proxy

import (
	"time"

	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/msg"
	"poise/internal/upstream"
)

// line is a connection of HTTP/1 as a side of an exchange.
type line struct {
	*fiber.Conn
	out  []byte // the head to send
	sink sink
}

func (l *line) body(src *source, length int64) { src.reset(length) }

func (l *line) begin(chunked bool) { l.sink.reset(chunked) }

func (l *line) socket() *fiber.Conn { return l.Conn }

// maxJoined is up to how many bytes of a body are copied behind the head: sending one run of bytes costs the kernel less than gathering two.
const maxJoined = 1 << 10

func (l *line) send(p *piece) (int, error) {
	var head []byte
	if p.head {
		head = l.out
	}
	list, err := l.sink.frame(head, p.from, p.end)
	if err != nil {
		return 0, err
	}
	if p.head && (p.from == nil || p.from.size <= maxJoined) {
		list = l.join(list)
	}
	if p.last {
		l.Last()
	}
	if p.way == nil {
		err = l.Send(list...)
	} else {
		err = p.way.send(l.Conn, p.moved, list)
	}
	if err != nil {
		return 0, err
	}
	n := p.moved
	for _, b := range list {
		n += len(b)
	}
	return n, nil
}

// join makes one run of bytes of the head and what follows it.
func (l *line) join(list [][]byte) [][]byte {
	for _, b := range list[1:] {
		l.out = append(l.out, b...)
	}
	list[0] = l.out
	return list[:1]
}

// client1 is a client's connection of HTTP/1.
type client1 struct{ line }

func (c *client1) print(h *msg.ResponseHead) (err error) {
	c.out, err = h1.AppendResponseHead(c.out[:0], h)
	return err
}

func (c *client1) over(o outcome) bool {
	switch f := o.f; {
	case o.silent:
		c.Abort()
	case f != nil && o.untilClose:
		c.Reset() // a FIN would look like the body's end
	case f != nil && (f.Side == fault.Client || f.Kind == fault.Cancelled):
		c.Abort()
	case f == nil && o.finishes:
		c.Finish()
	case f != nil || !o.keep:
		_ = c.Close()
	default:
		return true
	}
	return false
}

func (c *client1) detach() client { return &client1{line{Conn: c.Conn}} }

// server1 is a connection of HTTP/1 to a server.
type server1 struct {
	line
	lent *upstream.Conn
	head int // the length of the head that was read last, and is still unread on the connection
}

func (s *server1) take(u *upstream.Conn) *server1 {
	s.Conn, s.lent, s.head = u.Conn, u, 0
	return s
}

func (s *server1) print(h *msg.RequestHead) (err error) {
	s.out, err = h1.AppendRequestHead(s.out[:0], h)
	return err
}

func (s *server1) readHead(e *serving) (int, *fault.Error) {
	limits, resp := &e.p.cfg.Heads, &e.s.resp
	scan := h1.Scanner{Response: true}
	complete := true // parse at once; after a first part, once the scanner has seen the end
	for {
		b := s.Buffered()
		if len(b) > 0 && !complete {
			var err error
			if complete, err = scan.Feed(b, limits); err != nil {
				return 0, malformedAnswer(err)
			}
		}
		if len(b) > 0 && complete {
			e.s.x.AnswerBegun()
			resp.Reset()
			n, err := h1.ParseResponse(resp, b, e.s.x.Method(), limits)
			if err != nil {
				return 0, malformedAnswer(err)
			}
			if n > 0 {
				s.head = n
				return n, nil
			}
			complete = false
			if _, err := scan.Feed(b, limits); err != nil {
				return 0, malformedAnswer(err)
			}
		}
		if err := s.Fill(); err != nil {
			f := e.serverFault(fault.ReadAnswer, err)
			if len(b) > 0 && f.Side == fault.Server && f.Kind == fault.Closed {
				f.Kind = fault.Malformed // it broke off within the head
			}
			return 0, f
		}
	}
}

func (s *server1) forgetHead() {
	s.Discard(s.head)
	s.head = 0
}

func (s *server1) status() (int, error) { return h1.StatusOf(s.Buffered()) }

func (s *server1) begun() bool { return s.Unread() > 0 }

func (s *server1) skip(length int64) bool {
	if length == msg.UntilClose {
		return false
	}
	s.forgetHead()
	var body source
	body.reset(length)
	for s.Unread() > 0 && !body.ended() {
		used, err := body.take(s.Buffered())
		if err != nil {
			return false
		}
		s.Discard(used)
	}
	return body.ended() && s.Unread() == 0
}

func (s *server1) Reused() bool { return s.lent.Reused }

func (s *server1) Clean() bool { return s.Conn.Clean() }

func (s *server1) Keep(idle time.Duration) { s.lent.Keep(idle) }

func (s *server1) Close() { s.lent.Close() }

func (s *server1) Finish() { s.lent.Finish() }

func (s *server1) detach() server { return &server1{line: line{Conn: s.Conn}, lent: s.lent} }
