package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// session is one comparison, from its first run to its last.
type session struct {
	*equipment
	o        *options
	progress io.Writer
	plan     *plan
}

// results are what a session has found.
type results struct {
	Scenarios  []*compared     `json:"scenarios,omitempty"`
	Idle       *idleResult     `json:"idle,omitempty"`
	HTTPSIdle  *idleResult     `json:"https_idle,omitempty"`
	SocketIdle *idleResult     `json:"websocket_idle,omitempty"`
	WSSIdle    *idleResult     `json:"wss_idle,omitempty"`
	Overload   *overloadResult `json:"overload,omitempty"`
	Pairings   []*pairing      `json:"pairings,omitempty"`
}

// compared is a scenario with all its candidates.
type compared struct {
	Scenario scenario `json:"scenario"`
	// Rate is the open loop's, the same for all.
	Rate     float64    `json:"open_loop_requests_per_second,omitempty"`
	Outcomes []*outcome `json:"balancers"`
}

// outcome is what a scenario's runs of one candidate came to.
type outcome struct {
	Name    string `json:"name"`
	Product string `json:"product"`
	Loops   int    `json:"loops"`
	Runs    []run  `json:"runs"` // at saturation
	Open    []run  `json:"open_loop_runs,omitempty"`
	Calls   *calls `json:"system_calls,omitempty"`
}

func (o *outcome) isPeer() bool { return slices.Contains(peers, o.Product) }

// all runs the scenarios of these names.
func (s *session) all(ctx context.Context, names []string) (*results, error) {
	s.begin(s.estimate(names))
	var all results
	for _, name := range names {
		var err error
		var c *compared
		switch name {
		case idleName:
			all.Idle, err = s.idle(ctx, idleName, "small", s.o.idle)
		case httpsIdleName:
			all.HTTPSIdle, err = s.idle(ctx, httpsIdleName, "https", max(1, s.o.idle/2))
		case socketIdleName:
			all.SocketIdle, err = s.idle(ctx, name, "websocket", max(1, s.o.idle/2))
		case secureSocketIdleName:
			all.WSSIdle, err = s.idle(ctx, name, "wss", max(1, s.o.idle/2))
		case loopsName:
			c, err = s.loops(ctx)
		case mirrorName:
			c, err = s.mirror(ctx)
		case overloadName:
			all.Overload, err = s.overload(ctx)
		default:
			sc, _ := scenarioNamed(name) // the names were checked
			c, err = s.compare(ctx, sc, s.candidates, s.cpus)
		}
		if err != nil {
			return nil, err
		}
		if c != nil {
			all.Scenarios = append(all.Scenarios, c)
		}
	}
	return &all, nil
}

// compare runs one scenario. All candidates run throughout; those whose turn it is not do nothing.
func (s *session) compare(ctx context.Context, sc scenario, candidates []candidate, on cpus) (*compared, error) {
	b, err := s.newBed(ctx, s.o, on)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	result := &compared{Scenario: sc}
	for _, c := range candidates {
		if _, err := b.add(ctx, c, place{tls: sc.TLS != "", http2: sc.Streams > 0}); err != nil {
			return nil, err
		}
		result.Outcomes = append(result.Outcomes, &outcome{Name: c.name, Product: c.product, Loops: c.loops})
	}
	err = s.rounds(ctx, b, &sc, 0, func(i int, r run) { result.Outcomes[i].Runs = append(result.Outcomes[i].Runs, r) })
	if err != nil {
		return nil, err
	}
	if s.o.latency {
		if result.Rate = s.o.rate; result.Rate == 0 {
			result.Rate = result.halfOfTheSlowest()
		}
		err = s.rounds(ctx, b, &sc, result.Rate, func(i int, r run) { result.Outcomes[i].Open = append(result.Outcomes[i].Open, r) })
		if err != nil {
			return nil, err
		}
	}
	if s.o.calls {
		if err := s.countCalls(ctx, b, &sc, result); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// rounds runs each candidate once, then each again, and so on, so that what disturbs the machine for a while disturbs all. Each round begins with another one.
func (s *session) rounds(ctx context.Context, b *bed, sc *scenario, rate float64, keep func(int, run)) error {
	how := "saturated"
	if rate > 0 {
		how = fmt.Sprintf("%.0f requests/s", rate)
	}
	for round := range s.o.runs {
		for i := range b.on {
			i = (i + round) % len(b.on)
			s.say("%s, %s: run %d of %d, %s", sc.Name, how, round+1, s.o.runs, b.on[i].name)
			r, err := b.measure(ctx, b.on[i], sc, s.o.duration, rate)
			if errors.Is(err, errNothingDone) {
				s.note("a run was repeated once, since no request was over in it: the machine is too busy")
				r, err = b.measure(ctx, b.on[i], sc, s.o.duration, rate)
			}
			if err != nil {
				return err
			}
			s.plan.done += s.o.duration + warmUp
			keep(i, r)
		}
	}
	return nil
}

// halfOfTheSlowest is the open loop's rate: half of what the slowest can do among Poise at its best and its peers, so that none is near its limit.
// Other drivers
// count only where nothing else is measured.
func (c *compared) halfOfTheSlowest() float64 {
	slowest := func(of func(*outcome) bool) float64 {
		var rates []float64
		for _, o := range c.Outcomes {
			if of(o) {
				rates = append(rates, spreadOf(o.Runs, func(r run) float64 { return r.Rate }).Median)
			}
		}
		if len(rates) == 0 {
			return 0
		}
		return slices.Min(rates)
	}
	rate := slowest(func(o *outcome) bool { return o.Name == "poise-io_uring" || o.isPeer() })
	if rate == 0 {
		rate = slowest(func(*outcome) bool { return true })
	}
	return rate / 2
}

// plan tells how long a session still takes.
type plan struct {
	total, done time.Duration // as estimated
	began       time.Time
}

// left is at the pace so far.
func (p *plan) left() time.Duration {
	rest := max(0, p.total-p.done)
	if p.done > 0 {
		rest = time.Duration(float64(rest) * float64(time.Since(p.began)) / float64(p.done))
	}
	return rest.Round(time.Second)
}

// begin starts the clock.
func (s *session) begin(total time.Duration) { s.plan = &plan{total: total, began: time.Now()} }

func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.progress, "%s (%v left)\n", fmt.Sprintf(format, args...), s.plan.left())
}

// estimate is how long the scenarios take, without what happens between runs.
func (s *session) estimate(names []string) time.Duration {
	var total time.Duration
	for _, name := range names {
		n := len(s.candidates)
		if strings.HasSuffix(name, idleName) {
			total += time.Duration(n*s.specialRuns()) * idleTime
			continue
		}
		if name == overloadName {
			total += s.overloadEstimate()
			continue
		}
		if name == loopsName {
			n *= len(loopCounts)
		}
		if name == mirrorName {
			n *= len(mirrors)
		}
		runs := n * s.o.runs
		if s.o.latency {
			runs *= 2
		}
		total += time.Duration(runs) * (s.o.duration + warmUp)
		if s.o.calls {
			total += time.Duration(n) * callsTime
		}
	}
	return total
}
