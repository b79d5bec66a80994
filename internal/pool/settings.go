package pool

import (
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// settings are what may change while a pool is in use. They are replaced as a whole: loops read them without a lock.
type settings struct {
	policy Policy
	health *health.Settings
	budget Budget
	eject  Eject
	hedge  Hedge

	maxRequests int
	adapt       Adapt
	queue       Queue
	slowStart   time.Duration
	failOpen    int
	zone        string

	// What follows from the above, so that it is not worked out for every request.
	floor  int  // of repeats that a loop has in each second, in thousandths
	earns  int  // of a repeat that a request earns, likewise
	counts bool // somebody looks at what requests come to
}

func (s *Spec) settings() *settings {
	return &settings{
		s.Policy, s.Health, s.Budget, s.Eject, s.Hedge, s.MaxRequests, s.Adapt, s.Queue, s.SlowStart, s.FailOpen, s.Zone,
		s.Budget.Floor * wholeRepeat / max(s.Loops, 1), s.Budget.Share * wholeRepeat / 100, s.Eject != (Eject{}) || s.Adapt.Max > 0,
	}
}

// Configure gives the pool the settings and servers of spec, all but its name, numbers and loops, and takes effect at once. Servers
// are replaced as by Update. Where health differs, those that stay keep their state until probes by the new settings say otherwise; without health they are
// up. What was saved of the budget stays; a pool that had none begins with nothing.
func (p *Pool) Configure(now clock.Instant, spec Spec) (added, removed []*Server, events []Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spec.Loops = p.loops
	before, after := p.settings.Load(), spec.settings()
	p.settings.Store(after)
	added, removed = p.replace(now, spec.Servers, false)
	if !sameHealth(before.health, after.health) {
		for _, s := range p.Servers() {
			if e, turned := s.machine.Configure(now, after.health); turned {
				events = append(events, p.turned(now, s, e))
			}
		}
	}
	p.rebuild(now)
	return added, removed, events
}

func sameHealth(a, b *health.Settings) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
