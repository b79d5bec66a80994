package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"poise/internal/config"
)

// build tells where the program came from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built with changes that are not in the commit
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// thisBuild asks the binary, in which the Go command noted the state of the source.
func thisBuild() build {
	b := build{Version: "dev", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	s := "poise " + b.Version
	if b.Commit != "" {
		s += " (commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return fmt.Sprintf("%s %s %s/%s", s, b.Go, b.OS, b.Arch)
}

func (p *program) versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version, and what it was built from"}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		if asJSON() {
			return written(printJSON(p.out, thisBuild()))
		}
		_, err := fmt.Fprintln(p.out, thisBuild())
		return written(err)
	}
	return cmd
}

func (p *program) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the configuration's JSON Schema, for editors",
		Long: `Prints the JSON Schema of the configuration. Editors with a YAML language server use it after

    poise schema > poise.schema.json

and this as the configuration's first line:

    # yaml-language-server: $schema=poise.schema.json`,
		RunE: func(*cobra.Command, []string) error {
			s, err := config.Schema()
			if err != nil {
				return failed(err)
			}
			_, err = p.out.Write(s)
			return written(err)
		},
	}
}

// written is the outcome of a command whose last step was to write its result.
func written(err error) error {
	if err != nil {
		return failed(fmt.Errorf("cannot write the result: %w", err))
	}
	return nil
}
