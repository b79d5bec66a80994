// Package stats counts what the loops do, and shows the sums to Prometheus.
//
// Each loop writes plain integers of its own (Loop); nobody else reads them. A reader asks the loop for a copy (Snapshot),
// adds the copies up, and gives them names (Handler). The package never takes a label from what a client sent, and on
// the loops' side never locks, reads a clock, or allocates but for a listener, route, pool or server that is new.
//
// Start reading at Loop, then at Source.
package stats

import (
	"slices"
	"time"

	"poise/internal/encode"
	"poise/internal/fault"
)

// Loop holds one loop's counters. Only that loop's thread may call its methods. Listeners, routes, pools and servers are
// small dense numbers; a negative one stands for none. The zero Loop is ready.
type Loop struct {
	_ [64]byte // no other loop's lines
	s Snapshot
	_ [64]byte
}

// Outcome is what one exchange came to, for the client.
type Outcome struct {
	Listener, Route, Pool int // Route, Pool: -1 where the exchange got none
	Status                int // what the client got, 499 for a client that left
	Duration              time.Duration
	In, Out               int64      // bytes from and to the client
	Retries               int        // attempts after the first
	Refused               fault.Rule // the route's rule by which it did not go on
	Unpaid                bool       // it was not sent again for want of budget
	Rejected              bool       // Poise answered itself
	Cut                   bool       // the response broke off after its head
	ClientAborted         bool
}

// CopyEnd is what became of a copy of a request.
type CopyEnd uint8

// The ends of a copy.
const (
	CopyAnswered CopyEnd = iota
	CopyFailed           // it had no answer, or the request broke off before the copy was whole
	CopyTooLarge         // its body was
	CopyRefused          // too many were under way
	copyEnds
)

var copyEndNames = [copyEnds]string{"answered", "failed", "too_large", "too_many"}

// Attempt is what one try at a server came to.
type Attempt struct {
	Server   int
	Status   int // 0: no response head came, or what came was no response
	Duration time.Duration
	In, Out  int64 // bytes from and to the server
}

// Start counts an exchange on a route as in flight. Exchange with the same Route must follow.
func (l *Loop) Start(route int) {
	if r := slot(&l.s.Routes, route); r != nil {
		r.InFlight++
	}
}

// Exchange counts an exchange that ended; one with a Route ends what Start began.
func (l *Loop) Exchange(o *Outcome) {
	class := classOf(o.Status)
	if li := slot(&l.s.Listeners, o.Listener); li != nil {
		li.Codes[class]++
		li.In += uint64(o.In)
		li.Out += uint64(o.Out)
		if o.Rejected {
			li.Rejected[rejectionOf(o.Status)]++
		}
		if o.ClientAborted {
			li.ClientAborts++
		}
	}
	if r := slot(&l.s.Routes, o.Route); r != nil {
		r.InFlight--
		r.Codes[class]++
		r.Durations.observe(o.Duration)
		r.In += uint64(o.In)
		r.Out += uint64(o.Out)
		if o.Cut {
			r.Cut++
		}
		if o.Refused != fault.NoRule {
			r.Refused[o.Refused]++
		}
	}
	if p := slot(&l.s.Pools, o.Pool); p != nil {
		p.Codes[class]++
		p.Retries += uint64(o.Retries)
		if o.Unpaid {
			p.Unpaid++
		}
	}
}

// UpgradeBegun counts an exchange on a route whose connections were upgraded; UpgradeEnded must follow.
func (l *Loop) UpgradeBegun(route int) {
	if r := slot(&l.s.Routes, route); r != nil {
		r.Upgraded++
	}
}

// UpgradeEnded ends what UpgradeBegun began.
func (l *Loop) UpgradeEnded(route int) {
	if r := slot(&l.s.Routes, route); r != nil {
		r.Upgraded--
	}
}

// Compressed counts a response on a route that was compressed, and its bytes before and after.
func (l *Loop) Compressed(route int, coding encode.Coding, in, out int64) {
	if r := slot(&l.s.Routes, route); r != nil {
		c := &r.Compressed[coding]
		c.N++
		c.In += uint64(in)
		c.Out += uint64(out)
	}
}

// NotCompressed counts one that stayed as it was because too many were compressed.
func (l *Loop) NotCompressed(route int) {
	if r := slot(&l.s.Routes, route); r != nil {
		r.NotCompressed++
	}
}

// Mirrored counts a copy of a request on a route that has ended, or was not made.
func (l *Loop) Mirrored(route int, how CopyEnd) {
	if r := slot(&l.s.Routes, route); r != nil {
		r.Mirrored[how]++
	}
}

