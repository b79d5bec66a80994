package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// overloadName is the scenario of more requests than the servers can answer.
const overloadName, overloadAbout = "overload", "more requests than the servers can answer, of Poise alone"

const (
	overloadServers = 4
	// overloadConnections are more than can be in flight, queued and on their way, so that no request waits for one.
	overloadConnections = 1024
)

// overloadTimes are what the rates of the steps are to the servers' capacity.
var overloadTimes = []float64{0.8, 2, 5, 0.8}

// overloadResult is what overload came to.
type overloadResult struct {
	timed
	Outcomes []*overloadOutcome `json:"balancers"`
}

type overloadOutcome struct {
	Name  string        `json:"name"`
	Limit string        `json:"limit"` // what bounds the requests in flight
	Runs  []overloadRun `json:"runs"`
}

// overloadRun is one climb.
type overloadRun struct {
	Steps   []overloadStep `json:"steps"`
	Settled float64        `json:"settled_after_seconds"` // negative: not at all
}

type overloadStep struct {
	stepResult
	Candidate float64 `json:"balancer_cores"`
	Rest      float64 `json:"servers_and_load_cores"`
	Others    float64 `json:"others_cores"` // everything else on the machine
}

// limits are the ways to bound the requests in flight that are compared.
var limits = []struct {
	name   string
	server string // of each server
	pool   string
	grows  bool // in the warm-up
}{
	{"max_requests", ", max_requests: %d", "", false},
	{"adaptive", "", "adaptive: {}\n", true},
}

// overloadWarmUp lets a limit grow to what the load needs: by twice its square root each second, so that the root grows by one.
func overloadWarmUp(t timed, grows bool) time.Duration {
	if !grows {
		return warmUp
	}
	return warmUp + time.Duration(math.Sqrt(float64(t.Servers*t.Slots))*float64(time.Second))
}

func (o *options) timed() timed {
	return timed{Servers: overloadServers, Slots: o.slots, Time: o.service}
}

// overload has each Poise alone, with each limit.
func (s *session) overload(ctx context.Context) (*overloadResult, error) {
	t := s.o.timed()
	result := &overloadResult{timed: t}
	for _, c := range s.candidates {
		if c.product != "poise" {
			continue
		}
		for i, l := range limits {
			o := &overloadOutcome{Name: c.name, Limit: l.name}
			result.Outcomes = append(result.Outcomes, o)
			for n := range s.specialRuns() {
				s.say("%s, %s: run %d of %d, %s", overloadName, l.name, n+1, s.specialRuns(), c.name)
				r, err := s.overloadRun(ctx, c, t, i)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, %s: %w", overloadName, l.name, c.name, err)
				}
				o.Runs = append(o.Runs, r)
				s.plan.done += s.overloadTime(i)
			}
		}
	}
	return result, nil
}

func (s *session) overloadEstimate() (total time.Duration) {
	for _, c := range s.candidates {
		for i := range limits {
			if c.product == "poise" {
				total += time.Duration(s.specialRuns()) * s.overloadTime(i)
			}
		}
	}
	return total
}

// overloadTime is that of a run with one of limits.
func (s *session) overloadTime(limit int) time.Duration {
	return overloadWarmUp(s.o.timed(), limits[limit].grows) + time.Duration(len(overloadTimes)+1)*s.o.duration
}

func (s *session) overloadRun(ctx context.Context, c candidate, t timed, limit int) (run overloadRun, err error) {
	b, err := s.newBed(ctx, s.o, s.cpus, "--servers", fmt.Sprint(t.Servers), "--slots", fmt.Sprint(t.Slots), "--time", t.Time.String())
	if err != nil {
		return run, err
	}
	defer b.stop()
	l := limits[limit]
	if l.server != "" {
		l.server = fmt.Sprintf(l.server, t.Slots)
	}
	servers := "{ address: " + strings.ReplaceAll(b.address, ",", l.server+" }, { address: ") + l.server + " }"
	queue := fmt.Sprintf("queue: { length: %d }\n", t.Servers*t.Slots/2)
	r, err := b.add(ctx, c, place{server: servers, pool: l.pool + queue})
	if err != nil {
		return run, err
	}
	spec := loadSpec{To: r.address, Scenario: "small", WarmUp: overloadWarmUp(t, l.grows), Rate: overloadTimes[0] * t.capacity(), Connections: overloadConnections}
	for _, times := range overloadTimes {
		spec.Steps = append(spec.Steps, step{Rate: times * t.capacity(), For: s.o.duration})
	}
	spec.Steps[len(spec.Steps)-1].For *= 2 // to settle in
	load, err := b.load(spec)
	if err != nil {
		return run, err
	}
	defer load.stop()
	return b.climb(ctx, r, load)
}

