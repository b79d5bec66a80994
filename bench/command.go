package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// options are the flags.
type options struct {
	only       []string
	candidates []string
	runs       int
	duration   time.Duration
	seconds    float64
	poise      string
	logs       bool
	buffers    bool
	unpinned   bool
	latency    bool
	rate       float64
	calls      bool
	idle       int
	slots      int
	service    time.Duration
	json       string
	svg        string
	against    string
}

func command(out, progress io.Writer) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Compare Poise with HAProxy and nginx",
		Long: `bench compares Poise with HAProxy and nginx: the same load over each, in turn, on equal terms. Every answer is checked; a wrong one fails the run.
The first figure is CPU time of the balancer's own processes per request. Only ratios within one run mean anything.

Scenarios:
` + describe() + `
Balancers: ` + strings.Join(candidateNames(), ", ") + `.
The environment variables HAPROXY and NGINX name other binaries than those in the path.`,
		Example: `  bench --only small,connection --runs 3 --seconds 2
  bench --balancers poise-io_uring,haproxy --only small --latency=false --calls=false
  bench --against HEAD~1 --only small`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return compare(cmd.Context(), &o, out, progress) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.only, "only", nil, "the `SCENARIOS` to run; default: all")
	f.StringSliceVar(&o.candidates, "balancers", nil, "the `BALANCERS` to compare; default: all that are there")
	f.IntVar(&o.runs, "runs", 0, fmt.Sprintf("how many runs each has; default: %d, with --against %d pairs", defaultRuns, defaultPairs))
	f.Float64Var(&o.seconds, "seconds", 3, "how long a run is measured")
	f.StringVar(&o.poise, "poise", "", "a built Poise, as `FILE`; default: it is built from this tree")
	f.BoolVar(&o.logs, "logs", false, "all balancers write access logs, to files")
	f.BoolVar(&o.buffers, "large-buffers", false, "HAProxy and nginx have buffers of 64 KiB, as Poise has; default: theirs")
	f.BoolVar(&o.unpinned, "unpinned", false, "let the system choose CPUs; default: one is the balancer's, the others are the servers' and the load's")
	f.BoolVar(&o.latency, "latency", true, "measure latency too: open loop, at --rate")
	f.Float64Var(&o.rate, "rate", 0, "`REQUESTS` a second of the open loop; default: half of the rate that the slowest can do")
	f.BoolVar(&o.calls, "calls", true, "count system calls too, in an extra run under strace")
	f.IntVar(&o.idle, "idle-connections", 8000, "how many connections lie idle in scenario idle; half as many in https-idle")
	f.IntVar(&o.slots, "slots", 50, "how many requests at once each server takes in scenario overload")
	f.DurationVar(&o.service, "service", 20*time.Millisecond, "how long each of them takes there")
	f.StringVar(&o.json, "json", "", "write all runs to `FILE`")
	f.StringVar(&o.svg, "svg", "", "draw the comparison to `FILE`")
	f.StringVar(&o.against, "against", "", "compare Poise with itself at a `REVISION`, pair by pair, and with no others")
	cmd.AddCommand(
		serveCommand(),
		&cobra.Command{
			Use: "load SPEC", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return load(args[0], os.Stdout, os.Stdin) },
		},
	)
	cmd.CompletionOptions.DisableDefaultCmd = true
	return cmd
}

// serveCommand is the servers' child.
func serveCommand() *cobra.Command {
	var t timed
	cmd := &cobra.Command{
		Use: "serve", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return serve(t, os.Stdout, os.Stdin) },
	}
	f := cmd.Flags()
	f.IntVar(&t.Servers, "servers", 0, "how many timed servers; 0: one that is not timed")
	f.IntVar(&t.Slots, "slots", 1, "how many requests at once each takes")
	f.DurationVar(&t.Time, "time", 0, "for how long")
	return cmd
}

// compare is the program's work.
func compare(ctx context.Context, o *options, out, progress io.Writer) error {
	names, err := o.complete()
	if err != nil {
		return err
	}
	e, err := newEquipment(ctx, o, progress)
	if e != nil {
		defer e.cleanUp()
	}
	if err != nil {
		return err
	}
	s := &session{equipment: e, o: o, progress: progress}
	var found *results
	if o.against != "" {
		found = &results{}
		found.Pairings, err = s.against(ctx, names)
	} else {
		found, err = s.all(ctx, names)
	}
	if err != nil {
		return err
	}
	r := newReport(e, o, found)
	r.print(out)
	if o.json != "" {
		if err := r.writeJSON(o.json); err != nil {
			return err
		}
	}
	if o.svg != "" {
		return os.WriteFile(o.svg, r.svg(), 0o644)
	}
	return nil
}

// The numbers of runs where none was asked for. A pair says more than two runs apart, and small differences need more of them.
const defaultRuns, defaultPairs = 7, 11

// complete checks the flags, and returns the names of the scenarios to run.
func (o *options) complete() ([]string, error) {
	known := scenarioNames()
	if o.against != "" {
		if o.svg != "" {
			return nil, errors.New("--svg is for the comparison with others: leave out --against")
		}
		if len(o.candidates) == 0 {
			o.candidates = []string{"poise-io_uring"}
		}
		known = slices.DeleteFunc(known, func(n string) bool {
			return n == idleName || n == httpsIdleName || n == loopsName || n == mirrorName || n == overloadName
		})
	}
	if o.runs == 0 {
		o.runs = defaultRuns
		if o.against != "" {
			o.runs = defaultPairs
		}
	}
	o.duration = time.Duration(o.seconds * float64(time.Second))
	if o.runs < 1 || o.duration <= 0 || o.idle < 1 || o.slots < 1 || o.service <= 0 {
		return nil, errors.New("--runs, --seconds, --idle-connections, --slots and --service must be above 0")
	}
	names, err := chosen(o.only, known)
	if err != nil {
		return nil, fmt.Errorf("--only: %w", err)
	}
	return names, nil
}
