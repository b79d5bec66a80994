// Package cli is the command line: commands, flags, what they print, and the exit code.
//
// It never proxies and never reads YAML itself: config and app do. Commands print their result to Out, and all else to Err.
//
// Start reading at Main and root; each command has a file of its own, serve.go is what run, proxy and demo have in common.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitFailed = 1 // could not start, or a check failed
	exitUsage  = 2 // wrong usage
	exitForced = 2 // stopped by a second signal
	exitCut    = 3 // stopped, and cut connections at the end of the drain
)

// Streams are where a command writes: its result to Out, everything meant for a person on the way to Err.
type Streams struct{ Out, Err io.Writer }

// Main runs the command that args, without the program's name, ask for. It returns the exit code.
func Main(args []string, s Streams) int {
	p := &program{out: s.Out, err: s.Err, env: os.LookupEnv, notify: notify}
	return p.main(args)
}

// program is one call of poise.
type program struct {
	out, err io.Writer
	env      func(string) (string, bool)
	// notify starts to deliver signals, until release is called.
	notify func() (signals <-chan os.Signal, release func())
}

func (p *program) main(args []string) int {
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	var e *exitError
	if !errors.As(err, &e) { // all errors of cobra are about usage
		p.complain(errors.New(oneLine(err.Error())))
		fmt.Fprintf(p.err, "run '%s --help' for usage\n", cmd.CommandPath())
		return exitUsage
	}
	if e.err != nil {
		p.complain(e.err)
	}
	return e.code
}

// complain prints an error, each line of it on its own.
func (p *program) complain(err error) {
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			fmt.Fprintf(p.err, "poise: %s\n", line)
		}
	}
}

// oneLine shortens cobra's list of suggestions.
func oneLine(text string) string {
	text, names, ok := strings.Cut(text, "\n\nDid you mean this?\n")
	if !ok {
		return text
	}
	return text + "; did you mean " + strings.Join(strings.Fields(names), " or ") + "?"
}

// exitError ends a command with a code. Its err is told to the person; nil where that was done already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func failed(err error) error { return &exitError{exitFailed, err} }

// root is the tree of all commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "poise",
		Short: "An HTTP load balancer",
		Long: `Poise spreads HTTP requests over servers, finds out which of them work, and explains what it does.

Without a file:  poise proxy --listen :8080 --to 127.0.0.1:9001 --to 127.0.0.1:9002
To look around:  poise demo
The real thing:  poise run -c poise.yaml

Each flag can be set by an environment variable too, which is named with it; the flag goes first.
Exit codes: 0 fine; 1 could not start, or a check failed; 2 wrong usage, or stopped by force; 3 connections were cut while stopping.`,
		Version:           thisBuild().String(),
		SilenceErrors:     true, // main prints them
		SilenceUsage:      true,
		PersistentPreRunE: p.applyEnvironment,
	}
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(suggestFlag)
	root.AddCommand(p.runCommand(), p.proxyCommand(), p.demoCommand(), p.checkCommand(), p.statusCommand(), p.reloadCommand(),
		p.drainCommand(), p.maintCommand(), p.readyCommand(), p.weightCommand(), p.schemaCommand(), p.versionCommand())
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = noArguments
		}
		nameVariables(c)
	}
	return root
}