// climb looks at what the processes use in each step.
func (b *bed) climb(ctx context.Context, r *running, load *child) (run overloadRun, err error) {
	run.Steps = make([]overloadStep, len(overloadTimes))
	var before usages
	for i := range len(overloadTimes) + 1 {
		event := "step"
		if i == len(overloadTimes) {
			event = "end"
		}
		if _, err := b.event(ctx, load, event); err != nil {
			return run, err
		}
		now, err := b.usagesOf(r, load)
		if err != nil {
			return run, err
		}
		if i > 0 {
			s := &run.Steps[i-1]
			s.Candidate = now.candidate.since(before.candidate).cores()
			s.Rest = now.servers.since(before.servers).cores() + now.load.since(before.load).cores()
			s.Others = max(0, now.machine.since(before.machine).cores()-s.Candidate-s.Rest)
		}
		before = now
	}
	e, err := b.event(ctx, load, "over")
	if err != nil {
		return run, err
	}
	for i, s := range e.Steps {
		run.Steps[i].stepResult = s
	}
	run.Settled = e.Settled
	return run, nil
}

func (r *overloadResult) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %d servers that take %d requests at once for %v each, so %.0f a second\n", overloadName, r.Servers, r.Slots, r.Time, r.capacity())
	t := newTable(w)
	t.row("", "limit", "times", "offered/s", "accepted/s", "refused/s", "p50 ms", "p99 ms", "late p99 ms", "busy", "servers and load", "others")
	others := 0.0
	for _, o := range r.Outcomes {
		for i, times := range overloadTimes {
			m := func(format string, figure func(overloadStep) float64) string {
				return fmt.Sprintf(format, spreadOf(o.Runs, func(r overloadRun) float64 { return figure(r.Steps[i]) }).Median)
			}
			t.row(
				o.Name, o.Limit, fmt.Sprint(times), m("%.0f", func(s overloadStep) float64 { return s.Rate }),
				m("%.0f", func(s overloadStep) float64 { return s.Accepted }), m("%.0f", func(s overloadStep) float64 { return s.Refused }),
				m("%.1f", func(s overloadStep) float64 { return s.Latency.P50 / 1000 }), m("%.1f", func(s overloadStep) float64 { return s.Latency.P99 / 1000 }),
				m("%.1f", func(s overloadStep) float64 { return s.Latency.Late / 1000 }), m("%.2f", func(s overloadStep) float64 { return s.Candidate }),
				m("%.2f", func(s overloadStep) float64 { return s.Rest }), m("%.2f", func(s overloadStep) float64 { return s.Others }))
			for _, run := range o.Runs {
				others = max(others, run.Steps[i].Others)
			}
		}
	}
	t.end()
	for _, o := range r.Outcomes {
		fmt.Fprintf(w, "%s, %s: %s\n", o.Name, o.Limit, o.text())
	}
	if others > disturbed {
		fmt.Fprintf(w, "Other programs used up to %.1f cores meanwhile: the figures are less sure than on a machine at rest.\n", others)
	}
}

// text says how the runs compare with what one may want.
func (o *overloadOutcome) text() string {
	goodput, slower := spreadOf(o.Runs, overloadRun.goodput), spreadOf(o.Runs, overloadRun.slower)
	var again []overloadRun
	for _, r := range o.Runs {
		if r.Settled >= 0 {
			again = append(again, r)
		}
	}
	text := fmt.Sprintf("under overload the goodput is %.0f %% of the best (%.0f-%.0f), p99 of the accepted %.1f times that at %v (%.1f-%.1f)",
		goodput.Median, goodput.Min, goodput.Max, slower.Median, overloadTimes[0], slower.Min, slower.Max)
	if len(again) > 0 {
		settled := spreadOf(again, func(r overloadRun) float64 { return r.Settled })
		text += fmt.Sprintf("; all is as before %.1f s after it (%.1f-%.1f)", settled.Median, settled.Min, settled.Max)
	}
	if n := len(o.Runs) - len(again); n > 0 {
		text += fmt.Sprintf("; in %d of %d runs it never is", n, len(o.Runs))
	}
	return text
}

// over are the steps of overload.
func (r overloadRun) over() []overloadStep { return r.Steps[1 : len(r.Steps)-1] }

// goodput is the least under overload, in hundredths of the best.
func (r overloadRun) goodput() float64 {
	least, best := math.Inf(1), 0.0
	for _, s := range r.over() {
		least = min(least, s.Accepted)
	}
	for _, s := range r.Steps {
		best = max(best, s.Accepted)
	}
	return 100 * least / best
}

// slower is how many times longer the 99th percentile of the accepted is under overload.
func (r overloadRun) slower() float64 {
	longest := 0.0
	for _, s := range r.over() {
		longest = max(longest, s.Latency.P99)
	}
	return longest / r.Steps[0].Latency.P99
}
