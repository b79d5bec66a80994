package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// brokenEnvironment is what testdata/broken may refer to.
var brokenEnvironment = environment(map[string]string{"PORT": "8080", "EMPTY": "", "BAD": "\xff"})

// TestBrokenFiles parses each file of testdata/broken and holds all its problems against the .want file beside it: a line each,
// "line:col message | hint", of which message and hint are parts of what is said.
func TestBrokenFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 60 {
		t.Fatalf("%d broken files, want 60 or more", len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(path, "yaml") + "want")
			if err != nil {
				t.Fatal(err)
			}
			c, problems := Parse("broken.yaml", data, brokenEnvironment)
			if c != nil {
				t.Error("Parse gave a Config, want none")
			}
			compare(t, problems, strings.Split(strings.TrimSpace(string(want)), "\n"))
		})
	}
}

// compare holds problems against lines of a .want file.
func compare(t *testing.T, problems Problems, want []string) {
	t.Helper()
	bad := len(problems) != len(want)
	for i := range min(len(problems), len(want)) {
		bad = bad || !meets(problems[i], want[i])
	}
	if !bad {
		return
	}
	var got strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&got, "  %d:%d %s | %s\n", p.Line, p.Col, said(p), p.Hint)
	}
	t.Errorf("Parse has the problems\n%s, want\n  %s", got.String(), strings.Join(want, "\n  "))
}

func said(p Problem) string {
	if p.Severity == Warning {
		return "warning: " + p.Message
	}
	return p.Message
}

func meets(p Problem, want string) bool {
	place, rest, _ := strings.Cut(want, " ")
	message, hint, _ := strings.Cut(rest, " | ")
	return place == fmt.Sprintf("%d:%d", p.Line, p.Col) && strings.Contains(said(p), message) && strings.Contains(p.Hint, hint) &&
		strings.HasPrefix(message, "warning: ") == (p.Severity == Warning)
}
