package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

// TestReferenceIsCurrent holds docs/commands.md against the command tree.
func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/commands.md"
	want := reference()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/commands.md is not what the commands say; run go test ./internal/cli -update\n%s", diff)
	}
}

// reference writes docs/commands.md.
func reference() string {
	root := (&program{}).root()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("# Commands\n\n" + `Each flag can be set by an environment variable too; the flag on the command line goes first, and an empty variable counts as
unset. ` + "`poise COMMAND --help`" + ` prints what is here. This page is made from the commands themselves.

Exit codes: 0 fine; 1 could not start, or a check failed; 2 wrong usage, or stopped by force; 3 connections were cut while
stopping.
`)
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			b.WriteString(completionReference(c))
			continue
		}
		fmt.Fprintf(&b, "\n## poise %s\n\n%s.\n", c.Name(), c.Short)
		if c.Long != "" {
			fmt.Fprintf(&b, "\n%s\n", c.Long)
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.ReplaceAll("\n"+c.Example, "\n  ", "\n")[1:])
		}
		flags(&b, c)
	}
	return b.String()
}

func completionReference(c *cobra.Command) string {
	var shells []string
	for _, s := range c.Commands() {
		shells = append(shells, s.Name())
	}
	return fmt.Sprintf("\n## poise completion SHELL\n\n%s: %s. `poise completion SHELL --help` says how to load it.\n", c.Short, strings.Join(shells, ", "))
}

func flags(b *strings.Builder, c *cobra.Command) {
	if !c.HasLocalFlags() {
		return
	}
	b.WriteString("\n| flag | variable | default | meaning |\n|---|---|---|---|\n")
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !own(f) {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "`--" + f.Name
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		if value != "" {
			name += " " + strings.ReplaceAll(value, "|", `\|`)
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			def = "`" + f.DefValue + "`"
		}
		usage = strings.TrimSuffix(usage, " ("+variable(f.Name)+")")
		fmt.Fprintf(b, "| %s` | `%s` | %s | %s |\n", name, variable(f.Name), def, usage)
	})
}
