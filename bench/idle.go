package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

// idleName is the scenario of connections that do nothing, httpsIdleName that of half as many over TLS.
const idleName, httpsIdleName = "idle", "https-idle"

const (
	idleTime    = 5 * time.Second // a run's, roughly
	mostSpecial = 3               // runs of what varies little, such as memory
	collections = 10              // forced in each run
)

// idleResult is what idle connections cost.
type idleResult struct {
	Name        string         `json:"name"`
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

// specialRuns is how many runs the scenarios have that are not compared round by round.
func (s *session) specialRuns() int { return min(s.o.runs, mostSpecial) }

// idle has each candidate alone, anew for each run. Connections do the requests of a scenario.
func (s *session) idle(ctx context.Context, name, scenario string, connections int) (*idleResult, error) {
	sc, ok := scenarioNamed(scenario)
	if !ok {
		return nil, fmt.Errorf("no scenario is called %q", scenario)
	}
	result := &idleResult{Name: name, Connections: connections}
	for _, c := range s.candidates {
		result.Outcomes = append(result.Outcomes, &idleOutcome{Name: c.name})
	}
	for round := range s.specialRuns() {
		for i, c := range s.candidates {
			s.say("%s: run %d of %d, %s", name, round+1, s.specialRuns(), c.name)
			r, err := s.idleRun(ctx, c, &sc, connections)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", name, c.name, err)
			}
			s.plan.done += idleTime
			result.Outcomes[i].Runs = append(result.Outcomes[i].Runs, r)
		}
	}
	return result, nil
}

func (s *session) idleRun(ctx context.Context, c candidate, sc *scenario, connections int) (run idleRun, err error) {
	b, err := s.newBed(ctx, s.o, s.cpus)
	if err != nil {
		return run, err
	}
	defer b.stop()
	r, admin, err := b.addAsked(ctx, c, place{tls: sc.TLS != ""})
	if err != nil {
		return run, err
	}
	if _, err := b.measure(ctx, r, sc, warmUp, 0); err != nil {
		return run, err
	}
	if run.Before, err = resident(r.pids); err != nil {
		return run, err
	}
	load, err := b.load(loadSpec{To: r.address, Scenario: sc.Name, Idle: connections})
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
	run.PerConnection = float64(run.After-run.Before) / float64(connections)
	if admin != 0 {
		if run.Collection, err = r.collection(ctx, admin); err != nil {
			return run, err
		}
	}
	if _, err := io.WriteString(load.in, "again\n"); err != nil {
		return run, err
	}
	_, err = b.event(ctx, load, "end")
	return run, err
}

// addAsked starts a candidate; a Poise answers questions about itself at the port admin.
func (b *bed) addAsked(ctx context.Context, c candidate, p place) (r *running, admin int, err error) {
	if c.product != "poise" {
		r, err = b.add(ctx, c, p)
		return r, 0, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, 0, err
	}
	p.admin = ports[0]
	r, err = b.add(ctx, c, p)
	return r, ports[0], err
}

// collection is the CPU time of one garbage collection, in milliseconds, as the runtime's trace of some has it: the time from its begin to its end, all of
// which counts as used. With one CPU for the balancer that is the most it can have been. What asks for a collection waits for it by spinning, so
// that the CPU time of the process says nothing.
func (r *running) collection(ctx context.Context, admin int) (float64, error) {
	before, err := os.ReadFile(r.log)
	if err != nil {
		return 0, err
	}
	for range collections {
		if err := r.collect(ctx, admin); err != nil {
			return 0, err
		}
	}
	after, err := os.ReadFile(r.log)
	if err != nil {
		return 0, err
	}
	times := collectionTimes(string(after[len(before):]))
	if len(times) < collections {
		return 0, fmt.Errorf("the runtime tells of %d collections, want %d: %q", len(times), collections, after[len(before):])
	}
	return spreadOf(times, func(t float64) float64 { return t }).Median, nil
}

// traceCollections makes Go's runtime tell of each collection on standard error.
var traceCollections = []string{"env", "GODEBUG=gctrace=1"}

// clockOf finds the three parts of a collection's time in a line of the trace: before, while and after the program goes on.
var clockOf = regexp.MustCompile(`(?m)^gc \d+ @.*: ([\d.]+)\+([\d.]+)\+([\d.]+) ms clock,.*\(forced\)$`)

// collectionTimes are in milliseconds.
func collectionTimes(trace string) []float64 {
	var times []float64
	for _, parts := range clockOf.FindAllStringSubmatch(trace, -1) {
		total := 0.0
		for _, p := range parts[1:] {
			ms, _ := strconv.ParseFloat(p, 64) // digits and dots
			total += ms
		}
		times = append(times, total)
	}
	return times
}

// collect has the process collect its garbage once.
func (r *running) collect(ctx context.Context, admin int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/heap?gc=1", admin), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the heap's profile has status %d", resp.StatusCode)
	}
	return err
}
