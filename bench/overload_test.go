package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/clock"
)

// TestOverloadScenario runs it with the smallest of servers.
func TestOverloadScenario(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	var out, progress bytes.Buffer
	cmd := command(&out, &progress)
	cmd.SetArgs([]string{"--only", overloadName, "--runs", "1", "--seconds", "0.3", "--slots", "1", "--balancers", poiseHere(), "--json", file})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, want := range []string{"so 200 a second", "under overload the goodput is", poiseHere() + ", adaptive: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, out.String())
		}
	}
	var r report
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Overload == nil || len(r.Overload.Outcomes) != len(limits) {
		t.Fatalf("overload: %+v, want an outcome for each limit", r.Overload)
	}
	const capacity = 200
	for _, o := range r.Overload.Outcomes {
		for i, s := range o.Runs[0].Steps {
			due := overloadTimes[i] * capacity
			if s.Rate < 0.5*due || s.Rate > 1.5*due || s.Accepted <= 0 || s.Latency.P50 < 20_000 || s.Candidate <= 0 || s.Rest <= 0 {
				t.Errorf("%s, step %d: %+v, want about %.0f a second, some of them accepted, none in less than 20 ms", o.Limit, i, s, due)
			}
			// By the limit; what adaptive does within so short a time is its own.
			if o.Limit == "max_requests" && (s.Accepted > 1.5*capacity || overloadTimes[i] == 5 && s.Refused < 2*capacity) {
				t.Errorf("%s, step %d: %+v, want at most %d accepted a second, and the rest refused", o.Limit, i, s, capacity)
			}
		}
	}
}

func TestOverloadText(t *testing.T) {
	run := func(settled float64, accepted, p99 [4]float64) overloadRun {
		r := overloadRun{Settled: settled}
		for i := range accepted {
			r.Steps = append(r.Steps, overloadStep{stepResult: stepResult{Accepted: accepted[i], Latency: latency{P99: p99[i]}}})
		}
		return r
	}
	o := overloadOutcome{Runs: []overloadRun{
		run(0.1, [4]float64{80, 100, 90, 80}, [4]float64{20, 30, 50, 20}),
		run(0.3, [4]float64{80, 95, 100, 80}, [4]float64{20, 40, 30, 900}),
		run(-1, [4]float64{80, 100, 50, 80}, [4]float64{10, 30, 50, 900}),
	}}
	const want = "under overload the goodput is 90 % of the best (50-95), p99 of the accepted 2.5 times that at 0.8 (2.0-5.0); " +
		"all is as before 0.2 s after it (0.1-0.3); in 1 of 3 runs it never is"
	if got := o.text(); got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
}

func TestSettling(t *testing.T) {
	const ms = time.Millisecond
	steps := []step{{For: time.Second}, {For: 2 * time.Second}}
	tests := []struct {
		name    string
		refused []int // windows
		slow    []int
		want    time.Duration
	}{
		{name: "at once", want: 0},
		{name: "refused at first", refused: []int{0, 1}, want: 200 * ms},
		{name: "slow at first", slow: []int{0, 2}, want: 300 * ms},
		{name: "disturbed once it was as before", slow: []int{12}, want: 0},
		{name: "too short a row between", refused: []int{4, 9, 10}, want: 1100 * ms},
		{name: "never", refused: []int{3, 8, 12, 17}, want: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSettling(steps, 1000)
			tell := func(window int, took time.Duration, refused bool) {
				due := clock.Instant(1000).Add(time.Second + time.Duration(window)*settleWindow + 50*ms)
				s.done(due, due.Add(took), refused)
			}
			tell(-1, time.Hour, true) // the step before
			tell(20, time.Hour, true) // beyond the last window
			for i := range 20 {
				tell(i, 14*ms, false)
			}
			for _, i := range tt.refused {
				tell(i, 0, true)
			}
			for _, i := range tt.slow {
				tell(i, 16*ms, false)
				tell(i, 16*ms, false)
			}
			if got := s.after(10 * ms); got != tt.want {
				t.Errorf("as before after %v, want %v", got, tt.want)
			}
		})
	}
}

// TestTimedServers has requests at two servers: those above a server's slots wait for it, and for no other.
func TestTimedServers(t *testing.T) {
	const each = 100 * time.Millisecond
	r, w := io.Pipe()
	lines := newLines(r)
	in, end := io.Pipe()
	over := make(chan error, 1)
	go func() { over <- serve(timed{Servers: 2, Slots: 2, Time: each}, w, in) }()
	addresses := strings.Split(<-lines, ",")
	if len(addresses) != 2 {
		t.Fatalf("addresses %q, want two", addresses)
	}
	began := time.Now()
	answered := func(address string) <-chan time.Duration { return answeredAfter(t, address, began) }
	first := []<-chan time.Duration{answered(addresses[0]), answered(addresses[0]), answered(addresses[0])}
	other := <-answered(addresses[1])
	took := []time.Duration{<-first[0], <-first[1], <-first[2]}
	slices.Sort(took)
	if took[0] < each || took[2] < 2*each {
		t.Errorf("three requests for two slots had answers after %v, want after %v, and one after twice that", took, each)
	}
	if other < each || other >= took[2] {
		t.Errorf("the other server answered after %v, this one last after %v; want %v, and no wait", other, took[2], each)
	}
	_ = end.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// answeredAfter sends a server a request, and tells how long after an instant its answer begins.
func answeredAfter(t *testing.T, address string, began time.Time) <-chan time.Duration {
	t.Helper()
	took := make(chan time.Duration, 1)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer c.Close()
		_, _ = io.WriteString(c, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
		_, _ = c.Read(make([]byte, 1)) // an error ends in less than the time of an answer
		took <- time.Since(began)
	}()
	return took
}
