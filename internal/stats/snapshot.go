package stats

import (
	"time"

	"poise/internal/encode"
	"poise/internal/fault"
)

// Codes counts responses: 1xx to 5xx, and at 0 whatever else.
type Codes [6]uint64

var codeNames = [len(Codes{})]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func classOf(status int) int {
	if class := status / 100; uint(class) < uint(len(codeNames)) {
		return class
	}
	return 0
}

// rejections are the statuses with which Poise itself answers; others are counted together, at the end.
var rejections = [...]int{400, 401, 403, 404, 408, 413, 414, 417, 421, 429, 431, 499, 500, 501, 502, 503, 504, 505}

func rejectionOf(status int) int {
	for i, s := range rejections {
		if s == status {
			return i
		}
	}
	return len(rejections)
}

// kinds is the number of fault kinds.
const kinds = int(fault.Handshake) + 1

var kindNames = [kinds]string{
	fault.Other: "other", fault.Refused: "refused", fault.Closed: "closed", fault.Reset: "reset",
	fault.Timeout: "timeout", fault.Malformed: "malformed", fault.Limit: "limit", fault.Cancelled: "cancelled",
	fault.Certificate: "certificate", fault.Alert: "alert", fault.Handshake: "handshake",
}

// bounds are the upper bounds of a histogram's buckets: those that OpenTelemetry's semantic conventions advise for
// http.server.request.duration. What is longer is counted in one bucket more.
var bounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 75 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond, time.Second,
	2500 * time.Millisecond, 5 * time.Second, 7500 * time.Millisecond, 10 * time.Second,
}

// Histogram counts durations by buckets, each by itself: a bucket does not hold the shorter ones' counts.
type Histogram struct {
	Buckets [len(bounds) + 1]uint64
	Sum     time.Duration
}

// observe counts d. Most exchanges are short, so the search goes from the short end.
func (h *Histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.Buckets[i]++
	h.Sum += d
}

func (h *Histogram) add(o *Histogram) {
	addAll(h.Buckets[:], o.Buckets[:])
	h.Sum += o.Sum
}

// Listener counts what came through one listener.
type Listener struct {
	Codes        Codes // exchanges
	In, Out      uint64
	Opened       uint64                      // connections accepted
	Refused      uint64                      // connections closed at once because of a limit
	Shaken       uint64                      // TLS handshakes
	Resumed      uint64                      // of them, those that resumed a session
	Unshaken     uint64                      // TLS handshakes that failed
	Displaced    uint64                      // TLS handshakes that were ended because there were too many
	Connections  int64                       // open now
	Rejected     [len(rejections) + 1]uint64 // exchanges that Poise answered itself, as rejections lists them
	ClientAborts uint64
	Streams      Streams
}

// Route counts what one route took.
type Route struct {
	Codes     Codes
	Durations Histogram
	In, Out   uint64
	InFlight  int64
	Upgraded  int64  // of those
	Cut       uint64 // responses that broke off after their head
	// Compressed counts responses by their coding; NotCompressed those that stayed as they were because too many were compressed.
	Compressed    [encode.Codings]Compressed
	NotCompressed uint64
	Refused       [fault.Rules]uint64 // by the rule
	Mirrored      [copyEnds]uint64    // copies
}

// Compressed counts responses whose bodies were compressed, and the bytes before and after.
type Compressed struct{ N, In, Out uint64 }

// Pool counts what was sent to one pool; it outlives the pool's servers.
type Pool struct {
	Codes       Codes // exchanges, by what the client got
	Retries     uint64
	Unpaid      uint64 // exchanges that were not sent again for want of budget
	Unavailable uint64 // exchanges for which there was no server
	// Exchanges that waited for a server; those of them that waited for too long; those that had no room to wait.
	Queued, QueueLate, QueueFull uint64
	Hedges, HedgesWon            uint64 // exchanges for which a second server was asked too; of them those whose answer was the second's
}

// Server counts one server's attempts.
type Server struct {
	Codes       Codes
	Durations   Histogram // of all attempts, those without a response too
	In, Out     uint64
	Failures    [kinds]uint64 // by fault.Kind
	Opened      uint64        // connections made
	Reused      uint64        // attempts on a connection that was there already
	Connections int64         // open now
	Streams     Streams
}

// Snapshot is a copy of one loop's counters, or a sum of such copies. A slice's index is the number that the listener,
// route, pool or server was given.
type Snapshot struct {
	Listeners []Listener
	Routes    []Route
	Pools     []Pool
	Servers   []Server

	Panics       uint64
	AcceptPauses uint64
	LongTurns    uint64
}

// Add adds o's counters to s.
func (s *Snapshot) Add(o *Snapshot) {
	for i := range o.Listeners {
		slot(&s.Listeners, i).add(&o.Listeners[i])
	}
	for i := range o.Routes {
		slot(&s.Routes, i).add(&o.Routes[i])
	}
	for i := range o.Pools {
		slot(&s.Pools, i).add(&o.Pools[i])
	}
	for i := range o.Servers {
		slot(&s.Servers, i).add(&o.Servers[i])
	}
	s.Panics += o.Panics
	s.AcceptPauses += o.AcceptPauses
	s.LongTurns += o.LongTurns
}

func (c *Codes) add(o *Codes) { addAll(c[:], o[:]) }

func (l *Listener) add(o *Listener) {
	l.Codes.add(&o.Codes)
	l.In += o.In
	l.Out += o.Out
	l.Opened += o.Opened
	l.Refused += o.Refused
	l.Shaken += o.Shaken
	l.Resumed += o.Resumed
	l.Unshaken += o.Unshaken
	l.Displaced += o.Displaced
	l.Connections += o.Connections
	addAll(l.Rejected[:], o.Rejected[:])
	l.ClientAborts += o.ClientAborts
	l.Streams.add(&o.Streams)
}

func (r *Route) add(o *Route) {
	r.Codes.add(&o.Codes)
	r.Durations.add(&o.Durations)
	r.In += o.In
	r.Out += o.Out
	r.InFlight += o.InFlight
	r.Upgraded += o.Upgraded
	r.Cut += o.Cut
	for i := range r.Compressed {
		c, more := &r.Compressed[i], &o.Compressed[i]
		c.N += more.N
		c.In += more.In
		c.Out += more.Out
	}
	r.NotCompressed += o.NotCompressed
	addAll(r.Refused[:], o.Refused[:])
	addAll(r.Mirrored[:], o.Mirrored[:])
}

func (p *Pool) add(o *Pool) {
	p.Codes.add(&o.Codes)
	p.Retries += o.Retries
	p.Unpaid += o.Unpaid
	p.Unavailable += o.Unavailable
	p.Queued += o.Queued
	p.QueueLate += o.QueueLate
	p.QueueFull += o.QueueFull
	p.Hedges += o.Hedges
	p.HedgesWon += o.HedgesWon
}

func (s *Server) add(o *Server) {
	s.Codes.add(&o.Codes)
	s.Durations.add(&o.Durations)
	s.In += o.In
	s.Out += o.Out
	addAll(s.Failures[:], o.Failures[:])
	s.Opened += o.Opened
	s.Reused += o.Reused
	s.Connections += o.Connections
	s.Streams.add(&o.Streams)
}

func addAll(to, from []uint64) {
	for i, n := range from {
		to[i] += n
	}
}
