package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// presentName is the tree as it is, or the binary that was named, beside the revision.
const presentName = "present"

// against pairs each Poise with itself at another revision: run by run, one right after the other and each first in turn, so that what changes on
// the machine between
// pairs does not matter.
func (s *session) against(ctx context.Context, scenarios []string) ([]*pairing, error) {
	name, then, err := s.buildRevision(ctx, s.o.against)
	if err != nil {
		return nil, err
	}
	s.candidates = slices.DeleteFunc(s.candidates, func(c candidate) bool { return c.product != "poise" })
	if len(s.candidates) == 0 {
		return nil, errors.New("--against compares Poise with itself: --balancers names none that is left")
	}
	o := *s.o
	o.latency, o.calls = false, false
	s.o = &o
	s.begin(2 * s.estimate(scenarios))
	var all []*pairing
	for _, scenarioName := range scenarios {
		sc, ok := scenarioNamed(scenarioName)
		if !ok {
			return nil, fmt.Errorf("--against has no scenario %s", scenarioName)
		}
		for _, c := range s.candidates {
			old := c
			c.name, old.name, old.binary = presentName, name, then
			if err := old.check(s.dir); err != nil {
				s.note("%s is left out: at %s, %v", c.driver, name, err)
				continue
			}
			result, err := s.compare(ctx, sc, []candidate{c, old}, s.cpus)
			if err != nil {
				return nil, err
			}
			all = append(all, newPairing(c.driver, result))
		}
	}
	return all, nil
}

// buildRevision builds Poise at a revision, in a work tree of its own that is removed again.
func (s *session) buildRevision(ctx context.Context, revision string) (name, binary string, err error) {
	id, err := git(ctx, "rev-parse", "--short", "--verify", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return "", "", err
	}
	fmt.Fprintf(s.progress, "building Poise at %s\n", id)
	tree := filepath.Join(s.dir, "tree")
	if _, err := git(ctx, "worktree", "add", "--detach", tree, id); err != nil {
		return "", "", err
	}
	defer func() {
		// Also after an interrupt, which would end a command of ctx.
		if _, e := git(context.WithoutCancel(ctx), "worktree", "remove", "--force", tree); err == nil {
			err = e
		}
	}()
	binary = filepath.Join(s.dir, "poise-"+id)
	return id, binary, build(ctx, binary, tree)
}

func git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, oneLine(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// pairing is one scenario of one driver at two revisions. A ratio is the present's CPU time per request to the revision's, of one pair.
type pairing struct {
	Driver   string     `json:"driver"`
	Result   *compared  `json:"result"`
	Ratios   []float64  `json:"ratios"`
	Median   float64    `json:"median"`
	Quartile [2]float64 `json:"quartiles"`
}

func newPairing(driver string, result *compared) *pairing {
	p := &pairing{Driver: driver, Result: result}
	present, then := result.Outcomes[0].Runs, result.Outcomes[1].Runs
	for i := range present {
		p.Ratios = append(p.Ratios, present[i].CPU/then[i].CPU)
	}
	p.Median = quantile(p.Ratios, 0.5)
	p.Quartile = [2]float64{quantile(p.Ratios, 0.25), quantile(p.Ratios, 0.75)}
	return p
}

func printPairings(w io.Writer, all []*pairing, revision string) {
	fmt.Fprintf(w, "\nCPU time per request of the present tree to that of %s, pair by pair; below 1: the present is cheaper\n", revision)
	t := newTable(w)
	t.row("", "", "median", "quartiles", "min-max", "pairs", "present us", "then us", "requests/s")
	for _, p := range all {
		s := spreadOf(p.Ratios, func(f float64) float64 { return f })
		present, then := p.Result.Outcomes[0].Runs, p.Result.Outcomes[1].Runs
		t.row(
			p.Result.Scenario.Name, p.Driver, fmt.Sprintf("%.3f", p.Median), fmt.Sprintf("%.3f-%.3f", p.Quartile[0], p.Quartile[1]),
			fmt.Sprintf("%.3f-%.3f", s.Min, s.Max), fmt.Sprint(len(p.Ratios)), significant(median(present, run.cpu)), significant(median(then, run.cpu)),
			fmt.Sprintf("%.0f, %.0f", median(present, func(r run) float64 { return r.Rate }), median(then, func(r run) float64 { return r.Rate })))
	}
	t.end()
	for _, p := range all {
		for _, text := range p.Result.doubts() {
			fmt.Fprintf(w, "%s: %s\n", p.Result.Scenario.Name, text)
		}
	}
}
