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
)

// maxRecord is how much a record holds.
const maxRecord = 16 << 10

// Memory is what connections of one loop share.
type Memory struct{ gather []byte }

// Conn is TLS on a connection. It is a fiber.Filter.
type Conn struct {
	tls  *tls.Conn
	wire wire
	mem  *Memory
}

// Server makes the handshake of an accepted connection. It is called in a fiber, with c's deadlines set, and returns with TLS between c and its users; what the
// client has sent behind the handshake is unread then. After an error c has to be closed: an alert may be queued.
func Server(c *fiber.Conn, config *tls.Config, m *Memory) (*Conn, error) {
	s := &Conn{wire: wire{conn: c}, mem: m}
	s.tls = tls.Server(&s.wire, config)
	if err := s.tls.Handshake(); err != nil {
		return nil, err
	}
	s.wire.open = true
	c.SetFilter(s)
	return s, nil
}

// State is what the handshake has agreed on.
func (s *Conn) State() tls.ConnectionState { return s.tls.ConnectionState() }

// Open appends to plain what has come.
func (s *Conn) Open(plain, raw []byte) ([]byte, error) {
	s.wire.in = raw
	defer func() { s.wire.in = nil }()
	for {
		if cap(plain)-len(plain) < maxRecord {
			plain = append(make([]byte, 0, 2*cap(plain)+maxRecord), plain...)
		}
		n, err := s.tls.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		if err == errEmpty {
			return plain, nil
		}
		if err != nil {
			return plain, err
		}
	}
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
	open    bool   // the handshake is over: nothing waits any more
	sealing bool   // what is written goes to out
}

func (w *wire) Read(p []byte) (int, error) {
	if !w.open {
		return w.conn.Read(p)
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
