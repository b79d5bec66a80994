package pool

import "time"

// Lease is a server's slot, from the choice to the outcome. It is a value with one owner: a copy that is ended too would
// count twice. The zero Lease holds nothing.
type Lease struct {
	server  *Server
	counted bool // the pool has counted it too
}

// Server is the server that was chosen; nil after End.
func (l *Lease) Server() *Server { return l.server }

// Tell says what the request came to, for its server's sake: took is the time until the answer's head, or until it
// was given up; 0: it says nothing about the server. Of several outcomes of one lease all count.
func (l *Lease) Tell(o Outcome, took time.Duration) {
	s := l.server
	if s == nil {
		return
	}
	s.judged(o, took)
	set := s.owner.settings.Load()
	if !set.counts {
		return
	}
	if n := s.tally.add(o, took); n > 0 && n == set.eject.Failures && s.owner.notify != nil {
		s.owner.notify()
	}
}

// End gives the slot back, to who waits for one. A second End does nothing.
func (l *Lease) End() {
	s := l.server
	if s == nil {
		return
	}
	l.giveBack()
	s.owner.released(true)
}

// giveBack is End without a word to who waits.
func (l *Lease) giveBack() {
	l.server.inFlight.Add(-1)
	if l.counted {
		l.server.owner.inFlight.Add(-1)
	}
	*l = Lease{}
}
