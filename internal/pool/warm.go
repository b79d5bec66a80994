package pool

import (
	"time"

	"poise/internal/clock"
)

// A server that comes back, or is added, is cold: its share of requests, and how many it may have in flight, grow evenly from a tenth to the whole over
// the pool's slow start. Servers that are there from the start of the process begin with all. [Envoy: slow_start_config, 10 % at least; HAProxy: slowstart]
const (
	wholeShare = 100
	leastShare = 10
	// warmSteps is in how many steps a share grows, at most: each one builds the pickers anew.
	warmSteps = 50
)

// warm begins a server's slow start.
func (p *Pool) warm(now clock.Instant, s *Server) {
	if p.settings.Load().slowStart > 0 {
		s.warming = now
	}
}

// warms tells whether a share has grown by a step.
func (p *Pool) warms(now clock.Instant) bool {
	if now.Sub(p.built) < max(p.settings.Load().slowStart/warmSteps, time.Millisecond) {
		return false
	}
	for _, s := range p.Servers() {
		if s.warming != 0 {
			return true
		}
	}
	return false
}

// warmUp brings every server's share up to date.
func (p *Pool) warmUp(now clock.Instant) {
	slowStart := p.settings.Load().slowStart
	for _, s := range p.Servers() {
		share := wholeShare
		if s.warming != 0 {
			if age := now.Sub(s.warming); age < slowStart {
				share = max(leastShare, int(wholeShare*age/slowStart))
			} else {
				s.warming = 0
			}
		}
		s.share.Store(int32(s.scaled(share)))
		s.most.Store(s.atOnce(share))
	}
}
