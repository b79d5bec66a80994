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
	fmt.Fprintf(w, "\n%s: %d servers that take %d requests at once for %v each, so %.0f a second; a row for each run's step\n",
		overloadName, r.Servers, r.Slots, r.Time, r.capacity())
	t := newTable(w)
	t.row("", "limit", "times", "offered/s", "accepted/s", "refused/s", "p50 ms", "p99 ms", "late p99 ms", "busy", "servers and load", "others")
	ms := func(micros float64) string { return fmt.Sprintf("%.1f", micros/1000) }
	for _, o := range r.Outcomes {
		for _, run := range o.Runs {
			for i, s := range run.Steps {
				t.row(
					o.Name, o.Limit, fmt.Sprint(overloadTimes[i]), fmt.Sprintf("%.0f", s.Rate), fmt.Sprintf("%.0f", s.Accepted), fmt.Sprintf("%.0f", s.Refused),
					ms(s.Latency.P50), ms(s.Latency.P99), ms(s.Latency.Late), fmt.Sprintf("%.2f", s.Candidate), fmt.Sprintf("%.2f", s.Rest), fmt.Sprintf("%.2f", s.Others))
			}
		}
	}
	t.end()
	for _, o := range r.Outcomes {
		for _, run := range o.Runs {
			fmt.Fprintf(w, "%s, %s: %s\n", o.Name, o.Limit, run.text())
		}
	}
}

// text says how the run compares with what one may want.
func (r *overloadRun) text() string {
	peak, least, slowest := 0.0, r.Steps[1].Accepted, 0.0
	over := r.Steps[1 : len(r.Steps)-1]
	for _, s := range r.Steps {
		peak = max(peak, s.Accepted)
	}
	for _, s := range over {
		least, slowest = min(least, s.Accepted), max(slowest, s.Latency.P99)
	}
	settled := "as before at no time"
	if r.Settled >= 0 {
		settled = fmt.Sprintf("as before %.1f s after its end", r.Settled)
	}
	return fmt.Sprintf("under overload at least %.0f %% of the best goodput, p99 of the accepted at most %.1f times that of %v; %s",
		100*least/peak, slowest/r.Steps[0].Latency.P99, overloadTimes[0], settled)
}
