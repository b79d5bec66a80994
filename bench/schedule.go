package main

import (
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"poise/internal/clock"
)

// schedule says when the requests of an open loop are due: at random, as those of clients that know nothing of each other (a Poisson process). It
// is the same for
// every run of one rate, so that all balancers meet the same bursts.
type schedule struct {
	rate   float64
	random *rand.Rand
	due    clock.Instant
	end    clock.Instant
}

func newSchedule(rate float64, now clock.Instant, d time.Duration) *schedule {
	return &schedule{rate: rate, random: rand.New(rand.NewPCG(1, 2)), due: now, end: now.Add(d)}
}

// next is when the next request is due; ok is false when the schedule is over.
func (s *schedule) next() (due clock.Instant, ok bool) {
	s.due = s.due.Add(time.Duration(s.random.ExpFloat64() / s.rate * float64(time.Second)))
	return s.due, s.due < s.end
}

// timing are the times of the requests that were due after the warm-up.
type timing struct {
	from           clock.Instant
	answered, late *hdrhistogram.Histogram
}

func newTiming(from clock.Instant) *timing {
	histogram := func() *hdrhistogram.Histogram { return hdrhistogram.New(100, int64(2*patience), 3) } // from 0.1 µs, to 0.1 %
	return &timing{from: from, answered: histogram(), late: histogram()}
}

// done is told of a request that was due and is over now. What waited for a connection has waited since it was due.
func (t *timing) done(due, now clock.Instant) {
	if due >= t.from {
		_ = t.answered.RecordValue(min(int64(now.Sub(due)), t.answered.HighestTrackableValue())) // within its range
	}
}

// woke is told how late a request began though a connection was free: that is the generator's own doing.
func (t *timing) woke(due, now clock.Instant) {
	if due >= t.from {
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
