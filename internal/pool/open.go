package pool

import (
	"slices"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// opens tells whether so few servers are up that those that are down get requests too: a probe can be wrong.
// [Envoy: healthy_panic_threshold, Skipper: maxUnhealthyEndpointsRatio]
func (p *Pool) opens() bool {
	share := p.settings.Load().failOpen
	if share < 0 || !p.known() {
		return false
	}
	up, down, all := 0, 0, 0
	for _, s := range p.Servers() {
		if !s.takes() {
			continue
		}
		all++
		switch s.State() {
		case health.Down:
			down++
		default: // an ejected one can serve, if need be
			up++
		}
	}
	return down > 0 && up*100 <= all*share
}

// usable lists the states in which servers get requests as things are. opened: also those that are down.
func (p *Pool) usable(opened bool) []health.State {
	switch {
	case opened:
		return []health.State{health.Up, health.Ejected, health.Down}
	case slices.ContainsFunc(p.Servers(), func(s *Server) bool { return s.takes() && s.State() == health.Up }):
		return []health.State{health.Up}
	}
	return []health.State{health.Ejected} // better than none
}

// A server that is down gets requests on trial, one at a time, unless it has answered the last one since its probes began to fail: one that is frozen, or cut
// off, would have all its clients wait for nothing. One answer lets the others in. After a trial without one the server rests, so that those who ask it are
// few: as a part of all clients, and of the time.
const (
	restTimes = 50 // as long as the trial took
	mostRest  = 10 * time.Second
)

// closed is Server.most of one that rests.
const closed = -1

// judged takes what a request says of its server, for when that is down.
//
//	            a row of failing probes begins, or a request has no answer
//	answers ────────────────────────────────────────────────────────────────► is silent: on trial
//	        ◄────────────────────────────────────────────────────────────────
//	            a request has an answer, be it an error
func (s *Server) judged(o Outcome, took time.Duration) {
	if o == Unknown || o == Outrun {
		return
	}
	if o == Broken && s.trial.Load() {
		s.rest.Store(int64(min(max(1, restTimes*took), mostRest)))
		s.most.Store(closed)
	}
	if silent := o == Broken; s.silent.Load() != silent {
		s.silent.Store(silent)
		if s.State() == health.Down && s.owner.notify != nil {
			s.owner.notify()
		}
	}
}

// try puts a server on trial, or ends that. opened is whether servers that are down get requests. mu is held.
func (s *Server) try(opened bool) {
	s.trial.Store(opened && s.State() == health.Down && s.silent.Load())
	if !s.trial.Load() {
		s.rest.Store(0)
		s.restsUntil = 0
	}
}

// tried ends the rests whose time is over, and tells whether a server's trial is over, or another one is due. mu is held.
func (p *Pool) tried(now clock.Instant) (changed bool) {
	if !p.view.Load().opened {
		return false
	}
	for _, s := range p.Servers() {
		changed = changed || s.State() == health.Down && s.trial.Load() != s.silent.Load()
		if d := s.rest.Swap(0); d > 0 {
			s.restsUntil = now.Add(time.Duration(d))
		}
		if s.restsUntil != 0 && now >= s.restsUntil {
			s.restsUntil = 0
			s.most.Store(s.atOnce(wholeShare))
			p.released(true)
		}
	}
	return changed
}

// atOnce is how many requests the server may have in flight with a share of what it is allowed, in hundredths; 0: any number. mu is held.
func (s *Server) atOnce(share int) int32 {
	most := s.allowed()
	switch {
	case s.restsUntil != 0 || s.rest.Load() != 0:
		return closed
	case s.trial.Load():
		return 1
	case most > 0:
		return max(1, most*int32(share)/wholeShare)
	}
	return 0
}
