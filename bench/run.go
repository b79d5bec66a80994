package main

import (
	"context"
	"errors"
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
		Others    float64 `json:"others"` // everything else on the machine
	} `json:"busy"`
	Resident int64    `json:"resident_bytes"`
	Latency  *latency `json:"latency_us,omitempty"`
}

// warmUp fills connections, caches and buffers before anything is counted.
const warmUp = 300 * time.Millisecond

// errNothingDone is a run without a request that was over: so busy is the machine with other things.
var errNothingDone = errors.New("no request was over in a whole run")

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
	before, err := b.usagesOf(r, load)
	if err != nil {
		return fail(err)
	}
	end, err := b.event(ctx, load, "end")
	if err != nil {
		return fail(err)
	}
	after, err := b.usagesOf(r, load)
	if err != nil {
		return fail(err)
	}
	var result run
	if result.Resident, err = resident(r.pids); err != nil {
		return fail(err)
	}
	e, err := b.event(ctx, load, "over")
	if err != nil {
		return fail(err)
	}
	result.Latency = e.Latency
	result.Requests, result.Seconds = end.Requests, end.Seconds
	if end.Requests == 0 {
		return fail(errNothingDone)
	}
	result.account(before, after)
	return result, nil
}

// usages are what a run looks at, before and after.
type usages struct{ candidate, servers, load, machine usage }

func (b *bed) usagesOf(r *running, load *child) (u usages, err error) {
	if u.machine, err = usageOfMachine(); err != nil {
		return u, err
	}
	for _, part := range []struct {
		usage *usage
		pids  []int
	}{{&u.candidate, r.pids}, {&u.servers, b.servers.pids}, {&u.load, load.pids}} {
		if *part.usage, err = usageOf(part.pids); err != nil {
			return u, err
		}
	}
	return u, nil
}

func (r *run) account(before, after usages) {
	n := float64(r.Requests)
	u := after.candidate.since(before.candidate)
	r.Rate = n / r.Seconds
	r.CPU = float64(u.cpu) / float64(time.Microsecond) / n
	if ticks := u.user + u.system; ticks > 0 {
		r.User = r.CPU * float64(u.user) / float64(ticks)
	}
	r.System = r.CPU - r.User
	r.Sleeps = float64(u.sleeps) / n
	r.Busy.Candidate = u.cores()
	r.Busy.Servers = after.servers.since(before.servers).cores()
	r.Busy.Load = after.load.since(before.load).cores()
	r.Busy.Others = max(0, after.machine.since(before.machine).cores()-r.Busy.Candidate-r.Busy.Servers-r.Busy.Load)
}
