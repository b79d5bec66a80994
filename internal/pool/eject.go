package pool

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// Eject says when requests that fail take a server out of its pool for a while. Zero fields switch their rule off; the zero Eject ejects nothing.
type Eject struct {
	Failures int // in a row: no connection, no answer that can be read, 502 to 504
	// SuccessRate: a server is an outlier when its share of good answers is by so many standard deviations below the others' mean. Latency: when its mean
	// time until an answer's head is so many times the others' median. Both are looked at every Interval, of servers with MinRequests in it.
	SuccessRate float64
	Latency     float64
	Interval    time.Duration
	MinRequests int

	Time, MaxTime time.Duration // see health.Ejection
	MaxShare      int           // of the servers, in hundredths; one can always be ejected, the last one never
	ReportOnly    bool          // say so, once in Time, and eject nothing
}

// What keeps servers that differ by chance from being outliers: one whose share is a twentieth less, or which takes a tenth of a second longer, is none.
const (
	leastDeviation = 0.05
	leastSlower    = 100 * time.Millisecond
)

// Cause is why a server was ejected.
type Cause uint8

// The causes.
const (
	NoCause Cause = iota
	Failures
	SuccessRate
	Latency
)

var causeNames = [...]string{"", "failures", "success_rate", "latency"}

func (c Cause) String() string { return causeNames[c] }

// Causes are those that a server can be ejected for.
func Causes() []Cause { return []Cause{Failures, SuccessRate, Latency} }

// sample is what a server's requests came to between two sweeps.
type sample struct {
	server *Server
	n      int64
	good   float64 // their share
	timed  int64
	took   float64 // the mean of the timed ones, in microseconds
}

// judge ejects the servers whose requests fail. mu is held.
func (p *Pool) judge(now clock.Instant) (events []Event) {
	e := &p.settings.Load().eject
	if e.Failures > 0 {
		for _, s := range p.Servers() {
			if n := s.tally.failures.Load(); int(n) >= e.Failures && s.State() == health.Up {
				events = p.ejectOne(events, now, s, Failures, fmt.Sprintf("%d requests in a row failed", n))
			}
		}
	}
	if (e.SuccessRate > 0 || e.Latency > 0) && now.Sub(p.swept) >= e.Interval {
		p.swept = now
		events = p.sweep(events, now)
	}
	return events
}

// sweep looks for outliers among the servers that had requests enough.
func (p *Pool) sweep(events []Event, now clock.Instant) []Event {
	var asked, timed []sample
	rule := &p.settings.Load().eject
	for _, s := range p.Servers() {
		x := s.sample() // also of those that are out: what has come meanwhile is over
		if s.State() != health.Up {
			continue
		}
		if x.n >= int64(rule.MinRequests) {
			asked = append(asked, x)
		}
		if x.timed >= int64(rule.MinRequests) {
			timed = append(timed, x)
		}
	}
	for x, others := range eachBesideOthers(asked) {
		if mean, deviation := spread(others); rule.SuccessRate > 0 && x.good < mean-rule.SuccessRate*max(deviation, leastDeviation) {
			why := fmt.Sprintf("%.0f %% of its answers were good, of the others' %.0f %%", 100*x.good, 100*mean)
			events = p.ejectOne(events, now, x.server, SuccessRate, why)
		}
	}
	for x, others := range eachBesideOthers(timed) {
		usual := medianTook(others)
		if rule.Latency > 0 && x.took > rule.Latency*usual && x.took-usual > float64(leastSlower.Microseconds()) {
			why := fmt.Sprintf("its answers took %.0f ms, the others' %.0f ms", x.took/1000, usual/1000)
			events = p.ejectOne(events, now, x.server, Latency, why)
		}
	}
	return events
}

// eachBesideOthers yields each sample with all others. Of two that differ neither is the outlier: there have to be three.
func eachBesideOthers(samples []sample) iter.Seq2[sample, []sample] {
	return func(yield func(sample, []sample) bool) {
		if len(samples) < 3 {
			return
		}
		for i, x := range samples {
			if !yield(x, slices.Concat(samples[:i], samples[i+1:])) {
				return
			}
		}
	}
}

// sample is what has come since the last one.
func (s *Server) sample() sample {
	t, b := &s.tally, &s.before
	ended, failed, timed, waited := t.ended.Load(), t.failed.Load(), t.timed.Load(), t.waited.Load()
	x := sample{server: s, n: ended - b.ended, timed: timed - b.timed}
	if x.n > 0 {
		x.good = 1 - float64(failed-b.failed)/float64(x.n)
	}
	if x.timed > 0 {
		x.took = float64(waited-b.waited) / float64(x.timed)
	}
	b.ended, b.failed, b.timed, b.waited = ended, failed, timed, waited
	return x
}

// spread is the mean and the standard deviation of the shares of good answers.
func spread(samples []sample) (mean, deviation float64) {
	for _, x := range samples {
		mean += x.good / float64(len(samples))
	}
	for _, x := range samples {
		deviation += (x.good - mean) * (x.good - mean) / float64(len(samples))
	}
	return mean, math.Sqrt(deviation)
}

func medianTook(samples []sample) float64 {
	all := make([]float64, len(samples))
	for i, x := range samples {
		all[i] = x.took
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// ejectOne ejects s, as far as the pool can spare it.
func (p *Pool) ejectOne(events []Event, now clock.Instant, s *Server, c Cause, why string) []Event {
	if !p.spares() {
		return events
	}
	rule := &p.settings.Load().eject
	if rule.ReportOnly {
		if s.reported != 0 && now.Sub(s.reported) < rule.Time {
			return events
		}
		s.reported = now
		return append(events, Event{Server: s, Event: health.Event{At: now, From: health.Up, To: health.Ejected, Reason: why}, Cause: c, ReportOnly: true})
	}
	e, turned := s.machine.Eject(now, health.Ejection{Time: rule.Time, MaxTime: rule.MaxTime}, why)
	if turned {
		s.ejections[c].Add(1)
		event := p.turned(now, s, e)
		event.Cause = c
		events = append(events, event)
	}
	return events
}

// spares tells whether one more server can be ejected.
func (p *Pool) spares() bool {
	servers, out, up := p.Servers(), 0, 0
	for _, s := range servers {
		switch s.State() {
		case health.Ejected:
			out++
		case health.Up:
			if s.takes() {
				up++
			}
		}
	}
	return up > 1 && (out == 0 || (out+1)*100 <= len(servers)*p.settings.Load().eject.MaxShare)
}
