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
	"poise/internal/limit"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// Before a second repeat and each one after it an exchange waits, since two servers that failed are seldom chance: up to the first of these times, twice as
// long each time, up to the last. How long is by chance, so that what failed together does not come back together. [Envoy: base_interval 25 ms, ten
// times as the most, full jitter]
const leastBackoff, mostBackoff = 25 * time.Millisecond, 250 * time.Millisecond

// Client is what is known of the connection that a request came on. It changes at most once a connection.
type Client struct {
	Addr     netip.AddrPort // not valid for a Unix socket
	AddrText []byte         // Addr's IP address as text; "unknown" for a Unix socket
	Trusted  bool           // its forwarding fields are believed
	Trust    Trust          // which addresses else are
	Secure   bool           // it came over TLS
	// ServerName is the host that its handshake was for, as it was sent; empty: none.
	ServerName string
	Identity   *Identity // what its handshake has shown; nil: the listener asks for no certificates
	Listener   int       // the number by which the table and the statistics know the listener
	Loop       int
}

// StepKind is what a mover does next.
type StepKind uint8

// The steps.
const (
	Forward StepKind = iota // send the request to Exchange.Server
	Wait                    // the servers are full: Join the pool's queue, and say Waited
	Relay                   // send the response that came to the client
	Upgrade                 // send the 101 that came to the client, and then pass bytes on both ways; Done ends it
	Answer                  // send Step.Reply to the client
	Verify                  // have Exchange.CheckPassword run where it may take long, and say Verified
)

// Step is what Start, Failed and Responded return.
type Step struct {
	Kind  StepKind
	After time.Duration // Forward: how long to wait before
	Reply *Reply        // Answer: good until the exchange's next step
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
	// Refused is the route's rule by which the request did not go on.
	Refused fault.Rule
	// ClientLeft: the client broke off. Unavailable: its pool had no server to give. Unpaid: its pool's budget had no repeat to give.
	ClientLeft, Unavailable, Unpaid bool
	// Place is where in its pool's queue it had to wait, from 1; 0: it did not wait. Queue is how that ended.
	Place int
	Queue QueueEnd
	// Hedge is whether a second server was asked too, and whose answer counted.
	Hedge HedgeEnd
	// LoggedIn: the connection to the server may stand for the client from here on, so it must not serve others.
	LoggedIn bool

	query       pool.Query
	visits      *pool.Pool // which counts it as under way; nil: none does
	lease       pool.Lease
	waiter      pool.Waiter
	waiting     bool         // in the queue
	full        bool         // there are servers, but they are full
	before      *fault.Error // how the attempt ended that a wait follows
	server      *pool.Server // the last one chosen, also after its lease
	repeats     int
	hedge       hedge
	firstChosen clock.Instant // when the first server was chosen
	end         [4]byte
	reason      string
	requestID   [36]byte
	idLen       int
	givenID     []byte
	affinity    affinity.Found
	outcome     pool.Outcome // of the answer, for the server's sake
	took        time.Duration
	upgrade     upgrade
	call        call
	asking      question
	expected    bool          // its pools know of it
	mirror      *route.Mirror // that a copy is still to go to; nil: none
	copied      bool          // it is a copy itself, and does not wait for full servers
	compression compression
	bodyTouched bool
	answerBegun bool
	scratch     []byte               // memory of fields that we add
	own         *Reply               // memory of Step.Reply, so that steps are small
	taken       limit.Taken          // of the route's rate
	entered     *route.InFlightLimit // which counts the exchange; nil: none does
	enteredAs   uint64
	claim       claim
	user        []byte // who the client is by its password; nil: nobody was asked for one
	origin      []byte // of the page that asks, where the route's CORS allows it
	prefix      int    // how much of the path the match's prefix covers
	// path and authority are what servers are asked for; nil: what the client asked for.
	path, authority []byte
}

// Times are the instants of an exchange; zero: not reached.
type Times struct {
	Since     clock.Instant // the connection was free: accepted, or the last exchange ended
	FirstByte clock.Instant
	Head      clock.Instant // the request's head was complete
	Allowed   clock.Instant // who was asked whether the request may go on has said yes
	Chosen    clock.Instant // a server was chosen; of the last attempt, as those below
	Connected clock.Instant
	Response  clock.Instant // the response's head was complete
	End       clock.Instant
	TLS       time.Duration
}

