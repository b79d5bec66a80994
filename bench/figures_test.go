package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/clock"
)

func TestQuantile(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		q      float64
		want   float64
	}{
		{"odd", []float64{3, 1, 2}, 0.5, 2},
		{"even", []float64{4, 1, 3, 2}, 0.5, 2.5},
		{"one", []float64{7}, 0.5, 7},
		{"lower quartile", []float64{1, 2, 3, 4, 5}, 0.25, 2},
		{"upper quartile, between two", []float64{1, 2, 3, 4}, 0.75, 3.25},
		{"the last", []float64{1, 2}, 1, 2},
	}
	for _, tt := range tests {
		if got := quantile(tt.values, tt.q); got != tt.want {
			t.Errorf("%s: quantile(%v, %v) = %v, want %v", tt.name, tt.values, tt.q, got, tt.want)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing = %v, want none", got)
	}
	if got, want := spreadOf([]float64{2, 9, 4}, func(f float64) float64 { return f }), (spread{Median: 4, Min: 2, Max: 9}); got != want {
		t.Errorf("spreadOf = %v, want %v", got, want)
	}
}

// sample is a comparison with these medians of CPU time; the rate falls with it.
func sample(cpu map[string]float64) *compared {
	c := &compared{Scenario: scenario{Name: "small", About: "bytes & more"}}
	for _, name := range candidateNames() {
		if us, ok := cpu[name]; ok {
			r := run{CPU: us, Rate: 1e6 / us}
			c.Outcomes = append(c.Outcomes, &outcome{Name: name, Product: candidateNamed(name).product, Loops: 1, Runs: []run{r, r, {CPU: 9 * us, Rate: 1e6 / us}}})
		}
	}
	return c
}

