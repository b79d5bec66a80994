package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"poise/internal/config"
)

func (p *program) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "run",
		SuggestFor: []string{"start", "serve", "up"},
		Short:      "Run the balancer that a configuration describes",
		Long: `With mistakes in the configuration nothing is started; warnings are printed, and it goes on.

Signals: HUP reads the configuration again, and applies it if there is no mistake in it; TERM, INT and QUIT let running requests
end (timeouts.drain says how long), a second one stops at once; USR1 opens the access log's file anew.`,
		Example: "  poise run -c poise.yaml",
	}
	path := configFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, problems := p.load(*path)
		if err := problems.Format(p.err, p.color(p.err)); err != nil {
			return failed(err)
		}
		if cfg == nil {
			if _, err := os.Stat(*path); errors.Is(err, os.ErrNotExist) {
				return failed(errors.New("nothing to run: -c names the configuration; without one there are poise proxy --to ADDRESS, and poise demo"))
			}
			return failed(fmt.Errorf("not started: %s in %s", verdict(problems), *path))
		}
		return p.serve(cfg, func() (*config.Config, config.Problems) { return p.load(*path) })
	}
	return cmd
}