// Begin empties x for a new request.
func (x *Exchange) Begin(c *Client, req *msg.Request, times Times) {
	*x = Exchange{Client: c, Req: req, Times: times, scratch: x.scratch[:0], own: x.own, query: pool.Query{Loop: c.Loop}}
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
	if i := x.Client.Identity; i != nil && i.misdirected(x.Req.Host) {
		return x.answer(misdirected, 'P', 'R')
	}
	x.identify()
	x.findCall()
	about := x.about()
	found := t.Match(x.Client.Listener, x.Req, &about)
	if found.Refuse != 0 {
		return x.refuse(found.Refuse, "what a route looks at is too long to be compared")
	}
	if x.Route = found.Route; x.Route == nil {
		return x.answer(noRoute, 'P', 'R')
	}
	x.prefix = found.Prefix
	if a := x.Route.Actions; a != nil {
		if step, over := x.admit(now, a); over {
			return step
		}
		return x.goOn(now, a)
	}
	return x.begin(now)
}

// begin finds a server for the request.
func (x *Exchange) begin(now clock.Instant) Step {
	x.findUpgrade()
	x.findWebCall()
	if len(x.Req.Protocol) > 0 && x.upgrade.token == nil {
		return x.answer(notOffered, 'P', 'R')
	}
	x.findAffinity(now)
	return x.take(now)
}

// take finds a server of the route's pool.
func (x *Exchange) take(now clock.Instant) Step {
	x.visits = x.Route.Pool
	x.visits.Enter(now, x.Client.Loop)
	x.query.Client = x.From
	switch {
	case x.acquire(now):
		return Step{Kind: Forward}
	case x.full:
		return Step{Kind: Wait}
	}
	return x.unavailable()
}

func (x *Exchange) unavailable() Step {
	x.Unavailable = true
	return x.answer(noServer, 'S', 'C')
}

// acquire takes a lease on a server that was not tried, and tells whether there is one.
func (x *Exchange) acquire(now clock.Instant) bool {
	lease, err := x.Route.Pool.Acquire(now, &x.query)
	if x.full = err == pool.ErrFull && !x.copied; err != nil {
		return false
	}
	x.hold(now, lease)
	return true
}

// hold begins an attempt with the lease.
func (x *Exchange) hold(now clock.Instant, lease pool.Lease) {
	x.lease, x.server = lease, lease.Server()
	x.outcome, x.took, x.call.status = pool.Unknown, 0, noStatus
	x.Attempts++
	if x.firstChosen == 0 {
		x.firstChosen = now
	}
	x.Times.Chosen, x.Times.Connected, x.Times.Response = now, 0, 0
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
	if x.blames(now, f, reused) {
		x.lease.Tell(pool.Broken, now.Sub(x.Times.Chosen))
	}
	x.lease.End()
	x.HedgeOver(now, nil, false, 0)
	if f.Side != fault.Server || !x.mayFollow(now, f) {
		return x.fail(f)
	}
	acquired := x.acquireAfter(now, reused)
	if !acquired && !x.full {
		return x.fail(f)
	}
	x.Fresh = true // whatever ended one kept connection may have ended the others
	if !acquired {
		x.before = f
		return Step{Kind: Wait}
	}
	return x.again(now, !f.Safe)
}

// acquireAfter takes a lease on the server to ask after the present one has failed.
func (x *Exchange) acquireAfter(now clock.Instant, reused bool) bool {
	if belongs := x.query.Prefer == x.server || x.query.Key != 0; reused && belongs && x.acquire(now) {
		return true // a kept connection that the server has just closed says nothing about the server: affinity holds
	}
	x.query.Tried.Add(x.server)
	if x.acquire(now) {
		return true
	}
	if !reused || x.full {
		return false
	}
	// For the same reason the server is asked once more where there is no other, over a new connection (RFC 9112 section 9.3.1).
	x.query.Tried = pool.Set{}
	return x.acquire(now)
}

