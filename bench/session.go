package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// session is one comparison, from its first run to its last.
type session struct {
	*equipment
	o        *options
	progress io.Writer
	plan     plan
}

// plan tells how long it still takes.
type plan struct {
	total, done time.Duration
	began       time.Time
}

// left is how long what remains will take, at the pace so far.
func (p *plan) left() time.Duration {
	rest := p.total - p.done
	if p.done > 0 {
		rest = time.Duration(float64(rest) * float64(time.Since(p.began)) / float64(p.done))
	}
	return rest.Round(time.Second)
}

// outcome is what a scenario's runs of one candidate came to.
type outcome struct {
	Name string `json:"name"`
	Runs []run  `json:"runs"`
}

// compared is a scenario with all its candidates.
type compared struct {
	Scenario scenario   `json:"scenario"`
	Outcomes []*outcome `json:"balancers"`
}

// all runs the scenarios.
func (s *session) all(ctx context.Context, names []string) ([]*compared, error) {
	var results []*compared
	one := s.o.duration + warmUp
	s.plan = plan{total: one * time.Duration(s.o.runs*len(s.candidates)*len(names)), began: time.Now()}
	for _, name := range names {
		sc, _ := scenarioNamed(name) // the names were checked
		c, err := s.compare(ctx, sc)
		if err != nil {
			return nil, err
		}
		results = append(results, c)
	}
	return results, nil
}

// compare runs one scenario: run 1 of each candidate, run 2 of each, and so on, so that what disturbs the machine for a while disturbs all. Each round begins with
// another one.
func (s *session) compare(ctx context.Context, sc scenario) (*compared, error) {
	b, err := s.newBed(ctx, s.o.logs)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	result := &compared{Scenario: sc}
	for _, c := range s.candidates {
		if _, err := b.add(ctx, c, place{}); err != nil {
			return nil, err
		}
		result.Outcomes = append(result.Outcomes, &outcome{Name: c.name})
	}
	for round := range s.o.runs {
		for i := range b.on {
			i = (i + round) % len(b.on)
			fmt.Fprintf(s.progress, "%s: run %d of %d, %s; %v left\n", sc.Name, round+1, s.o.runs, b.on[i].name, s.plan.left())
			r, err := b.measure(ctx, b.on[i], &sc, s.o.duration, 0)
			if err != nil {
				return nil, err
			}
			s.plan.done += s.o.duration + warmUp
			result.Outcomes[i].Runs = append(result.Outcomes[i].Runs, r)
		}
	}
	return result, nil
}
