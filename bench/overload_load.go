package main

import (
	"slices"
	"time"

	"poise/internal/clock"
)

// stepResult is what one step of a load came to.
type stepResult struct {
	Rate     float64 `json:"offered_per_second"`
	Accepted float64 `json:"accepted_per_second"`
	Refused  float64 `json:"refused_per_second"`
	Latency  latency `json:"accepted_latency_us"`
}

// climb sends an open loop's requests at the rates of the steps, without a pause between them. It tells of each step's begin, and of the last one's end.
func (g *generator) climb(parent <-chan string, tell func(loadEvent)) error {
	g.loop.Call(g.begin)
	if err := g.wait(parent, g.spec.WarmUp); err != nil {
		return err
	}
	for _, s := range g.spec.Steps {
		tell(loadEvent{Event: "step"})
		if err := g.wait(parent, s.For); err != nil {
			return err
		}
	}
	tell(loadEvent{Event: "end"})
	if err := g.last(parent); err != nil {
		return err
	}
	e := loadEvent{Event: "over", Requests: g.done}
	for i, t := range g.timings {
		l, seconds := t.latency(), g.spec.Steps[i].For.Seconds()
		accepted, refused := float64(l.Count)/seconds, float64(t.refused)/seconds
		e.Steps = append(e.Steps, stepResult{Rate: accepted + refused, Accepted: accepted, Refused: refused, Latency: *l})
	}
	usual := time.Duration(g.timings[0].answered.ValueAtQuantile(99))
	e.Settled = g.settling.after(usual).Seconds()
	tell(e)
	return nil
}

const (
	settleWindow = 100 * time.Millisecond
	settledFor   = 5   // windows without anything unusual, after which all is as before
	unusual      = 1.5 // times the usual 99th percentile
)

// settling looks how long after the last change of a load's rate answers are unusual.
type settling struct {
	from    clock.Instant
	windows []window
}

// window are the requests that were due in a part of the time.
type window struct {
	times   []time.Duration
	refused int
}

// newSettling looks at the last step.
func newSettling(steps []step, from clock.Instant) *settling {
	last := len(steps) - 1
	for _, s := range steps[:last] {
		from = from.Add(s.For)
	}
	return &settling{from: from, windows: make([]window, steps[last].For/settleWindow)}
}

func (s *settling) done(due, now clock.Instant, refused bool) {
	i := int(due.Sub(s.from) / settleWindow)
	if due < s.from || i >= len(s.windows) {
		return
	}
	w := &s.windows[i]
	if refused {
		w.refused++
	} else {
		w.times = append(w.times, now.Sub(due))
	}
}

// after is how long it took until the first of a row of windows in which none was refused and the 99th percentile was near the usual one; negative: there was
// no such row.
func (s *settling) after(usual time.Duration) time.Duration {
	row := 0
	for i, w := range s.windows {
		slices.Sort(w.times)
		n := len(w.times)
		if row++; w.refused > 0 || n == 0 || float64(w.times[n*99/100]) > unusual*float64(usual) {
			row = 0
		}
		if row == settledFor {
			return time.Duration(i+1-settledFor) * settleWindow
		}
	}
	return -1
}