func TestRatioIsToTheBetterPeer(t *testing.T) {
	tests := []struct {
		name string
		cpu  map[string]float64
		want map[string]float64
	}{
		{"HAProxy", map[string]float64{"poise-net": 30, "haproxy": 20, "nginx": 40}, map[string]float64{"poise-net": 1.5, "haproxy": 1, "nginx": 2}},
		{"nginx", map[string]float64{"poise-net": 30, "haproxy": 20, "nginx": 10}, map[string]float64{"poise-net": 3, "haproxy": 2, "nginx": 1}},
		{"no peer: the first", map[string]float64{"poise-io_uring": 10, "poise-net": 30}, map[string]float64{"poise-io_uring": 1, "poise-net": 3}},
	}
	for _, tt := range tests {
		c := sample(tt.cpu)
		got := map[string]float64{}
		for _, o := range c.Outcomes {
			got[o.Name] = c.ratio(o)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestRatioIsToAsManyLoops(t *testing.T) {
	c := sample(map[string]float64{"poise-io_uring": 10, "haproxy": 20})
	two := sample(map[string]float64{"poise-io_uring": 30, "haproxy": 40})
	for _, o := range two.Outcomes {
		o.Loops = 2
	}
	c.Outcomes = append(c.Outcomes, two.Outcomes...)
	if got, want := c.ratio(c.Outcomes[2]), 0.75; got != want {
		t.Errorf("ratio with two loops = %v, want %v", got, want)
	}
}

func TestOpenLoopsRate(t *testing.T) {
	tests := []struct {
		name string
		cpu  map[string]float64
		want float64
	}{
		{"other drivers do not count", map[string]float64{"poise-io_uring": 10, "poise-net": 100, "haproxy": 20}, 25000},
		{"unless they are alone", map[string]float64{"poise-net": 100}, 5000},
	}
	for _, tt := range tests {
		if got := sample(tt.cpu).halfOfTheSlowest(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPairing(t *testing.T) {
	c := &compared{Outcomes: []*outcome{
		{Runs: []run{{CPU: 10}, {CPU: 22}, {CPU: 9}}}, {Runs: []run{{CPU: 20}, {CPU: 20}, {CPU: 10}}},
	}}
	p := newPairing("net", c)
	if p.Median != 0.9 || p.Quartile != [2]float64{0.7, 1} {
		t.Errorf("median %v and quartiles %v, want 0.9, and 0.7 and 1", p.Median, p.Quartile)
	}
}

func TestDoubts(t *testing.T) {
	c := sample(map[string]float64{"poise-io_uring": 10, "haproxy": 20})
	for i := range c.Outcomes[0].Runs {
		c.Outcomes[0].Runs[i].Busy.Candidate, c.Outcomes[1].Runs[i].Busy.Candidate = 0.99, 0.5
	}
	got := strings.Join(c.doubts(), "\n")
	if !strings.HasPrefix(got, "Not the bottleneck: haproxy.") {
		t.Errorf("doubts: %q, want those of haproxy only", got)
	}
	for _, r := range []*run{&c.Outcomes[1].Runs[0], &c.Outcomes[1].Runs[1]} {
		r.Busy.Others = 0.7
	}
	if got := strings.Join(c.doubts(), "\n"); !strings.HasPrefix(got, "Other programs used up to 0.7 cores") {
		t.Errorf("doubts: %q, want one about other programs", got)
	}
}

func TestAccount(t *testing.T) {
	at := time.Now()
	before := usages{candidate: usage{at: at, user: 5}, servers: usage{at: at}, load: usage{at: at}, machine: usage{at: at}}
	later := at.Add(2 * time.Second)
	after := usages{
		candidate: usage{cpu: time.Second, user: 30, system: 75, sleeps: 500, at: later}, servers: usage{cpu: 500 * time.Millisecond, at: later},
		load: usage{cpu: 250 * time.Millisecond, at: later}, machine: usage{cpu: 3 * time.Second, at: later},
	}
	r := run{Requests: 1000, Seconds: 2}
	r.account(before, after)
	want := run{Requests: 1000, Seconds: 2, Rate: 500, CPU: 1000, User: 250, System: 750, Sleeps: 0.5}
	want.Busy.Candidate, want.Busy.Servers, want.Busy.Load, want.Busy.Others = 0.5, 0.25, 0.125, 0.625
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(run{})); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

func TestSchedule(t *testing.T) {
	// Two steps: the second begins after 10 s.
	steps := []step{{Rate: 10_000, For: 10 * time.Second}, {Rate: 50_000, For: 2 * time.Second}}
	s, again := newSchedule(steps, 1000), newSchedule(steps, 1000)
	change, end := clock.Instant(1000).Add(10*time.Second), clock.Instant(1000).Add(12*time.Second)
	last := clock.Instant(1000)
	var n, first int
	for {
		due, ok := s.next()
		if same, _ := again.next(); same != due {
			t.Fatalf("request %d is due at %v, and at %v in a second schedule", n, due, same)
		}
		if !ok {
			break
		}
		if due < last {
			t.Fatalf("request %d is due before the one before it", n)
		}
		if last, n = due, n+1; due < change {
			first++
		}
	}
	if first < 98_000 || first > 102_000 || n-first < 98_000 || n-first > 102_000 {
		t.Errorf("%d and %d requests in two steps, want about 100,000 each", first, n-first)
	}
	if last >= end || end.Sub(last) > 10*time.Millisecond {
		t.Errorf("the last request is due %v before the end", end.Sub(last))
	}
}

func TestTimingLeavesOutTheWarmUp(t *testing.T) {
	at := func(d time.Duration) clock.Instant { return clock.Instant(0).Add(d) }
	tm := newTiming(at(time.Second), at(2*time.Second))
	tm.done(at(999*time.Millisecond), at(5*time.Second), false)
	tm.done(at(2*time.Second), at(5*time.Second), false) // the next step's
	for range 99 {
		tm.done(at(time.Second), at(time.Second+100*time.Microsecond), false)
	}
	tm.done(at(time.Second), at(time.Hour), false) // beyond what the histogram holds
	tm.done(at(time.Second), at(time.Hour), true)
	tm.woke(at(time.Second), at(time.Second+30*time.Microsecond))
	l := tm.latency()
	near := func(got, want float64) bool { return math.Abs(got-want) < want/500 }
	if l.Count != 100 || !near(l.P50, 100) || !near(l.P99, 100) || !near(l.Max, 2*patience.Seconds()*1e6) || !near(l.Late, 30) {
		t.Errorf("latency = %+v, want 99 of 100 us, one of %v, and 30 us late", l, 2*patience)
	}
}

// What the runtime tells of a collection is its time from begin to end; lines that are none of a collection that was asked for do not count.
func TestCollectionTimes(t *testing.T) {
	got := collectionTimes(`poise listens
gc 3 @0.5s 0%: 9.0+9.0+9.0 ms clock, 0.5+0/0.6/0.3+0.003 ms cpu, 18->18->16 MB, 33 MB goal, 0 MB stacks, 0 MB globals, 3 P
gc 4 @1.083s 0%: 0.5+0.25+0.25 ms clock, 0.58+0/0.68/0.39+0.003 ms cpu, 18->18->16 MB, 33 MB goal, 0 MB stacks, 0 MB globals, 3 P (forced)
gc 5 @1.1s 0%: 1+2+0 ms clock, 0.58+0/0.68/0.39+0.003 ms cpu, 18->18->16 MB, 33 MB goal, 0 MB stacks, 0 MB globals, 3 P (forced)
`)
	if want := []float64{1, 3}; !slices.Equal(got, want) {
		t.Errorf("collectionTimes = %v, want %v", got, want)
	}
}
