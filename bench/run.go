package main

import (
	"context"
	"fmt"
	"time"
)

// run is one measured run of one candidate. Times are CPU microseconds per request.
type run struct {
	Requests int64   `json:"requests"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"requests_per_second"`
	CPU      float64 `json:"cpu_us"`
	User     float64 `json:"user_us"`
	System   float64 `json:"system_us"`
	Sleeps   float64 `json:"sleeps"` // per request: how often a thread waited
	// Busy are shares of one core.
	Busy struct {
		Candidate float64 `json:"balancer"`
		Servers   float64 `json:"servers"`
		Load      float64 `json:"load"`
	} `json:"busy"`
	Resident int64    `json:"resident_bytes"`
	Latency  *latency `json:"latency_us,omitempty"`
}

// warmUp fills connections, caches and buffers before anything is counted.
const warmUp = 300 * time.Millisecond

// measure has the candidate serve the scenario for d; rate is 0 for as much as it can.
func (b *bed) measure(ctx context.Context, r *running, s *scenario, d time.Duration, rate float64) (run, error) {
	fail := func(err error) (run, error) { return run{}, fmt.Errorf("%s, %s: %w", s.Name, r.name, err) }
	load, err := b.load(loadSpec{To: r.address, Scenario: s.Name, WarmUp: warmUp, Duration: d, Rate: rate})
	if err != nil {
		return fail(err)
	}
	defer load.stop()
	if _, err := b.event(ctx, load, "begin"); err != nil {
		return fail(err)
	}
	before, err := b.usages(r, load)
	if err != nil {
		return fail(err)
	}
	end, err := b.event(ctx, load, "end")
	if err != nil {
		return fail(err)
	}
	after, err := b.usages(r, load)
	if err != nil {
		return fail(err)
	}
	var result run
	if result.Resident, err = resident(r.pids); err != nil {
		return fail(err)
	}
	last := "over"
	if rate > 0 {
		last = "latency"
	}
	e, err := b.event(ctx, load, last)
	if err != nil {
		return fail(err)
	}
	result.Latency = e.Latency
	result.Requests, result.Seconds = end.Requests, end.Seconds
	if end.Requests == 0 {
		return fail(fmt.Errorf("no request was over within %v", d))
	}
	result.account(before, after)
	return result, nil
}

// usages are those of the candidate, the servers and the load, in this order.
func (b *bed) usages(r *running, load *child) (all [3]usage, err error) {
	for i, pids := range [][]int{r.pids, b.servers.pids, load.pids} {
		if all[i], err = usageOf(pids); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (r *run) account(before, after [3]usage) {
	n := float64(r.Requests)
	u := after[0].since(before[0])
	r.Rate = n / r.Seconds
	r.CPU = float64(u.cpu) / float64(time.Microsecond) / n
	if ticks := u.user + u.system; ticks > 0 {
		r.User = r.CPU * float64(u.user) / float64(ticks)
	}
	r.System = r.CPU - r.User
	r.Sleeps = float64(u.sleeps) / n
	busy := func(i int) float64 {
		return after[i].since(before[i]).cpu.Seconds() / after[i].at.Sub(before[i].at).Seconds()
	}
	r.Busy.Candidate, r.Busy.Servers, r.Busy.Load = busy(0), busy(1), busy(2)
}
