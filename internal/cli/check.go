package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"poise/internal/app"
	"poise/internal/config"
)

func (p *program) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "check",
		SuggestFor: []string{"validate", "test", "lint", "configtest"},
		Short:      "Find every mistake in a configuration",
		Long: `Reads a configuration, with the files that it includes, and prints every mistake with its line, not only the first.
Nothing is started. The exit code is 1 if there are mistakes; warnings, such as a route that can never match, leave it at 0.`,
		Example: "  poise check -c poise.yaml\n  poise check -c poise.yaml -o json | jq '.problems[].line'",
	}
	path, asJSON := configFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, problems := p.load(*path)
		if err := p.report(*path, problems, asJSON()); err != nil {
			return written(err)
		}
		if cfg == nil {
			return &exitError{code: exitFailed}
		}
		return nil
	}
	return cmd
}

// load reads a configuration and finds all that is wrong with it; it is nil if it cannot be used.
func (p *program) load(path string) (*config.Config, config.Problems) {
	return whole(config.Load(path, p.env))
}

// whole adds the mistakes that only show where the program is built from the configuration.
func whole(cfg *config.Config, problems config.Problems) (*config.Config, config.Problems) {
	if cfg == nil {
		return nil, problems
	}
	problems = append(problems, app.Check(cfg)...)
	problems.Sort()
	if problems.HasErrors() {
		return nil, problems
	}
	return cfg, problems
}

// report prints what a check found.
func (p *program) report(path string, problems config.Problems, asJSON bool) error {
	if asJSON {
		if problems == nil {
			problems = config.Problems{} // an empty list, not null
		}
		return printJSON(p.out, struct {
			File     string          `json:"file"`
			OK       bool            `json:"ok"`
			Problems config.Problems `json:"problems"`
		}{path, !problems.HasErrors(), problems})
	}
	if err := problems.Format(p.out, p.color(p.out)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.out, "%s: %s\n", path, verdict(problems))
	return err
}

// verdict counts mistakes and warnings.
func verdict(problems config.Problems) string {
	errs := 0
	for _, x := range problems {
		if x.Severity == config.Error {
			errs++
		}
	}
	warnings := len(problems) - errs
	switch {
	case errs > 0 && warnings > 0:
		return count(errs, "mistake") + ", " + count(warnings, "warning")
	case errs > 0:
		return count(errs, "mistake")
	case warnings > 0:
		return "fine, with " + count(warnings, "warning")
	}
	return "fine"
}
