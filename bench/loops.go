package main

import (
	"context"
	"fmt"
)

// loopsName is the scenario of one loop beside two.
const loopsName, loopsAbout = "loops", "small, with one loop, thread or process and with two; nothing is pinned"

var loopCounts = []int{1, 2}

// loops is the small scenario over candidates with one and with two loops. Nothing is pinned: two loops, servers and load share two cores, so that
// throughput grows
// only by what the first loop left idle, and CPU time per request says what a second loop costs.
func (s *session) loops(ctx context.Context) (*compared, error) {
	sc, _ := scenarioNamed("small")
	var candidates []candidate
	for _, n := range loopCounts {
		for _, c := range s.candidates {
			c.loops, c.name = n, fmt.Sprintf("%s-x%d", c.name, n)
			candidates = append(candidates, c)
		}
	}
	result, err := s.compare(ctx, sc, candidates, cpus{})
	if err != nil {
		return nil, err
	}
	result.Scenario.Name, result.Scenario.About = loopsName, loopsAbout
	return result, nil
}
