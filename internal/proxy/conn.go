package proxy

import (
	"net/netip"
	"time"

	"poise/internal/accesslog"
	"poise/internal/clock"
	"poise/internal/exchange"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/msg"
	"poise/internal/route"
	"poise/internal/upstream"
)

// conn is a client's connection. While it is idle, this and the fiber.Conn are all there is.
type conn struct {
	*fiber.Conn
	p      *Loop
	l      *Listener
	client exchange.Client
	since  clock.Instant // accepted, or the last exchange ended
	first  bool          // no request has come yet
	h2     bool          // the handshake has chosen HTTP/2
	held   bool          // its handshake has to wait until fewer begin
	tls    time.Duration // what the handshake took, or while held how old the connection was; below 0: there was none, or its time was told
	text   [40]byte      // of client.AddrText, so that an idle connection is two objects to the garbage collector
}

func newConn(p *Loop, l *Listener, fc *fiber.Conn) {
	c := &conn{Conn: fc, p: p, l: l, since: p.loop.Now(), first: true, tls: -1}
	peer := fc.Peer().IP
	c.client = exchange.Client{Addr: peer, AddrText: addrText(c.text[:0], peer), Trust: l.Trust, Listener: l.Index, Loop: p.loop.Index}
	c.client.Trusted = peer.IsValid() && l.Trust.Has(peer.Addr())
	c.wait()
}

func addrText(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, "unknown"...) // RFC 7239 section 6.2 has this word for it
	}
	return a.Addr().Unmap().AppendTo(b)
}

// wait gives the connection back until its next request. The first one has as long as a head may take.
func (c *conn) wait() {
	idle := c.l.Timeouts.Idle
	if c.first && c.l.Timeouts.Head > 0 {
		idle = min(idle, c.l.Timeouts.Head)
	}
	if c.first && c.unshaken() {
		idle = min(idle, c.l.Timeouts.Handshake)
	}
	if c.p.draining {
		idle = idleWhileDraining
	}
	c.Conn.Idle(c, c.since.Add(idle))
}

// Gone is called when the connection has ended between two requests.
func (c *conn) Gone(*fiber.Conn, error) { c.held = false }

// Serve answers requests, one after the other, until none is waiting.
func (c *conn) Serve(*fiber.Conn) {
	if c.unshaken() {
		if !c.begins() || !c.handshake() {
			return
		}
		if c.Unread() == 0 && !c.h2 {
			c.wait()
			return
		}
	}
	if c.h2 || c.prefaced() {
		c.multiplex()
		return
	}
	s := c.p.takeScratch()
	s.client1.Conn = c.Conn
	e := &s.e
	e.p, e.l, e.c, e.s = c.p, c.l, &s.client1, s
	defer e.unwind()
	for {
		f := c.readHead(e)
		if f != nil && f.Kind == fault.Closed && c.Unread() == 0 && len(s.in) == 0 {
			c.Close()
			return
		}
		e.tls = c.tls
		if !e.serveOne(f) {
			return
		}
		c.since, c.first, c.tls = c.p.loop.Now(), false, -1
		if c.Unread() == 0 {
			break
		}
	}
	e.release()
	c.wait()
}

// scratch is the memory of an exchange in progress: idle connections have none.
type scratch struct {
	e      serving
	x      exchange.Exchange
	req    msg.Request
	resp   msg.Response
	in     []byte // the request's head, which is needed until the exchange ends, and a small body
	fields msg.Fields
	src    source // of the answer
	record accesslog.Record
	upload upload
	task   fiber.Task
	want   upstream.Want
	line   []byte // the path as it is logged
	// What is handed to the sides lies here, since what a call through an interface is given would be allocated.
	ask   msg.RequestHead
	tell  msg.ResponseHead
	piece piece

	client1 client1
	client2 client2
	server1 server1
	server2 server2
}

func (p *Loop) takeScratch() *scratch {
	if n := len(p.scratch); n > 0 {
		s := p.scratch[n-1]
		p.scratch = p.scratch[:n-1]
		return s
	}
	s := &scratch{in: make([]byte, 0, 1024), fields: make(msg.Fields, 0, 24)}
	s.client1.out, s.server1.out = make([]byte, 0, 1024), make([]byte, 0, 1024)
	return s
}

// keepScratch bounds the memory that one large head leaves behind.
const keepScratch = 16 << 10

func (p *Loop) putScratch(s *scratch) {
	s.client1.Conn, s.client2.Stream, s.server1.Conn, s.server1.lent, s.server2.lent = nil, nil, nil, nil, nil
	if cap(s.in)+cap(s.client1.out)+cap(s.server1.out) > 3*keepScratch || cap(s.fields) > 256 {
		return
	}
	p.scratch = append(p.scratch, s)
}

// serving is what a fiber knows while it serves a connection.
type serving struct {
	p     *Loop
	l     *Listener
	s     *scratch
	c     client
	u     server  // of the attempt; nil: none
	rival *rival  // a second try that runs beside
	down  through // of the answer's body
	// compress is what the answer's body is compressed by; nil: nothing.
	compress *compress
	// copy is a copy of the request whose body is not all here yet; nil: none.
	copy *serving
	// mirrors is what this serves if it is such a copy itself.
	mirrors *route.Mirror
	body    bodyState
	tls     time.Duration // what the handshake took that came before the exchange; below 0: there was none
	busy    bool          // an exchange has begun and was not reported
	// until bounds the whole exchange; 0: no bound.
	until                  clock.Instant
	interims, interimBytes int
	bytesIn, bytesOut      int64 // from and to the client
	serverIn, serverOut    int64 // of the present attempt
	keepServer             bool  // the server's connection can serve others
	continued              bool  // the server has sent 100
	counted                bool  // the route counts it as in flight
	prepared               bool  // the request is what the pool's servers get
	early                  bool  // the whole answer came before the whole request was there
	begun                  bool  // something of the final answer may be on its way to the client
}

// by is d from now, within the bound of the exchange.
func (e *serving) by(d time.Duration) clock.Instant {
	var t clock.Instant
	if d > 0 {
		t = e.now().Add(d)
	}
	if e.until != 0 && (t == 0 || e.until < t) {
		t = e.until
	}
	return t
}

func (e *serving) now() clock.Instant { return e.p.loop.Now() }

// release gives the scratch memory back; e is not used any more.
func (e *serving) release() {
	p, s := e.p, e.s
	*e = serving{}
	p.putScratch(s)
}

// unwind cleans up when the fiber ends otherwise than by waiting for the next request: the connection was closed, or the code has panicked.
func (e *serving) unwind() {
	if e.s == nil { // released
		return
	}
	e.down.close()
	e.giveEncoder()
	if e.busy { // the exchange's end was not reported
		e.abandon()
	}
	if e.s.task.Busy() {
		return // the upload's fiber still uses the memory: the garbage collector has it
	}
	e.release()
}
