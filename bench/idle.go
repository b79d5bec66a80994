package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// idleName is the scenario of connections that do nothing.
const idleName = "idle"

const (
	idleTime     = 5 * time.Second // a run's, roughly
	mostIdleRuns = 3               // memory varies little
	collections  = 3               // forced in each run; the median counts
)

// idleResult is what idle connections cost.
type idleResult struct {
	Connections int            `json:"connections"`
	Outcomes    []*idleOutcome `json:"balancers"`
}

type idleOutcome struct {
	Name string    `json:"name"`
	Runs []idleRun `json:"runs"`
}

// idleRun is one run, in bytes and milliseconds.
type idleRun struct {
	Before        int64   `json:"resident_before_bytes"` // after a warm-up
	After         int64   `json:"resident_after_bytes"`
	PerConnection float64 `json:"bytes_per_connection"`
	// Collection is the CPU time of one garbage collection while the connections lie idle, in milliseconds; 0 where there is no such thing.
	Collection float64 `json:"collection_cpu_ms,omitempty"`
}

func (s *session) idleRuns() int { return min(s.o.runs, mostIdleRuns) }

// idle has each candidate alone, anew for each run.
func (s *session) idle(ctx context.Context) (*idleResult, error) {
	result := &idleResult{Connections: s.o.idle}
	for _, c := range s.candidates {
		result.Outcomes = append(result.Outcomes, &idleOutcome{Name: c.name})
	}
	for round := range s.idleRuns() {
		for i, c := range s.candidates {
			s.say("%s: run %d of %d, %s", idleName, round+1, s.idleRuns(), c.name)
			r, err := s.idleRun(ctx, c)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", idleName, c.name, err)
			}
			s.plan.done += idleTime
			result.Outcomes[i].Runs = append(result.Outcomes[i].Runs, r)
		}
	}
	return result, nil
}

func (s *session) idleRun(ctx context.Context, c candidate) (run idleRun, err error) {
	b, err := s.newBed(ctx, s.o, s.cpus)
	if err != nil {
		return run, err
	}
	defer b.stop()
	var p place
	var env []string
	if c.product == "poise" {
		ports, err := freePorts(1)
		if err != nil {
			return run, err
		}
		p.admin, env = ports[0], []string{"GODEBUG=gctrace=1"}
	}
	r, err := b.add(ctx, c, p, env...)
	if err != nil {
		return run, err
	}
	small, _ := scenarioNamed("small")
	if _, err := b.measure(ctx, r, &small, warmUp, 0); err != nil {
		return run, err
	}
	if run.Before, err = resident(r.pids); err != nil {
		return run, err
	}
	load, err := b.load(loadSpec{To: r.address, Scenario: small.Name, Idle: s.o.idle})
	if err != nil {
		return run, err
	}
	defer load.stop()
	if _, err := b.event(ctx, load, "idle"); err != nil {
		return run, err
	}
	if run.After, err = resident(r.pids); err != nil {
		return run, err
	}
	run.PerConnection = float64(run.After-run.Before) / float64(s.o.idle)
	if p.admin != 0 {
		if run.Collection, err = r.collect(ctx, p.admin); err != nil {
			return run, err
		}
	}
	if _, err := io.WriteString(load.in, "again\n"); err != nil {
		return run, err
	}
	_, err = b.event(ctx, load, "end")
	return run, err
}

// collect forces garbage collections by way of the admin's heap profile, and returns the CPU time of one as the runtime traces it.
func (r *running) collect(ctx context.Context, admin int) (float64, error) {
	for range collections {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/heap?gc=1", admin), nil)
		if err != nil {
			return 0, err
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return 0, err
		}
	}
	text, err := os.ReadFile(r.log)
	if err != nil {
		return 0, err
	}
	forced := forcedCollections(string(text))
	if len(forced) < collections {
		return 0, fmt.Errorf("%d forced garbage collections are traced, want %d", len(forced), collections)
	}
	return quantile(forced[len(forced)-collections:], 0.5), nil
}

// forcedCollections are the CPU times, in milliseconds, of the forced garbage collections in the runtime's trace:
//
//	gc 3 @2.1s 1%: 0.02+1.1+0.01 ms clock, 0.06+0.1/1.0/0.2+0.04 ms cpu, 8->8->5 MB, ... 3 P (forced)
//
// All parts are added up, also what ran on processors that had nothing else to do.
func forcedCollections(trace string) []float64 {
	var all []float64
	for line := range strings.Lines(trace) {
		if !strings.HasPrefix(line, "gc ") || !strings.Contains(line, "(forced)") {
			continue
		}
		_, rest, _ := strings.Cut(line, " ms clock, ")
		parts, _, ok := strings.Cut(rest, " ms cpu")
		if !ok {
			continue
		}
		sum := 0.0
		for _, part := range strings.FieldsFunc(parts, func(c rune) bool { return c == '+' || c == '/' }) {
			sum += atof(part)
		}
		all = append(all, sum)
	}
	return all
}
