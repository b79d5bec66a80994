package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// variable is the environment variable that stands for a flag.
func variable(flag string) string {
	return "POISE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// own tells a command's flags from those that cobra gives every command.
func own(f *pflag.Flag) bool { return f.Name != "help" && f.Name != "version" }

// applyEnvironment gives flags that are not on the command line the value of their environment variable; an empty one counts as unset.
func (p *program) applyEnvironment(cmd *cobra.Command, _ []string) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, ok := p.env(variable(f.Name))
		if f.Changed || !ok || value == "" || !own(f) {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", variable(f.Name), errors.Unwrap(err)))
		}
	})
	return errors.Join(errs...)
}

// nameVariables adds to each flag's help the environment variable that stands for it.
func nameVariables(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if own(f) {
			f.Usage += " (" + variable(f.Name) + ")"
		}
	})
}

// noArguments refuses arguments that are no flags, and tells where they may belong.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("config") != nil:
		return fmt.Errorf("unexpected argument %q; did you mean -c %s?", args[0], args[0])
	case cmd.Flags().Lookup("to") != nil:
		return fmt.Errorf("unexpected argument %q; did you mean --to %s?", args[0], args[0])
	}
	return fmt.Errorf("unexpected argument %q", args[0])
}

// suggestFlag adds to the error for an unknown flag the ones that are spelled like it.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	// cobra compares names of commands only.
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if like := names.SuggestionsFor(unknown.GetSpecifiedName()); len(like) > 0 {
		return fmt.Errorf("%w; did you mean --%s?", err, strings.Join(like, " or --"))
	}
	return err
}

// choice is a flag that takes one of some words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.words, ", "))
	}
	c.value = s
	return nil
}

// flag adds the choice to a command, with completion.
func (c *choice) flag(cmd *cobra.Command, name, short, usage string) {
	cmd.Flags().VarP(c, name, short, usage)
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return c.words, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic(err) // the flag was added just above
	}
}

// outputFlag adds -o, and returns whether JSON was asked for.
func outputFlag(cmd *cobra.Command) (json func() bool) {
	c := &choice{value: "text", words: []string{"text", "json"}}
	c.flag(cmd, "output", "o", "how the result is printed")
	return func() bool { return c.value == "json" }
}

// configFlag adds -c.
func configFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().StringP("config", "c", "poise.yaml", "the configuration `FILE`")
	if err := cmd.MarkFlagFilename("config", "yaml", "yml"); err != nil {
		panic(err) // the flag was added just above
	}
	return path
}