// blames tells whether a fault says that the server cannot serve. Not its doing are a kept connection that it has closed in just that moment, what we
// are short of, and the end of the time for the whole exchange, where others have used it.
func (x *Exchange) blames(now clock.Instant, f *fault.Error, reused bool) bool {
	switch {
	case f.Side != fault.Server || f.Kind == fault.Limit || (reused && stale(f)):
		return false
	case f.Kind == fault.Timeout && x.isOver(now):
		return x.Attempts == 1 && !x.bodyTouched
	}
	return true
}

func (x *Exchange) isOver(now clock.Instant) bool { return x.Until != 0 && now >= x.Until }

// stale tells of a fault that, on a kept connection, says nothing about the server: it has closed the connection in just that moment.
func stale(f *fault.Error) bool { return f.Kind == fault.Closed || f.Kind == fault.Reset }

// again is another try; where nothing was sent it follows at once. A repeat is taken out of the budget, which was asked before.
func (x *Exchange) again(now clock.Instant, repeat bool) Step {
	s := Step{Kind: Forward}
	if repeat {
		x.repeats++
		x.Route.Pool.SpendRepeat(now, x.Client.Loop)
		s.After = x.backoff()
	}
	return s
}

// backoff is the pause before the present repeat.
func (x *Exchange) backoff() time.Duration {
	if x.repeats < 2 {
		return 0
	}
	most := min(leastBackoff<<(x.repeats-2), mostBackoff)
	return time.Duration(x.chance() * float64(most))
}

// Resumed says that the pause before a try is over.
func (x *Exchange) Resumed(now clock.Instant) { x.Times.Chosen = now }

// chance is a number in [0, 1) that differs from request to request and from try to try: the id's last digits are random.
func (x *Exchange) chance() float64 { return x.chanceOf(uint64(x.Attempts)) }

