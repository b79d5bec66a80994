// Package exchange decides what happens to one request: which route and server, whether a failed attempt is repeated, which
// fields go on to the other side, and what the client is told when Poise answers itself.
//
// An Exchange is asked at four points (Start, Failed, Responded, Done) and answers with the next step. It does no I/O, keeps no timer,
// and knows no HTTP version. Start reading at Exchange; then fields.go for what is forwarded, status.go for what follows from a fault.
package exchange

import (
	"net/netip"
	"time"

	"poise/internal/affinity"
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// maxConnects is how many servers one exchange tries to connect to. Nothing of a request is sent by a failed connect, so it costs time
// alone; each try is bounded by the route's connect timeout. maxRepeats is how often a request goes to another server after it was sent
// (RFC 9110 section 9.2.2: not more than once by itself).
const (
	maxConnects = 4
	maxRepeats  = 1
)

// Client is what is known of the connection that a request came on. It changes at most once a connection.
type Client struct {
	Addr     netip.AddrPort // not valid for a Unix socket
	AddrText []byte         // Addr's IP address as text; "unknown" for a Unix socket
	Trusted  bool           // its forwarding fields are believed
	Trust    Trust          // which addresses else are
	Secure   bool           // it came over TLS
	Listener int            // the number by which the table and the statistics know the listener
	Loop     int
}

// StepKind is what a mover does next.
type StepKind uint8

// The steps.
const (
	Forward StepKind = iota // send the request to Exchange.Server
	Relay                   // send the response that came to the client
	Answer                  // send Step.Reply to the client
)

// Step is what Start, Failed and Responded return.
type Step struct {
	Kind  StepKind
	Reply Reply
}

// Exchange is one request and its response. Begin makes it ready for a request; it is reused from request to request.
type Exchange struct {
	Client *Client
	Req    *msg.Request
	Route  *route.Route
	// Attempts counts servers tried, the present one included.
	Attempts int
	// Fresh: the attempt needs a connection that served nothing before.
	Fresh bool
	// From is the address that the request is taken to come from: the connection's, or what a trusted proxy says.
	From netip.Addr

	// Until bounds the exchange: nothing is tried again after it. 0: no bound.
	Until clock.Instant

	Times  Times
	Status int  // what the client got; 499 if it left before
	Cut    bool // the response broke off after its head
	Own    bool // Poise answered itself
	// ClientLeft: the client broke off. Unavailable: its pool had no server to give.
	ClientLeft, Unavailable bool

	query       pool.Query
	lease       pool.Lease
	server      *pool.Server // the last one chosen, also after its lease
	repeats     int
	end         [4]byte
	reason      string
	requestID   [36]byte
	idLen       int
	givenID     []byte
	cookie      cookieState
	bodyTouched bool
	answerBegun bool
	scratch     []byte // memory of fields that we add
}

// cookieState is what the affinity cookie was, and what became of it, as HAProxy's third and fourth letters tell it.
type cookieState struct {
	server  *pool.Server
	in, out byte
}

// Times are the instants of an exchange; zero: not reached.
type Times struct {
	Since     clock.Instant // the connection was free: accepted, or the last exchange ended
	FirstByte clock.Instant
	Head      clock.Instant // the request's head was complete
	Chosen    clock.Instant // a server was chosen; of the last attempt, as those below
	Connected clock.Instant
	Response  clock.Instant // the response's head was complete
	End       clock.Instant
	TLS       time.Duration
}

// Begin empties x for a new request.
func (x *Exchange) Begin(c *Client, req *msg.Request, times Times) {
	*x = Exchange{Client: c, Req: req, Times: times, scratch: x.scratch[:0], query: pool.Query{Loop: c.Loop}}
	x.end = [4]byte{'-', '-', '-', '-'}
}

// ClientAddr is whom the request came from, for the log: with a port only when it is the connection's.
func (x *Exchange) ClientAddr() netip.AddrPort {
	if x.From == x.Client.Addr.Addr().Unmap() || !x.From.IsValid() {
		return x.Client.Addr
	}
	return netip.AddrPortFrom(x.From, 0)
}

// Server is the server of the present attempt, or of the last one; nil when none was chosen.
func (x *Exchange) Server() *pool.Server { return x.server }

// Start finds the route and a server.
func (x *Exchange) Start(now clock.Instant, t *route.Table) Step {
	if x.protectedOption() {
		return x.refuse(400, "a Connection field names a field that must not be dropped")
	}
	x.identify()
	if x.Route = t.Match(x.Client.Listener, x.Req); x.Route == nil {
		return x.answer(noRoute, 'P', 'R')
	}
	x.query.Client = x.From
	x.findAffinity()
	if !x.acquire(now) {
		x.Unavailable = true
		return x.answer(noServer, 'S', 'C')
	}
	return Step{Kind: Forward}
}

// acquire takes a lease on a server that was not tried, and tells whether there is one.
func (x *Exchange) acquire(now clock.Instant) bool {
	lease, err := x.Route.Pool.Acquire(now, &x.query)
	if err != nil {
		return false
	}
	x.lease, x.server = lease, lease.Server()
	x.Attempts++
	x.Times.Chosen, x.Times.Connected, x.Times.Response = now, 0, 0
	return true
}

// BodyTouched says that bytes of the request's body were taken from the client and may be gone: it cannot be sent again.
func (x *Exchange) BodyTouched() { x.bodyTouched = true }

// HasTouchedBody tells whether BodyTouched was called.
func (x *Exchange) HasTouchedBody() bool { return x.bodyTouched }

// AnswerBegun says that a byte of an answer has come: the request was not in vain, and is not sent again.
func (x *Exchange) AnswerBegun() { x.answerBegun = true }

// Connected says that the attempt has a connection.
func (x *Exchange) Connected(now clock.Instant) { x.Times.Connected = now }

// Failed ends an attempt, or the reading of the request, before a response came. reused: the attempt was on a connection that had served others
// before.
func (x *Exchange) Failed(now clock.Instant, f *fault.Error, reused bool) Step {
	x.lease.End()
	if f.Side != fault.Server {
		return x.fail(f)
	}
	if (x.Until != 0 && now >= x.Until) || !x.mayRepeat(f) {
		return x.fail(f)
	}
	if !f.Safe {
		x.repeats++
	}
	if reused && x.query.Prefer == x.server {
		// A kept connection that the server has just closed says nothing about the server: affinity holds.
		x.Fresh = true
		if x.acquire(now) {
			return Step{Kind: Forward}
		}
	}
	x.query.Tried.Add(x.server)
	x.Fresh = true // whatever ended one kept connection may have ended the others
	if x.acquire(now) {
		return Step{Kind: Forward}
	}
	if reused {
		// A kept connection that the server has just closed says nothing about the server: it is asked once more, over a new one (RFC 9112 section 9.3.1).
		x.query.Tried = pool.Set{}
		if x.acquire(now) {
			return Step{Kind: Forward}
		}
	}
	return x.fail(f)
}

// mayRepeat holds RFC 9110 section 9.2.2: without a doubt nothing was processed, or the method is idempotent and its body is still whole.
func (x *Exchange) mayRepeat(f *fault.Error) bool {
	if f.Safe {
		return x.Attempts < maxConnects
	}
	return f.Kind != fault.Timeout && !x.answerBegun && !x.bodyTouched && x.repeats < maxRepeats && Idempotent(x.Req.Method)
}

// Idempotent tells whether a request with the method may be sent twice (RFC 9110 section 9.2.2).
func Idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// Responded says that a response's head has come.
func (x *Exchange) Responded(now clock.Instant, resp *msg.Response) Step {
	x.Times.Response = now
	x.Status = resp.Status
	return Step{Kind: Relay}
}

// Done ends the exchange; it is called exactly once. f is nil, or what broke it after the response had begun.
func (x *Exchange) Done(now clock.Instant, f *fault.Error) {
	x.Times.End = now
	x.lease.End()
	if f == nil {
		return
	}
	x.Cut, x.ClientLeft = true, f.Side == fault.Client
	first, _ := endOf(f)
	x.mark(first, 'D', f.Error())
}

// End is HAProxy's four-letter cause, Reason the same in words; empty when nothing went wrong.
func (x *Exchange) End() (end [4]byte, reason string) {
	end = x.end
	if x.cookie.in != 0 {
		end[2], end[3] = x.cookie.in, x.cookie.out
	}
	return end, x.reason
}

// mark keeps the first cause.
func (x *Exchange) mark(cause, phase byte, reason string) {
	if x.reason == "" {
		x.end[0], x.end[1], x.reason = cause, phase, reason
	}
}

// findAffinity reads the cookie that ties the client to a server.
func (x *Exchange) findAffinity() {
	a := x.Route.Affinity
	if a == nil {
		return
	}
	x.cookie = cookieState{in: 'N', out: 'N'}
	token, ok := a.Find(x.Req.Fields)
	if !ok {
		return
	}
	x.cookie.in = 'I'
	if s := a.Server(token); s != nil {
		x.cookie.in, x.cookie.server = 'V', s
		if !s.Up() {
			x.cookie.in = 'D'
		}
		x.query.Prefer = s
	}
}

// affinityCookie is the cookie that the response sets, or nil.
func (x *Exchange) affinityCookie() *affinity.Cookie {
	if x.Route == nil || x.Route.Affinity == nil || x.server == nil || x.cookie.server == x.server {
		return nil
	}
	return x.Route.Affinity
}
