// Package upstream holds connections to servers: it dials them, keeps them between requests, and hands them out again.
//
// Each loop has its own, and none moves to another loop; where a server may have so many only, one loop has another close one (room.go). The package never
// sends or reads a request: proxy does, on the Conn that Get returns. Start reading at Get.
package upstream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/mux"
	"poise/internal/pool"
	"poise/internal/secure"
	"poise/internal/stats"
	"poise/internal/sys"
)

// Loop is one loop's connections to servers. All its methods are called on the loop.
type Loop struct {
	loop    *fiber.Loop
	stats   *stats.Loop
	keep    int // idle connections per server
	peers   *Peers
	servers []*server
	// speeches are what servers were set by.
	speeches *Speeches
	mux      mux.Memory
	links    mux.Config
	secure   secure.Memory
}

// server is what a loop keeps for a server, at the place of its ID. Its idle connections form a list, the one used last in front.
type server struct {
	of          *pool.Server
	base        Speech      // how it is spoken to, as its pool has it
	tls         *tls.Config // and as it is for this server; nil: in clear text
	tls1        *tls.Config // the same for upgrades, where the version is negotiated: for those it is HTTP/1.1
	http        HTTP        // and as it has turned out
	addr        sys.Addr
	err         error // the address cannot be dialled
	first, last *Conn
	idle        int
	open        int

	links   []*link   // connections of HTTP/2 that may take streams
	dialing bool      // one is being made
	waiting []*waiter // for that, or for a stream on one
}

// New returns a loop's connections. keep bounds the idle ones per server on this loop; peers are all loops'.
func New(l *fiber.Loop, s *stats.Loop, keep int, peers *Peers) *Loop {
	up := &Loop{loop: l, stats: s, keep: keep, peers: peers}
	peers.loops[l.Index] = up
	return up
}

// Conn is a connection to a server, lent to one exchange at a time.
type Conn struct {
	*fiber.Conn
	// Reused tells whether it has served an exchange before the present one.
	Reused bool

	owner      *Loop
	of         *pool.Server
	server     *server
	base       Speech
	id         int
	since      clock.Instant // idle since
	prev, next *Conn
	closed     bool
}

// Want says what connection an exchange needs.
type Want struct {
	Server *pool.Server
	Fresh  bool          // none that was idle
	MaxAge time.Duration // none that was idle for longer; 0: any
	By     clock.Instant // when connecting must be done; 0: no bound
	Client fiber.Client  // its leaving ends the attempt
	// Upgrade: the request asks for an upgrade, which a server of HTTP/2 must have said that it takes. [RFC 8441 section 3]
	Upgrade bool
}

// Lent is what an exchange gets for its request: a connection of HTTP/1, or a stream of HTTP/2. One of both is nil.
type Lent struct {
	Conn   *Conn
	Stream *Stream
}

// Get returns an idle connection, or dials; of HTTP/2, a stream on a connection that others may use too. The fault is Safe: nothing of the request was sent.
func (l *Loop) Get(w *Want) (Lent, *fault.Error) {
	l.renew()
	s := l.serverOf(w.Server)
	if s.err != nil {
		return Lent{}, &fault.Error{Side: fault.Server, Op: fault.Connect, Safe: true, Err: s.err}
	}
	if s.http != HTTP1 && !s.upgrades(w) {
		return l.stream(s, w)
	}
	if !w.Fresh {
		if c := l.idleConn(s, w.MaxAge); c != nil {
			l.stats.ServerReused(c.id)
			return Lent{Conn: c}, nil
		}
	}
	if f := l.awaitRoom(w); f != nil {
		return Lent{}, f
	}
	return l.dial(s, w, w.Server.Closed)
}

// dial makes a connection. closed is called once when it is closed, or if none came of it.
func (l *Loop) dial(s *server, w *Want, closed func()) (Lent, *fault.Error) {
	base, http, config := s.base, s.base.HTTP, s.tls
	if s.upgrades(w) {
		http, config = HTTP1, s.tls1
	}
	fc, err := l.loop.DialThen(s.addr, w.By, w.Client, closed)
	if err != nil {
		return Lent{}, connectFault(err, w.Client)
	}
	if config != nil {
		protocol, f := l.handshake(config, w, fc)
		if f != nil {
			return Lent{}, f
		}
		switch {
		case http == HTTP2 && protocol != "h2":
			fc.Abort()
			return Lent{}, &fault.Error{Side: fault.Server, Op: fault.Connect, Kind: fault.Handshake, Safe: true, Err: errNotHTTP2}
		case http == Negotiated && protocol == "h2":
			http = HTTP2
		case http == Negotiated:
			http = HTTP1
		}
		if s.base == base && config == s.tls {
			s.http = http
		}
	}
	s.open++
	l.stats.ServerOpened(w.Server.ID)
	if http != HTTP1 {
		return Lent{Stream: l.link(s, w.Server, base, fc).open(false)}, nil
	}
	fc.Receive(fiber.Sips) // nobody knows yet how much will come behind the first head: it may stay in the socket
	return Lent{Conn: &Conn{Conn: fc, owner: l, of: w.Server, server: s, base: base, id: w.Server.ID}}, nil
}