// chanceOf is another such number for each salt.
func (x *Exchange) chanceOf(salt uint64) float64 {
	h := salt * 0x9e3779b97f4a7c15
	for _, c := range x.requestID[len(x.requestID)-12:] {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return float64(h>>11) / (1 << 53)
}

// mayFollow tells whether another try may follow one that failed so.
func (x *Exchange) mayFollow(now clock.Instant, f *fault.Error) bool {
	r := &x.Route.Retry
	switch {
	case f.Safe:
		return r.Connect && x.Attempts < r.Attempts && !x.isOver(now)
	case x.answerBegun:
		return false
	case f.Kind == fault.Timeout:
		return r.Timeout && x.tryIsOver(now) && x.mayRepeat(now)
	}
	return r.Reset && x.mayRepeat(now)
}

// tryIsOver tells whether the try has used up its time, and not the time for an answer.
func (x *Exchange) tryIsOver(now clock.Instant) bool {
	d := x.Route.Retry.PerTry
	return d > 0 && now >= x.Times.Chosen.Add(d)
}

// mayRepeat tells whether a request that was sent, and may have been processed, may be sent again: its method is idempotent and its body still whole (RFC
// 9110 section 9.2.2), and the pool's budget has a repeat to give.
func (x *Exchange) mayRepeat(now clock.Instant) bool {
	if !x.repeatable() || x.isOver(now) {
		return false
	}
	x.Unpaid = !x.Route.Pool.MayRepeat(now, x.Client.Loop)
	return !x.Unpaid
}

// repeatable is mayRepeat but for what time and other requests have to do with it.
func (x *Exchange) repeatable() bool {
	r := &x.Route.Retry
	return x.Attempts < r.Attempts && x.repeats < r.Repeats && !x.bodyTouched && (Idempotent(x.Method()) || x.call.status == grpcUnavailable)
}

// TryBy is when the present try must have its answer's head, where another one can follow; 0: no bound of its own.
func (x *Exchange) TryBy() clock.Instant {
	if r := &x.Route.Retry; r.PerTry > 0 && r.Timeout && x.repeatable() {
		return x.Times.Chosen.Add(r.PerTry)
	}
	return 0
}

// Idempotent tells whether a request with the method may be sent twice (RFC 9110 section 9.2.2).
func Idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// Responded says that a response's head has come. With Forward it is dropped, and another server asked.
func (x *Exchange) Responded(now clock.Instant, resp *msg.Response) Step {
	x.Times.Response = now
	x.LoggedIn = x.logsIn(resp)
	status, alone := x.noteCall(resp.Fields)
	if !alone {
		status = resp.Status
	}
	x.outcome = pool.OutcomeOf(status)
	if status < 400 && !x.bodyTouched { // else it is quick because nothing was done, or slow because of the client
		x.took = now.Sub(x.Times.Connected)
		x.Route.Pool.Answered(x.Client.Loop, now.Sub(x.firstChosen))
	}
	if resp.Status == switching || resp.Version == msg.HTTP2 && x.Switches(resp) {
		return x.switched()
	}
	if x.upgrade.connect && resp.Status < 300 { // to which its client would take it for switched
		return x.answer(notTaken, 'S', 'H')
	}
	if r := &x.Route.Retry; len(r.Statuses) > 0 && r.OnStatus(status) && x.mayRepeat(now) {
		if step, ok := x.askAnother(now); ok {
			return step
		}
	}
	if x.Asking() {
		return x.answered(now, resp)
	}
	x.Status = resp.Status
	return Step{Kind: Relay}
}

// askAnother leaves an answer for another server's. Where there is none, the answer stands.
func (x *Exchange) askAnother(now clock.Instant) (Step, bool) {
	held, outcome, took := x.lease, x.outcome, x.took
	x.query.Tried.Add(x.server)
	if !x.acquire(now) {
		return Step{}, false
	}
	held.Tell(outcome, took)
	held.End()
	x.answerBegun, x.Fresh = false, true
	return x.again(now, true), true
}

// Done ends the exchange; it is called exactly once. f is nil, or what broke it after the response had begun.
func (x *Exchange) Done(now clock.Instant, f *fault.Error) {
	x.Times.End = now
	if f != nil && f.Side == fault.Server && !x.upgrade.done && !(f.Kind == fault.Timeout && x.isOver(now)) {
		x.outcome = pool.Broken
	}
	if lease, granted := x.withdraw(); granted { // the wait was broken off
		lease.End()
	}
	x.lease.Tell(x.outcome, x.took)
	x.lease.End()
	x.HedgeOver(now, nil, false, 0)
	if x.entered != nil {
		x.entered.Leave(x.enteredAs)
	}
	x.arrive()
	x.leave()
	if f == nil {
		return
	}
	if !x.upgrade.done {
		x.Cut, x.ClientLeft = true, f.Side == fault.Client
	}
	first, _ := endOf(f)
	x.mark(first, 'D', f.Error())
}

// leave takes the exchange out of those that its pool counts as under way.
func (x *Exchange) leave() {
	if x.visits != nil {
		x.visits.Leave(x.Client.Loop)
		x.visits = nil
	}
}

// End is HAProxy's four-letter cause, Reason the same in words; empty when nothing went wrong.
func (x *Exchange) End() (end [4]byte, reason string) {
	end = x.end
	if a := &x.affinity; a.In != 0 {
		end[2], end[3] = a.In, a.Out
	}
	return end, x.reason
}

// mark keeps the first cause.
func (x *Exchange) mark(cause, phase byte, reason string) {
	if x.reason == "" {
		x.end[0], x.end[1], x.reason = cause, phase, reason
	}
}

// findAffinity asks where the client belongs.
func (x *Exchange) findAffinity(now clock.Instant) {
	if a := x.Route.Affinity; a != nil {
		x.affinity = a.Find(now, x.From, x.Req.Fields)
		x.query.Prefer, x.query.Key = x.affinity.Server, x.affinity.Key
	}
}

// keepAffinity notes which server has answered, and appends the field that tells the client, if there is one. It counts as
// used when the server was chosen.
func (x *Exchange) keepAffinity(dst msg.Fields) msg.Fields {
	if x.Route == nil || x.Route.Affinity == nil || x.server == nil {
		return dst
	}
	from := len(x.scratch)
	x.scratch = x.Route.Affinity.Keep(x.Times.Chosen, &x.affinity, x.server, x.scratch)
	if len(x.scratch) > from {
		dst = append(dst, msg.Field{Name: nameSetCookie, Value: x.scratch[from:], ID: msg.SetCookie})
	}
	return dst
}
