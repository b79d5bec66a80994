package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that a comparison has found, as it is written to a file.
type report struct {
	When     time.Time         `json:"when"`
	System   string            `json:"system"`
	Versions map[string]string `json:"versions"`
	Runs     int               `json:"runs"`
	Seconds  float64           `json:"seconds"`
	Logs     bool              `json:"logs"`
	Buffers  bool              `json:"large_buffers"`
	Pinned   bool              `json:"pinned"`
	Against  string            `json:"against_revision,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	results

	order []string // of Versions
}

func newReport(e *equipment, o *options, found *results) *report {
	r := &report{
		When: time.Now().UTC().Truncate(time.Second), System: oneLine([]byte(output("uname", "-srm"))), Versions: map[string]string{},
		Runs: o.runs, Seconds: o.seconds, Logs: o.logs, Buffers: o.buffers, Pinned: e.cpus != cpus{}, Against: o.against, Notes: e.notes, results: *found,
	}
	for _, c := range e.candidates {
		r.Versions[c.name] = c.version()
		r.order = append(r.order, c.name)
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

// print writes all tables.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s; medians of %d runs of %g s; %s\n", r.System, r.Runs, r.Seconds, r.terms())
	t := newTable(w)
	for _, name := range r.order {
		t.row(name, r.Versions[name])
	}
	t.end()
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, c := range r.Scenarios {
		c.print(w)
		if c.Scenario.Name == mirrorName && c.Rate > 0 {
			c.printCopies(w)
		}
	}
	for _, idle := range []*idleResult{r.Idle, r.HTTPSIdle, r.SocketIdle, r.WSSIdle} {
		if idle == nil {
			continue
		}
		idle.print(w)
	}
	if r.Overload != nil {
		r.Overload.print(w)
	}
	if len(r.Pairings) > 0 {
		printPairings(w, r.Pairings, r.Against)
	}
}

func (r *report) terms() string {
	terms := "access logs off"
	if r.Logs {
		terms = "access logs to files"
	}
	if r.Buffers {
		terms += "; HAProxy and nginx with buffers of 64 KiB"
	}
	if r.Pinned {
		return terms + "; the balancer has one CPU, servers and load have the others"
	}
	return terms + "; nothing is pinned"
}

func (r run) cpu() float64 { return r.CPU }

// median of a figure over runs.
func median(runs []run, figure func(run) float64) float64 { return spreadOf(runs, figure).Median }

// baseline is what a candidate's CPU time per request is compared with: that of the better peer with as many loops, or where there is none, of the
// first candidate.
func (c *compared) baseline(loops int) *outcome {
	var best *outcome
	for _, o := range c.Outcomes {
		if o.isPeer() && o.Loops == loops && (best == nil || median(o.Runs, run.cpu) < median(best.Runs, run.cpu)) {
			best = o
		}
	}
	if best == nil {
		return c.Outcomes[0]
	}
	return best
}

func (c *compared) ratio(o *outcome) float64 {
	return median(o.Runs, run.cpu) / median(c.baseline(o.Loops).Runs, run.cpu)
}

func (c *compared) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", c.Scenario.Name, c.Scenario.About)
	t := newTable(w)
	t.row("", "CPU us/request", "min-max", "ratio", "user", "system", "calls", "requests/s", "MiB", "busy", "servers", "load")
	for _, o := range c.Outcomes {
		cpu := spreadOf(o.Runs, run.cpu)
		m := func(format string, figure func(run) float64) string {
			return fmt.Sprintf(format, median(o.Runs, figure))
		}
		t.row(
			o.Name, significant(cpu.Median), significant(cpu.Min)+"-"+significant(cpu.Max), fmt.Sprintf("%.2f", c.ratio(o)),
			significant(median(o.Runs, func(r run) float64 { return r.User })), significant(median(o.Runs, func(r run) float64 { return r.System })), o.Calls.text(),
			m("%.0f", func(r run) float64 { return r.Rate }), m("%.1f", func(r run) float64 { return float64(r.Resident) / mib }),
			m("%.2f", func(r run) float64 { return r.Busy.Candidate }), m("%.2f", func(r run) float64 { return r.Busy.Servers }),
			m("%.2f", func(r run) float64 { return r.Busy.Load }))
	}
	t.end()
	for _, text := range c.doubts() {
		fmt.Fprintln(w, text)
	}
	if c.Rate > 0 {
		c.printLatency(w)
	}
}

// saturated is the share of its cores from which on a balancer counts as what bounds the throughput; disturbed the cores that others may use before it is said.
const saturated, disturbed = 0.9, 0.1

// doubts say what the figures do not show by themselves.
func (c *compared) doubts() []string {
	var idle, texts []string
	others := 0.0
	for _, o := range c.Outcomes {
		if median(o.Runs, func(r run) float64 { return r.Busy.Candidate }) < saturated*float64(o.Loops) {
			idle = append(idle, o.Name)
		}
		others = max(others, median(o.Runs, func(r run) float64 { return r.Busy.Others }))
	}
	if others > disturbed {
		texts = append(texts, fmt.Sprintf("Other programs used up to %.1f cores meanwhile: the figures are less sure than on a machine at rest.", others))
	}
	if len(idle) > 0 {
		texts = append(texts, fmt.Sprintf("Not the bottleneck: %s. What bounds requests/s there is the rest of the machine; "+
			"CPU per request is the figure that holds.", strings.Join(idle, ", ")))
	}
	return texts
}

// enough is how many requests a run needs for its 99.9th percentile to be more than its few worst.
const enough = 5000

func (c *compared) printLatency(w io.Writer) {
	fmt.Fprintf(w, "Latency in us at %.0f requests/s, from when each request was due:\n", c.Rate)
	t := newTable(w)
	t.row("", "p50", "p99", "p99.9", "late p99", "CPU us/request")
	for _, o := range c.Outcomes {
		m := func(figure func(*latency) float64) float64 {
			return median(o.Open, func(r run) float64 { return figure(r.Latency) })
		}
		p999 := fmt.Sprintf("%.0f", m(func(l *latency) float64 { return l.P999 }))
		if m(func(l *latency) float64 { return float64(l.Count) }) < enough {
			p999 = "-"
		}
		t.row(
			o.Name, fmt.Sprintf("%.0f", m(func(l *latency) float64 { return l.P50 })), fmt.Sprintf("%.0f", m(func(l *latency) float64 { return l.P99 })), p999,
			fmt.Sprintf("%.0f", m(func(l *latency) float64 { return l.Late })), significant(median(o.Open, run.cpu)))
	}
	t.end()
}

func (r *idleResult) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %d keep-alive connections that did one request each; then each did another\n", r.Name, r.Connections)
	t := newTable(w)
	t.row("", "bytes/connection", "min-max", "MiB before", "MiB after", "GC CPU ms")
	for _, o := range r.Outcomes {
		each := spreadOf(o.Runs, func(r idleRun) float64 { return r.PerConnection })
		m := func(figure func(idleRun) float64) float64 { return spreadOf(o.Runs, figure).Median }
		t.row(
			o.Name, fmt.Sprintf("%.0f", each.Median), fmt.Sprintf("%.0f-%.0f", each.Min, each.Max),
			fmt.Sprintf("%.1f", m(func(r idleRun) float64 { return float64(r.Before) / mib })),
			fmt.Sprintf("%.1f", m(func(r idleRun) float64 { return float64(r.After) / mib })),
			or(m(func(r idleRun) float64 { return r.Collection }), "%.1f"))
	}
	t.end()
}

func (c *calls) text() string {
	if c == nil {
		return "-"
	}
	return significant(c.All)
}

// significant prints three digits or more.
func significant(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// or prints a figure, or that there is none.
func or(v float64, format string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// table is aligned text.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

// end writes the table; a terminal that is gone is nobody's loss.
func (t table) end() { _ = t.w.Flush() }