var errNotHTTP2 = errors.New("the server does not speak HTTP/2 over TLS: it has not chosen it by ALPN")

// idleConn takes the idle connection that was used last.
func (l *Loop) idleConn(s *server, maxAge time.Duration) *Conn {
	c := s.first
	if c == nil || (maxAge > 0 && l.loop.Now().Sub(c.since) >= maxAge) {
		return nil // the others are idle for longer still
	}
	c.unlink()
	if !c.Take() {
		// Bytes or an end have come in this very turn: its handler closes it.
		return nil
	}
	c.Reused = true
	return c
}

func (l *Loop) serverOf(ps *pool.Server) *server {
	for len(l.servers) <= ps.ID {
		l.servers = append(l.servers, nil)
	}
	if l.servers[ps.ID] == nil {
		s := &server{of: ps}
		s.addr, s.err = sys.ParseAddr(ps.Address)
		if l.speeches != nil {
			s.speak(*l.speeches)
		}
		l.servers[ps.ID] = s
	}
	return l.servers[ps.ID]
}

// Keep gives the connection back for other exchanges, for at most idle. Nothing may be unread on it.
func (c *Conn) Keep(idle time.Duration) {
	if c.server.idle >= c.owner.keep || idle <= 0 || c.Unread() > 0 || c.Broken() != nil || c.of.Removed() || c.of.Crowded() ||
		c.base != c.server.base {
		c.Close()
		return
	}
	now := c.owner.loop.Now()
	c.since = now
	c.prev, c.next = nil, c.server.first
	if c.next != nil {
		c.next.prev = c
	} else {
		c.server.last = c
	}
	c.server.first = c
	c.server.idle++
	c.Conn.Idle(c, now.Add(idle))
}

// unlink takes c out of the list of idle connections.
func (c *Conn) unlink() {
	if c.prev != nil {
		c.prev.next = c.next
	} else if c.server.first == c {
		c.server.first = c.next
	} else {
		return // not in the list
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		c.server.last = c.prev
	}
	c.prev, c.next = nil, nil
	c.server.idle--
}

// Serve is called when bytes come that nobody has asked for: the connection cannot be trusted with a request.
func (c *Conn) Serve(*fiber.Conn) {
	c.unlink()
	c.Close()
}

// Gone is called when the server has closed an idle connection, or its time is up.
func (c *Conn) Gone(*fiber.Conn, error) {
	c.unlink()
	c.Close()
}

// Close ends the connection at once. It may be called again.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	c.closed = true
	c.server.open--
	c.owner.stats.ServerClosed(c.id)
	c.Conn.Abort()
}

// Finish is Close, but what was sent arrives, and then an end in good order.
func (c *Conn) Finish() {
	if !c.closed {
		c.closed = true
		c.server.open--
		c.owner.stats.ServerClosed(c.id)
		_ = c.Conn.Close()
	}
}

// CloseIdle closes every idle connection to the server with the given ID: it has left its pool.
func (l *Loop) CloseIdle(id int) {
	if id >= len(l.servers) || l.servers[id] == nil {
		return
	}
	for c := l.servers[id].first; c != nil; c = l.servers[id].first {
		c.unlink()
		c.Close()
	}
	for _, k := range slices.Clone(l.servers[id].links) {
		k.Retire()
	}
}

func connectFault(err error, client fiber.Client) *fault.Error {
	if client != nil && Left(client) {
		return ClientFault(fault.Connect, client)
	}
	if errors.Is(err, fiber.ErrStopped) {
		return &fault.Error{Side: fault.Internal, Op: fault.Connect, Kind: fault.Cancelled, Err: err}
	}
	f := &fault.Error{Side: fault.Server, Op: fault.Connect, Kind: KindOf(err), Safe: true, Err: err}
	if sys.IsOutOfResources(err) {
		f.Kind = fault.Limit
	}
	return f
}

// Left tells whether a client has left. One that has only closed its sending half waits for its answer.
func Left(client fiber.Client) bool {
	err := client.Broken()
	return err != nil && !errors.Is(err, io.EOF)
}

// ClientFault is the fault of a client that has left, or whose stream was reset for what came on it. One whose connection we have cut has not left.
func ClientFault(op fault.Op, client fiber.Client) *fault.Error {
	f := &fault.Error{Side: fault.Client, Op: op, Kind: fault.Cancelled, Err: client.Broken()}
	switch {
	case errors.Is(f.Err, fiber.ErrStopped):
		f.Side = fault.Internal
	case KindOf(f.Err) == fault.Malformed:
		f.Kind = fault.Malformed
	}
	return f
}

// KindOf says how a connection broke.
func KindOf(err error) fault.Kind {
	var reset *mux.ResetError
	var violation *h2.Error
	switch {
	case errors.As(err, &reset):
		return fault.Reset
	case errors.As(err, &violation):
		return fault.Malformed
	case errors.Is(err, mux.ErrGone):
		return fault.Closed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Timeout
	case errors.Is(err, io.EOF):
		return fault.Closed
	case sys.IsReset(err):
		return fault.Reset
	case sys.IsRefused(err):
		return fault.Refused
	case errors.Is(err, net.ErrClosed):
		return fault.Cancelled
	}
	return fault.Other
}
