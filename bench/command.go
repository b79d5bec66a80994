package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	unpinned   bool
	json       string
}

func command(out, progress io.Writer) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Compare Poise with HAProxy and nginx",
		Long: `bench compares Poise with HAProxy and nginx: the same load over each, in turn, on equal terms. Every answer is checked; a wrong one fails the run.
The first figure is CPU time of the balancer's own processes per request. Only ratios within one run mean anything.

The environment variables HAPROXY and NGINX name other binaries than those in the path.`,
		Example: `  bench --only small,connection --runs 3 --seconds 2
  bench --balancers poise-io_uring,haproxy --only small`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return compare(cmd.Context(), &o, out, progress) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.only, "only", nil, "the `SCENARIOS` to run; default: all")
	f.StringSliceVar(&o.candidates, "balancers", nil, "the `BALANCERS` to compare; default: all that are there")
	f.IntVar(&o.runs, "runs", 7, "how many runs each has")
	f.Float64Var(&o.seconds, "seconds", 3, "how long a run is measured")
	f.StringVar(&o.poise, "poise", "", "a built Poise, as `FILE`; default: it is built from this tree")
	f.BoolVar(&o.logs, "logs", false, "all balancers write access logs, to files")
	f.BoolVar(&o.unpinned, "unpinned", false, "let the system choose CPUs; default: one is the balancer's, the others are the servers' and the load's")
	f.StringVar(&o.json, "json", "", "write all runs to `FILE`")
	cmd.AddCommand(
		&cobra.Command{
			Use: "serve", Hidden: true, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return serve(os.Stdout, os.Stdin) },
		},
		&cobra.Command{
			Use: "load SPEC", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return load(args[0], os.Stdout, os.Stdin) },
		},
	)
	cmd.CompletionOptions.DisableDefaultCmd = true
	return cmd
}

// compare is the program's work.
func compare(ctx context.Context, o *options, out, progress io.Writer) error {
	o.duration = time.Duration(o.seconds * float64(time.Second))
	if o.runs < 1 || o.duration <= 0 {
		return errors.New("--runs and --seconds must be above 0")
	}
	names, err := chosen(o.only, scenarioNames())
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	e, err := newEquipment(ctx, o, progress)
	if e != nil {
		defer e.cleanUp()
	}
	if err != nil {
		return err
	}
	s := &session{equipment: e, o: o, progress: progress}
	results, err := s.all(ctx, names)
	if err != nil {
		return err
	}
	r := newReport(e, o, results)
	r.print(out)
	if o.json != "" {
		return r.writeJSON(o.json)
	}
	return nil
}
