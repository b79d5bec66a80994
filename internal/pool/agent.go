package pool

import (
	"slices"

	"poise/internal/clock"
	"poise/internal/health"
)

// maxWeight is how much a server weighs at most, whatever its agent says: as much as the configuration allows.
const maxWeight = 256

// Heard takes what s's agent answered. It returns the changes that follow, and the words that mean nothing where those are others than in the answer before.
// What the agent brings about stays until it says otherwise. An answer for a server that was removed meanwhile changes nothing.
func (p *Pool) Heard(now clock.Instant, s *Server, answer string) (events []Event, unknown []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.owner != p || s.gone.Load() {
		return nil, nil
	}
	after, unknown := s.agent.Hear(answer)
	events = p.obey(now, s, after, "its agent says so")
	if slices.Equal(unknown, s.misheard) {
		return events, nil
	}
	s.misheard = unknown
	return events, unknown
}

// Forget undoes what the agents of all servers have brought about, at once.
func (p *Pool) Forget(now clock.Instant) (events []Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.Servers() {
		s.misheard = nil
		events = append(events, p.obey(now, s, health.Agent{}, "its agent is not asked any more")...)
	}
	p.rebuild(now)
	return events
}

// Agent returns what s's agent has brought about.
func (p *Pool) Agent(s *Server) health.Agent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.agent
}

// obey puts after in the place of what the agent had brought about before. mu is held.
func (p *Pool) obey(now clock.Instant, s *Server, after health.Agent, reason string) (events []Event) {
	before := s.agent
	if s.agent = after; after == before {
		return nil
	}
	state, order := s.State(), s.Order()
	s.agentOrder.Store(uint32(orderOf(after)))
	p.dirty = true
	if to := s.effective(); to != state {
		why := reason
		if after.Why != "" {
			why += ": " + after.Why
		}
		events = append(events, p.turned(now, s, health.Event{At: now, From: state, To: to, Reason: why}))
	}
	s.note(now)
	if o := s.Order(); o != order {
		events = append(events, Event{Server: s, Event: health.Event{At: now, From: s.State(), To: s.State(), Reason: reason}, Order: o, Was: order})
	}
	p.refresh(now)
	return events
}

// orderOf is what an agent wants as if a person had ordered it. A share of nothing lets nobody new in, as draining does.
func orderOf(a health.Agent) Order {
	o := Order(a.Order)
	if a.Weighs && a.Share == 0 {
		o = max(o, Draining)
	}
	return o
}

// effective is the state that health and agent make together: a server is up when both say so. mu is held.
func (s *Server) effective() health.State {
	state := s.machine.State()
	if s.agent.Down && (state == health.Up || state == health.Ejected) {
		return health.Down
	}
	return state
}

// scaled is a share of the weight, in hundredths, as far as the agent lets it count. It is never nothing: that is what an order is for. mu is held.
func (s *Server) scaled(share int) int {
	if !s.agent.Weighs {
		return share
	}
	return max(1, min(share*s.agent.Share/wholeShare, maxWeight*wholeShare/max(s.Weight(), 1)))
}

// allowed is how many requests the server may have in flight, by configuration and agent; 0: any number. mu is held.
func (s *Server) allowed() int32 {
	limit, most := s.limit.Load(), int32(s.agent.MaxRequests)
	if limit == 0 || (most > 0 && most < limit) {
		return most
	}
	return limit
}

// explained is e, with what keeps it from having an effect. mu is held.
func (s *Server) explained(e health.Event) health.Event {
	if e.To != s.effective() {
		e.Reason += "; its agent keeps it down"
	}
	return e
}
