package main

import (
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"poise/internal/clock"
)

// step is a time of an open loop with a rate of its own, in requests a second.
type step struct {
	Rate float64
	For  time.Duration
}

// schedule says when the requests of an open loop are due: at random, as those of clients that know nothing of each other (a Poisson process). It is the
// same for every run of the same steps, so that all balancers meet the same bursts.
type schedule struct {
	steps  []step // those that are left, the present one first
	random *rand.Rand
	due    clock.Instant
	end    clock.Instant // of the present step
}

func newSchedule(steps []step, now clock.Instant) *schedule {
	return &schedule{steps: steps, random: rand.New(rand.NewPCG(1, 2)), due: now, end: now.Add(steps[0].For)}
}

// next is when the next request is due; ok is false when the schedule is over.
func (s *schedule) next() (due clock.Instant, ok bool) {
	for len(s.steps) > 0 {
		s.due = s.due.Add(time.Duration(s.random.ExpFloat64() / s.steps[0].Rate * float64(time.Second)))
		if s.due < s.end {
			return s.due, true
		}
		// The time until the next request does not depend on how long none has come: it begins anew with the step.
		if s.due, s.steps = s.end, s.steps[1:]; len(s.steps) > 0 {
			s.end = s.due.Add(s.steps[0].For)
		}
	}
	return s.due, false
}

// timing are the times of the requests that were due between two instants.
type timing struct {
	from, until    clock.Instant
	answered, late *hdrhistogram.Histogram
	refused        int64
}

func newTiming(from, until clock.Instant) *timing {
	histogram := func() *hdrhistogram.Histogram { return hdrhistogram.New(100, int64(2*patience), 3) } // from 0.1 µs, to 0.1 %
	return &timing{from: from, until: until, answered: histogram(), late: histogram()}
}

func (t *timing) has(due clock.Instant) bool { return due >= t.from && due < t.until }

// done is told of a request that was due and is over now. What waited for a connection has waited since it was due.
func (t *timing) done(due, now clock.Instant, refused bool) {
	switch {
	case !t.has(due):
	case refused:
		t.refused++
	default:
		_ = t.answered.RecordValue(min(int64(now.Sub(due)), t.answered.HighestTrackableValue())) // within its range
	}
}

// woke is told how late a request began though a connection was free: that is the generator's own doing.
func (t *timing) woke(due, now clock.Instant) {
	if t.has(due) {
		_ = t.late.RecordValue(min(int64(now.Sub(due)), t.late.HighestTrackableValue()))
	}
}

// latency is in microseconds.
type latency struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
	Count int64   `json:"count"`
	// Late is the 99th percentile of how late the generator began what it could have begun in time; it is part of the other figures.
	Late float64 `json:"generator_late_p99"`
}

func (t *timing) latency() *latency {
	micros := func(n int64) float64 { return float64(n) / float64(time.Microsecond) }
	h := t.answered
	return &latency{
		P50: micros(h.ValueAtQuantile(50)), P99: micros(h.ValueAtQuantile(99)), P999: micros(h.ValueAtQuantile(99.9)),
		Max: micros(h.Max()), Count: h.TotalCount(), Late: micros(t.late.ValueAtQuantile(99)),
	}
}
