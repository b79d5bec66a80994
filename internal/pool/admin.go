package pool

import (
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// Order is what a person wants of a server, whatever its health. It lasts as long as the server does, over reloads too.
//
//	Ready ──► Draining ── its time is over ──► Maint
//	  ▲          │                               │
//	  └──────────┴─────────── Ready ─────────────┘
type Order uint8

// The orders.
const (
	Ready    Order = iota // none: health decides
	Draining              // no new clients; those that affinity ties to the server stay
	Maint                 // no requests at all; probes go on
)

var orderNames = [...]string{"ready", "draining", "maint"}

func (o Order) String() string { return orderNames[o] }

// Order gives s an order, at once. For Draining, d is how long clients that are tied to it stay until it is Maint; 0: as long as they like. It is false for a
// server that was removed.
func (p *Pool) Order(now clock.Instant, s *Server, o Order, d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.owner != p || s.gone.Load() {
		return false
	}
	s.orderEnds = 0
	if o == Draining && d > 0 {
		s.orderEnds = now.Add(d)
	}
	s.order.Store(uint32(o))
	s.note(now)
	p.rebuild(now)
	return true
}

// Reweigh gives s another weight, at once; it lasts until a list of servers has another weight for s than the list before. It is
// false for a server that was removed.
func (p *Pool) Reweigh(now clock.Instant, s *Server, weight int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.owner != p || s.gone.Load() {
		return false
	}
	s.weight.Store(int32(weight))
	p.rebuild(now)
	return true
}

// endDrains puts servers whose time to drain is over into maintenance. mu is held.
func (p *Pool) endDrains(now clock.Instant) (events []Event) {
	for _, s := range p.Servers() {
		if s.orderEnds != 0 && now >= s.orderEnds {
			s.orderEnds = 0
			s.order.Store(uint32(Maint))
			s.note(now)
			state := s.machine.State()
			e := health.Event{At: now, From: state, To: state, Reason: "its time to drain is over"}
			events = append(events, Event{Server: s, Event: e, Order: Maint, Was: Draining})
		}
	}
	return events
}

// Order is what is wanted of the server, by a person or by its agent: the stricter of both.
func (s *Server) Order() Order { return Order(max(s.order.Load(), s.agentOrder.Load())) }

// Condition is the server's state in a word: an order, or else its health.
func (s *Server) Condition() string {
	if o := s.Order(); o != Ready {
		return o.String()
	}
	return s.State().String()
}

// Since is when s's condition began, whoever brought it about.
func (p *Pool) Since(s *Server) clock.Instant {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.since
}

// note keeps the time of a change that shows in the server's condition. The owner's mutex is held.
func (s *Server) note(now clock.Instant) {
	if c := s.Condition(); c != s.condition {
		s.condition, s.since = c, now
	}
}
