package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// report is everything that a comparison has found, as it is written to a file.
type report struct {
	When      time.Time         `json:"when"`
	System    string            `json:"system"`
	Versions  map[string]string `json:"versions"`
	Runs      int               `json:"runs"`
	Seconds   float64           `json:"seconds"`
	Logs      bool              `json:"logs"`
	Pinned    bool              `json:"pinned"`
	Notes     []string          `json:"notes"`
	Scenarios []*compared       `json:"scenarios"`
}

func newReport(e *equipment, o *options, results []*compared) *report {
	r := &report{
		When: time.Now().UTC().Truncate(time.Second), System: oneLine([]byte(output("uname", "-srm"))), Versions: map[string]string{},
		Runs: o.runs, Seconds: o.seconds, Logs: o.logs, Pinned: e.cpus != cpus{}, Notes: e.notes, Scenarios: results,
	}
	for _, c := range e.candidates {
		r.Versions[c.name] = c.version()
	}
	return r
}

func (r *report) writeJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", r.System)
	for _, name := range candidateNames() {
		if v, ok := r.Versions[name]; ok {
			fmt.Fprintf(w, "%-15s %s\n", name, v)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, c := range r.Scenarios {
		c.print(w)
	}
}

// best is the better peer's figure, the lower the better; 0: no peer was measured.
func (c *compared) best(figure func(run) float64) float64 {
	best := 0.0
	for _, o := range c.Outcomes {
		if m := spreadOf(o.Runs, figure).Median; slices.Contains(peers, o.Name) && (best == 0 || m < best) {
			best = m
		}
	}
	return best
}

func (c *compared) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", c.Scenario.Name, c.Scenario.About)
	fmt.Fprintf(w, "%-15s %8s %15s %6s %6s %7s %9s %7s %20s\n", "", "CPU us", "min-max", "user", "system", "ratio", "req/s", "MiB", "busy: self/srv/load")
	best := c.best(run.cpu)
	var idle []string
	for _, o := range c.Outcomes {
		cpu := spreadOf(o.Runs, run.cpu)
		m := func(f func(run) float64) float64 { return spreadOf(o.Runs, f).Median }
		ratio := "-"
		if best > 0 {
			ratio = fmt.Sprintf("%.2f", cpu.Median/best)
		}
		busy := m(func(r run) float64 { return r.Busy.Candidate })
		fmt.Fprintf(w, "%-15s %8.2f %15s %6.2f %6.2f %7s %9.0f %7.1f %20s\n", o.Name, cpu.Median, fmt.Sprintf("%.2f-%.2f", cpu.Min, cpu.Max),
			m(func(r run) float64 { return r.User }), m(func(r run) float64 { return r.System }), ratio,
			m(func(r run) float64 { return r.Rate }), m(func(r run) float64 { return float64(r.Resident) / mib }),
			fmt.Sprintf("%.2f/%.2f/%.2f", busy, m(func(r run) float64 { return r.Busy.Servers }), m(func(r run) float64 { return r.Busy.Load })))
		if busy < saturated {
			idle = append(idle, o.Name)
		}
	}
	if len(idle) > 0 {
		fmt.Fprintf(w, "Not the bottleneck: %s. Requests/s are servers' and load's there; CPU per request is the figure that holds.\n", strings.Join(idle, ", "))
	}
}

// saturated is the share of a core from which on a balancer counts as what bounds the throughput.
const saturated = 0.95

func (r run) cpu() float64 { return r.CPU }
