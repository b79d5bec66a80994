package proxy

import (
	"sync/atomic"

	"poise/internal/fiber"
)

// Spread evens out client connections over the loops. The kernel spreads them by a hash of their addresses, which leaves a loop with a third more than another
// easily, for as long as they live. A connection is placed once, when it was accepted and before anything of it was received; later none moves.
type Spread struct {
	loops []spreadLoop
	open  atomic.Bool
}

type spreadLoop struct {
	load atomic.Int64 // client connections, also those on their way here
	p    *Loop
	_    [48]byte // loops do not share a cache line
}

// spareLoad is how many connections more than another a loop may always have: passing one on costs a few microseconds.
const spareLoad = 2

// NewSpread is for n loops.
func NewSpread(n int) *Spread { return &Spread{loops: make([]spreadLoop, n)} }

// Open lets connections move: from now on no loop gets another listener.
func (s *Spread) Open() { s.open.Store(true) }

// place counts a connection that a loop has accepted, and returns the loop that shall have it. stay: no other one.
func (s *Spread) place(own int, stay bool) int {
	to := own
	if !stay && s.open.Load() && !s.loops[own].p.draining {
		least := own
		for i := range s.loops {
			if s.loops[i].load.Load() < s.loops[least].load.Load() {
				least = i
			}
		}
		if n := s.loops[least].load.Load(); s.loops[own].load.Load() >= n+max(spareLoad, n/4) {
			to = least
		}
	}
	s.loops[to].load.Add(1)
	return to
}

// place is the listener's on the loop that shall have the next connection. One for which there is no room stays, so that the loop that has accepted it
// accepts no more.
func (a *accepter) place() *fiber.Listener {
	s, own := a.loop.cfg.Spread, a.loop.loop.Index
	to := s.place(own, a.loop.cfg.Limits.full())
	if to == own {
		return a.ln
	}
	return s.loops[to].p.accepts[a.number].ln
}
