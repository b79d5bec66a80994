package pool

import (
	"slices"

	"poise/internal/clock"
	"poise/internal/health"
)

// Event is a change of a server's state, or of where a pool's requests go, for the log.
type Event struct {
	Spill  *Spill // nil: it is a server's
	Server *Server
	health.Event
	Cause      Cause // of an ejection
	ReportOnly bool  // it would have been ejected
	Order, Was Order // of an order that changed, not by a person just now; the same: its health changed
}

// Probed takes the result of a probe of s. It returns the change of state that follows, if any. A result for a server that
// was removed meanwhile changes nothing.
func (p *Pool) Probed(now clock.Instant, s *Server, r health.Result) (Event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.owner != p || s.gone.Load() {
		return Event{}, false
	}
	if s.machine.Failing() == 0 && !r.OK && s.State() != health.Down {
		s.silent.Store(true) // until a request says otherwise
	}
	e, turned := s.machine.Probed(now, r)
	if !turned {
		return Event{}, false
	}
	return p.turned(now, s, e), true
}

// Tick does what was put off: it decides on servers whose first probe is overdue, ejects those whose requests fail, takes back those whose time is over, and
// rebuilds the pickers. It returns the changes of state. Call it every 50 ms.
func (p *Pool) Tick(now clock.Instant) []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []Event
	for _, s := range p.Servers() {
		if e, turned := s.machine.Expire(now); turned {
			events = append(events, p.turned(now, s, e))
		}
	}
	events = append(events, p.judge(now)...)
	p.dirty = p.tried(now) || p.warms(now) || p.dirty
	p.adapt(now)
	if ended := p.endDrains(now); len(ended) > 0 {
		events = append(events, ended...)
		p.rebuild(now)
	}
	p.refresh(now)
	if change := p.spilled(); change != nil {
		events = append(events, Event{Spill: change})
	}
	return events
}

// FirstRound tells whether every server's state is known: its first probe ended, or took too long.
func (p *Pool) FirstRound() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known()
}

// known is FirstRound with mu held.
func (p *Pool) known() bool {
	for _, s := range p.Servers() {
		if !s.machine.Known() {
			return false
		}
	}
	return true
}

// Health returns a copy of s's health machine, for the status page.
func (p *Pool) Health(s *Server) health.Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.machine
}

// Update replaces the list of servers, and takes effect at once. A server is the same as before when name and address are: it
// keeps its counters, health and leases, and takes over the new weight and rank. Of two specs with one address the first counts.
// What was removed gets no new leases; those that it has run on.
func (p *Pool) Update(now clock.Instant, specs []ServerSpec) (added, removed []*Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	added, removed = p.replace(now, specs, false)
	p.rebuild(now)
	return added, removed
}

// replace makes the list of servers that specs ask for. mu is held.
func (p *Pool) replace(now clock.Instant, specs []ServerSpec, atStart bool) (added, removed []*Server) {
	before, generation := p.Members()
	left := make(map[string]*Server, len(before)) // by address: those that specs have not named yet
	for _, s := range before {
		left[s.Address] = s
	}
	seen := make(map[string]bool, len(specs))
	servers := make([]*Server, 0, len(specs))
	for _, spec := range specs {
		if seen[spec.Address] {
			continue
		}
		seen[spec.Address] = true
		if spec.Name == "" {
			spec.Name = spec.Address
		}
		s := left[spec.Address]
		if s != nil && s.Name == spec.Name {
			delete(left, spec.Address)
		} else {
			s = p.newServer(now, spec, atStart)
			s.weight.Store(int32(spec.Weight))
			added = append(added, s)
		}
		if s.configured != spec.Weight { // else a person's weight stays
			s.weight.Store(int32(spec.Weight))
		}
		s.configured = spec.Weight
		s.limit.Store(int32(spec.requests()))
		s.conns.setLimit(spec.MaxConnections)
		s.backup.Store(spec.Backup)
		s.tier.Store(int32(spec.Tier))
		s.zone.Store(&spec.Zone)
		servers = append(servers, s)
	}
	for _, s := range before {
		if left[s.Address] == s {
			s.gone.Store(true)
			removed = append(removed, s)
		}
	}
	p.members.Store(&membership{generation + 1, servers})
	return added, removed
}

func (p *Pool) newServer(now clock.Instant, spec ServerSpec, atStart bool) *Server {
	s := &Server{Pool: p.Name, Name: spec.Name, Address: spec.Address, ID: p.nextID(spec), owner: p}
	s.machine = health.New(now, p.settings.Load().health, atStart)
	s.state.Store(uint32(s.machine.State()))
	s.note(now)
	s.share.Store(wholeShare)
	if !atStart && s.machine.State() == health.Up {
		p.warm(now, s)
	}
	return s
}

// turned publishes a server's new state, and returns the change for the log. mu is held.
func (p *Pool) turned(now clock.Instant, s *Server, e health.Event) Event {
	state := s.effective()
	s.state.Store(uint32(state))
	s.note(now)
	if state == health.Up {
		// What was before says nothing about it as it is now.
		s.tally.failures.Store(0)
		s.sample()
		if p.started {
			p.warm(now, s)
		}
	}
	p.dirty = true
	p.refresh(now)
	p.released(false) // who waits for this server alone need not any more, or can have it: that does not wait for the view
	return Event{Server: s, Event: s.explained(e)}
}

// refresh rebuilds a view that is outdated, or leaves that to a later Tick when the last time was just now. It is not put off
// while requests are being refused, nor when the first round is over: else a start would send everything to whichever server
// answered first. mu is held.
func (p *Pool) refresh(now clock.Instant) {
	starts := !p.started && p.known()
	p.started = p.started || starts
	if !p.dirty {
		return
	}
	if starts || p.view.Load().size() == 0 || now.Sub(p.built) >= RebuildEvery {
		p.rebuild(now)
	}
}

// rebuild builds and swaps the view. mu is held.
func (p *Pool) rebuild(now clock.Instant) {
	opened := p.opens()
	for _, s := range p.Servers() {
		s.try(opened)
	}
	p.warmUp(now)
	set := p.settings.Load()
	p.setLimit()
	bounded, pickers := p.limit.Load() > 0 || slices.ContainsFunc(p.Servers(), func(s *Server) bool { return s.most.Load() != 0 }), p.loops
	if p.queued = p.queued || bounded; p.queued { // also later on: somebody may just be about to wait
		pickers++
	}
	levels, list := p.arrange(p.usable(opened))
	v := newView(levels, set.policy, pickers)
	v.turns, v.list, v.opened = p.turns, list, opened
	p.view.Store(v)
	p.built, p.dirty = now, false
	p.bounded.Store(bounded)
	p.released(false) // a server that is new or up again has room
}
