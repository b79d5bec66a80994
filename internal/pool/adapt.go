package pool

import (
	"math"
	"time"

	"poise/internal/clock"
)

// Adapt is a limit on a pool's requests in flight that finds itself: while answers take longer than they usually do, it falls, else it grows. The zero Adapt
// sets none.
type Adapt struct {
	Min, Max  int     // of the limit; Max 0: there is none
	Tolerance float64 // how many times the usual time answers may take without a fall
}

// The rule is Netflix' Gradient2: the limit follows the ratio of what answers usually take to what they take now, and grows by the square root of itself
// where they take no longer. No requests are shed to measure. [Gradient2Limit.java: smoothing 0.2, gradient from 0.5 to 1; the square root is Envoy's]
const (
	adaptEvery  = 100 * time.Millisecond
	adaptLeast  = 10 // answers, without which a window goes on
	adaptStart  = 20 // the first limit
	smoothing   = 0.2
	steepest    = 0.5
	usualWindow = 600 // windows, over which the usual time is a decaying mean
	// While requests wait, answers that take longer say something of the servers only where few are in flight: the usual time follows by so much more at
	// the least limit, and by the square of its share less above.
	usualAlone = 10
)

// adaption is the state of the rule. The pool's mu guards it.
type adaption struct {
	limit         float64
	usual         float64 // microseconds; 0: nothing is known
	since         clock.Instant
	timed, waited int64  // of all servers, at the end of the last window
	generation    uint64 // of the list of servers that these are of
}

// adapt moves the limit once a window. mu is held.
func (p *Pool) adapt(now clock.Instant) {
	set, a := &p.settings.Load().adapt, &p.adaption
	if set.Max == 0 || now.Sub(a.since) < adaptEvery {
		return
	}
	timed, waited := p.answers()
	if generation := p.Generation(); a.generation != generation { // servers may have left, and their answers with them
		a.generation, a.timed, a.waited = generation, timed, waited
	}
	n, sum := timed-a.timed, waited-a.waited
	if n < adaptLeast {
		return
	}
	a.since, a.timed, a.waited = now, timed, waited
	busy := p.inFlight.Load()*2 >= int64(a.limit)
	a.window(set, max(1, float64(sum)/float64(n)), p.Waiting() > 0, busy)
	p.setLimit()
}

// window takes the mean time of a window's answers. A limit that is not half used says nothing.
func (a *adaption) window(set *Adapt, took float64, loaded, busy bool) {
	step := 1.0 / usualWindow
	if loaded && took > a.usual {
		alone := float64(set.Min) / a.limit
		step *= usualAlone * alone * alone
	}
	switch {
	case a.usual == 0:
		a.usual = took
	case a.usual > 2*took: // it was learnt under load: forget it sooner
		a.usual *= 0.95
	default:
		a.usual += (took - a.usual) * step
	}
	if !busy {
		return
	}
	gradient := min(1, max(steepest, set.Tolerance*a.usual/took))
	next := a.limit*gradient + math.Sqrt(a.limit)
	a.limit += (next - a.limit) * smoothing
}

// bound keeps the limit within what is configured, which may have changed.
func (a *adaption) bound(set *Adapt) {
	a.limit = min(max(a.limit, float64(set.Min)), float64(set.Max))
}

// answers is how many answers of the present servers were timed, and their times' sum in microseconds.
func (p *Pool) answers() (timed, waited int64) {
	for _, s := range p.Servers() {
		timed += s.tally.timed.Load()
		waited += s.tally.waited.Load()
	}
	return timed, waited
}

// setLimit publishes the limit that is in force: the configured one, or a lower one that was found. mu is held.
func (p *Pool) setLimit() {
	set := p.settings.Load()
	limit := set.maxRequests
	if set.adapt.Max > 0 {
		a := &p.adaption
		if a.limit == 0 {
			a.limit, a.generation = adaptStart, p.Generation()
		}
		a.bound(&set.adapt)
		if found := int(a.limit); limit == 0 || found < limit {
			limit = found
		}
	} else {
		p.adaption = adaption{}
	}
	before := p.limit.Swap(int64(limit))
	if int64(limit) > before {
		p.released(false)
	}
}

// Limit is how many requests the servers together may have in flight at present; 0: any number.
func (p *Pool) Limit() int { return int(p.limit.Load()) }