// Attempt counts an attempt that ended, well or not.
func (l *Loop) Attempt(a *Attempt) {
	s := slot(&l.s.Servers, a.Server)
	if s == nil {
		return
	}
	if a.Status != 0 {
		s.Codes[classOf(a.Status)]++
	}
	s.Durations.observe(a.Duration)
	s.In += uint64(a.In)
	s.Out += uint64(a.Out)
}

// Failed counts a fault of a server.
func (l *Loop) Failed(server int, kind fault.Kind) {
	if s := slot(&l.s.Servers, server); s != nil && int(kind) < len(s.Failures) {
		s.Failures[kind]++
	}
}

// Unavailable counts an exchange for which a pool had no server to give.
func (l *Loop) Unavailable(pool int) {
	if p := slot(&l.s.Pools, pool); p != nil {
		p.Unavailable++
	}
}

// Queued counts an exchange that found all servers of a pool full: it waited, unless the queue was full too, and had a server in the end, unless it was late.
func (l *Loop) Queued(pool int, full, late bool) {
	p := slot(&l.s.Pools, pool)
	switch {
	case p == nil:
	case full:
		p.QueueFull++
	default:
		p.Queued++
		if late {
			p.QueueLate++
		}
	}
}

// Hedged counts an exchange for which a second server was asked too.
func (l *Loop) Hedged(pool int, won bool) {
	if p := slot(&l.s.Pools, pool); p != nil {
		p.Hedges++
		if won {
			p.HedgesWon++
		}
	}
}

// ClientOpened counts a connection accepted by a listener; ClientClosed must follow.
func (l *Loop) ClientOpened(listener int) {
	if li := slot(&l.s.Listeners, listener); li != nil {
		li.Opened++
		li.Connections++
	}
}

// ClientClosed ends what ClientOpened began.
func (l *Loop) ClientClosed(listener int) {
	if li := slot(&l.s.Listeners, listener); li != nil {
		li.Connections--
	}
}

// Handshake counts a TLS handshake of a client; resumed: it went on with a session of before.
func (l *Loop) Handshake(listener int, resumed bool) {
	if li := slot(&l.s.Listeners, listener); li != nil {
		li.Shaken++
		if resumed {
			li.Resumed++
		}
	}
}

// HandshakeFailed counts one that did not end well; displaced: to make room for others.
func (l *Loop) HandshakeFailed(listener int, displaced bool) {
	switch li := slot(&l.s.Listeners, listener); {
	case li == nil:
	case displaced:
		li.Displaced++
	default:
		li.Unshaken++
	}
}

// ClientRefused counts a connection that was closed at once because of a limit.
func (l *Loop) ClientRefused(listener int) {
	if li := slot(&l.s.Listeners, listener); li != nil {
		li.Refused++
	}
}

// ServerOpened counts a new connection to a server; ServerClosed must follow.
func (l *Loop) ServerOpened(server int) {
	if s := slot(&l.s.Servers, server); s != nil {
		s.Opened++
		s.Connections++
	}
}

// ServerReused counts an attempt on a connection that had served another before.
func (l *Loop) ServerReused(server int) {
	if s := slot(&l.s.Servers, server); s != nil {
		s.Reused++
	}
}

// ServerClosed ends what ServerOpened began.
func (l *Loop) ServerClosed(server int) {
	if s := slot(&l.s.Servers, server); s != nil {
		s.Connections--
	}
}

// AcceptPaused counts a time during which the loop took no connections, for want of descriptors or memory.
func (l *Loop) AcceptPaused() { l.s.AcceptPauses++ }

// Snapshot returns a copy. Like all else it must be called on the loop.
func (l *Loop) Snapshot() Snapshot {
	s := l.s
	s.Listeners = slices.Clone(s.Listeners)
	s.Routes = slices.Clone(s.Routes)
	s.Pools = slices.Clone(s.Pools)
	s.Servers = slices.Clone(s.Servers)
	return s
}

// slot returns number i of a, which grows as far as needed; nil for a negative i. The pointer is good until the next
// call. It is small enough to be inlined.
func slot[T any](a *[]T, i int) *T {
	if uint(i) >= uint(len(*a)) {
		return grown(a, i)
	}
	return &(*a)[i]
}

//go:noinline
func grown[T any](a *[]T, i int) *T {
	if i < 0 {
		return nil
	}
	*a = append(*a, make([]T, i+1-len(*a))...)
	return &(*a)[i]
}
