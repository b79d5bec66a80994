// Package secure speaks TLS on the connections of a loop.
//
// crypto/tls does the work. A handshake is its ordinary blocking code in a fiber. Afterwards it is asked only for what is at hand: bytes that have come are
// opened as they come, bytes to send are sealed just before they go, and nothing waits within it. So an idle connection needs no fiber and no buffer.
//
// It never chooses a certificate and knows nothing of requests. Start reading at Server.
package secure

import (
	"crypto/tls"
	"net"
	"time"

	"poise/internal/fiber"
	"poise/internal/sys"
)

// maxRecord is how much a record holds.
const maxRecord = 16 << 10

// Conn is TLS on a connection. It is a fiber.Filter.
type Conn struct {
	tls  *tls.Conn
	wire wire
	mem  *Memory
}

// Server makes the handshake of an accepted connection. It is called in a fiber, with c's deadlines set, and returns with TLS between c and its users; what the
// client has sent behind the handshake is unread then. After an error c has to be closed: an alert may be queued. pace, where not nil, is called before the
// handshake begins to work, and after each wait: it may yield.
func Server(c *fiber.Conn, config *tls.Config, m *Memory, pace func()) (*Conn, error) {
	if err := awaitRecord(c); err != nil {
		return nil, err
	}
	if pace != nil {
		pace()
	}
	return handshake(c, m, func(w *wire) *tls.Conn {
		w.pace = pace
		return tls.Server(w, config)
	})
}

// awaitRecord waits until the client's first record is there. So one that stops amid it has cost neither the state of a
// handshake nor the stack that works on it. What is no record of a handshake is not waited for: crypto/tls says what is wrong with it.
func awaitRecord(c *fiber.Conn) error {
	const head, handshake = 5, 22
	for {
		b := c.Buffered()
		if len(b) >= head {
			if n := int(b[3])<<8 | int(b[4]); b[0] != handshake || n > maxRecord || len(b) >= head+n {
				return nil
			}
		}
		if err := c.Fill(); err != nil {
			return err
		}
	}
}

func handshake(c *fiber.Conn, m *Memory, side func(*wire) *tls.Conn) (*Conn, error) {
	s := &Conn{wire: wire{conn: c}, mem: m}
	s.tls = side(&s.wire)
	m.lendHello(s.tls)
	err := s.tls.Handshake()
	m.takeBack(s.tls)
	if err != nil {
		return nil, err
	}
	s.wire.open, s.wire.pace = true, nil
	c.SetFilter(s)
	return s, nil
}

// State is what the handshake has agreed on.
func (s *Conn) State() tls.ConnectionState { return s.tls.ConnectionState() }

// Open appends to plain what has come.
func (s *Conn) Open(plain, raw []byte) ([]byte, error) {
	s.wire.in = raw
	s.mem.lend(s.tls)
	defer s.opened()
	for s.left() {
		if cap(plain)-len(plain) < maxRecord {
			plain = append(make([]byte, 0, 2*cap(plain)+maxRecord), plain...)
		}
		n, err := s.tls.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		if err == errEmpty {
			break
		}
		if err != nil {
			return plain, err
		}
	}
	return plain, nil
}

// left tells whether a read may find something. What it returns has room for a record, so it never leaves a part of one.
func (s *Conn) left() bool {
	records, _ := sys.TLSBuffers(s.tls)
	return len(s.wire.in) > 0 || records == nil || records.Len() > 0
}

func (s *Conn) opened() {
	s.wire.in = nil
	s.mem.takeBack(s.tls)
}

// Seal appends to raw the records for bufs. Small ones share a record: a head and the beginning of its body.
func (s *Conn) Seal(raw []byte, bufs [][]byte) ([]byte, error) {
	s.wire.out, s.wire.sealing = raw, true
	defer func() { s.wire.out, s.wire.sealing = nil, false }()
	m := s.mem
	for len(bufs) > 0 {
		if len(bufs) == 1 || len(bufs[0]) >= maxRecord {
			if _, err := s.tls.Write(bufs[0]); err != nil {
				return s.wire.out, err
			}
			bufs = bufs[1:]
			continue
		}
		m.gather = m.gather[:0]
		for len(bufs) > 0 && len(m.gather) < maxRecord {
			n := min(len(bufs[0]), maxRecord-len(m.gather))
			m.gather = append(m.gather, bufs[0][:n]...)
			if bufs[0] = bufs[0][n:]; len(bufs[0]) == 0 {
				bufs = bufs[1:]
			}
		}
		if _, err := s.tls.Write(m.gather); err != nil {
			return s.wire.out, err
		}
	}
	return s.wire.out, nil
}

// End appends the alert that says that nothing more follows.
func (s *Conn) End(raw []byte) []byte {
	s.wire.out, s.wire.sealing = raw, true
	defer func() { s.wire.out, s.wire.sealing = nil, false }()
	_ = s.tls.CloseWrite()
	return s.wire.out
}

// wire is the connection below TLS.
type wire struct {
	conn    *fiber.Conn
	in      []byte // has come, and was not taken yet
	out     []byte // sealed
	pace    func() // nil: none
	open    bool   // the handshake is over: nothing waits any more
	sealing bool   // what is written goes to out
}

func (w *wire) Read(p []byte) (int, error) {
	if !w.open {
		waits := w.conn.Unread() == 0
		n, err := w.conn.Read(p)
		if waits && err == nil && w.pace != nil {
			w.pace()
		}
		return n, err
	}
	if len(w.in) == 0 {
		return 0, errEmpty
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	if w.sealing {
		w.out = append(w.out, p...)
		return len(p), nil
	}
	return w.conn.WriteRaw(p)
}

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return w.conn.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr             { return w.conn.RemoteAddr() }
func (w *wire) SetDeadline(time.Time) error      { return nil } // deadlines are those of the connection
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// empty is the error of a read that would have to wait. crypto/tls keeps an error for good, but for one that says that it is temporary.
type empty struct{}

var errEmpty net.Error = empty{}

func (empty) Error() string   { return "nothing has come yet" }
func (empty) Timeout() bool   { return true }
func (empty) Temporary() bool { return true }
