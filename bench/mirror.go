package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// mirrorName is the scenario of copies of all requests.
const mirrorName, mirrorAbout = "mirror", "small, with a copy of each request to other servers, which answer or hang, of Poise alone"

// mirrors are the kinds of a candidate there.
var mirrors = []string{"plain", "copied", "hanging"}

// mirror is the small scenario over candidates that copy no request, and over ones that copy all. What is asked is how much later the requests themselves are
// answered, at a rate that is half of what the slowest can do.
func (s *session) mirror(ctx context.Context) (*compared, error) {
	sc, _ := scenarioNamed("small")
	// The mirror's servers give way to all else, as if they had a machine of their own.
	answering, err := start(s.dir, "mirror", true, pinned(s.cpus.rest, []string{"nice", "-n", "19", s.self, "serve"}))
	if err != nil {
		return nil, err
	}
	defer answering.stop()
	address, err := answering.line(ctx, 10*time.Second)
	if err != nil {
		return nil, err
	}
	hanging, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // its queue takes connections, and nobody reads them
	if err != nil {
		return nil, err
	}
	defer func() { _ = hanging.Close() }() // nobody is left to be told
	to := map[string]string{"copied": address, "hanging": hanging.Addr().String()}
	var candidates []candidate
	for _, c := range s.candidates {
		for _, kind := range mirrors {
			if c.product == "poise" {
				x := c
				x.name, x.mirror = c.name+"-"+kind, to[kind]
				candidates = append(candidates, x)
			}
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	result, err := s.compare(ctx, sc, candidates, s.cpus)
	if err != nil {
		return nil, err
	}
	result.Scenario.Name, result.Scenario.About = mirrorName, mirrorAbout
	return result, nil
}

// printCopies says what copies have added to the times of requests. Runs that followed each other are compared.
func (c *compared) printCopies(w io.Writer) {
	var plain *outcome
	for _, o := range c.Outcomes {
		if strings.HasSuffix(o.Name, mirrors[0]) {
			plain = o
			continue
		}
		of := func(figure func(*latency) float64) string {
			var ratios []float64
			for i := range o.Open {
				ratios = append(ratios, figure(o.Open[i].Latency)/figure(plain.Open[i].Latency))
			}
			s := spreadOf(ratios, func(v float64) float64 { return v })
			return fmt.Sprintf("%.2f times (%.2f-%.2f)", s.Median, s.Min, s.Max)
		}
		fmt.Fprintf(w, "%s: p50 is %s and p99 %s what it is without copies\n", o.Name,
			of(func(l *latency) float64 { return l.P50 }), of(func(l *latency) float64 { return l.P99 }))
	}
}
