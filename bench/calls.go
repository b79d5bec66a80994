package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// calls are system calls per request. strace makes each of them slow, and so batches longer for who collects work between them: the figures compare
// what is asked of
// the kernel under great load, and belong to no timed run.
type calls struct {
	Requests int64              `json:"requests"`
	All      float64            `json:"all"`
	Each     map[string]float64 `json:"each"`
}

const (
	callsTime    = 2 * time.Second
	attachWithin = 5 * time.Second
)

// countCalls has an extra run of each candidate under strace.
func (s *session) countCalls(ctx context.Context, b *bed, sc *scenario, result *compared) error {
	if _, err := exec.LookPath("strace"); err != nil {
		s.note("system calls are not counted: %v", err)
		return nil
	}
	for i, r := range b.on {
		s.say("%s, system calls, %s", sc.Name, r.name)
		counted, err := b.callsOf(ctx, r, sc)
		s.plan.done += callsTime
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.note("system calls are not counted: %v", err)
			return nil
		}
		result.Outcomes[i].Calls = counted
	}
	return nil
}

func (b *bed) callsOf(ctx context.Context, r *running, sc *scenario) (*calls, error) {
	table := filepath.Join(b.dir, "calls")
	command := []string{"strace", "-c", "-f", "-o", table}
	for _, pid := range r.pids {
		command = append(command, "-p", strconv.Itoa(pid))
	}
	tracer, err := start(b.dir, "strace", false, command)
	if err != nil {
		return nil, err
	}
	defer tracer.stop()
	if err := tracer.attached(ctx, len(r.pids)); err != nil {
		return nil, err
	}
	load, err := b.load(loadSpec{To: r.address, Scenario: sc.Name, Duration: callsTime / 2})
	if err != nil {
		return nil, err
	}
	defer load.stop()
	var last loadEvent
	for _, event := range []string{"begin", "end", "over"} {
		if last, err = b.event(ctx, load, event); err != nil {
			return nil, err
		}
	}
	tracer.stop() // and it writes its table
	text, err := os.ReadFile(table)
	if err != nil {
		return nil, err
	}
	return parseCalls(string(text), last.Requests)
}

// attached waits until strace says of each process that it has it.
func (c *child) attached(ctx context.Context, n int) error {
	for until := time.Now().Add(attachWithin); ; {
		text, _ := os.ReadFile(c.log)
		if strings.Count(string(text), " attached") >= n {
			return nil
		}
		select {
		case <-c.ended:
			return c.failure("ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(until) {
			return c.failure("does not attach")
		}
	}
}

// parseCalls reads strace's table: share of time, seconds, microseconds per call, calls, errors or nothing, name.
func parseCalls(table string, requests int64) (*calls, error) {
	c := &calls{Requests: requests, Each: map[string]float64{}}
	if requests == 0 {
		return nil, errors.New("no request was over")
	}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		n, err := strconv.ParseInt(f[3], 10, 64)
		name := f[len(f)-1]
		if err != nil || name == "total" {
			continue
		}
		c.Each[name] = float64(n) / float64(requests)
		c.All += float64(n) / float64(requests)
	}
	if c.All == 0 {
		return nil, fmt.Errorf("strace wrote no calls: %.200q", table)
	}
	return c, nil
}
