package config

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// FuzzParse: nothing makes Parse panic, the same bytes always say the same, every problem has a place that exists, and what is
// taken can be written and read again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/broken/*.yaml", "../../examples/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := Parse("fuzz.yaml", data, brokenEnvironment)
		again, problemsAgain := Parse("fuzz.yaml", data, brokenEnvironment)
		said := format(t, problems, false)
		if said != format(t, problemsAgain, false) {
			t.Fatalf("Parse said first\n%s, then\n%s", said, format(t, problemsAgain, false))
		}
		if (c == nil) != problems.HasErrors() {
			t.Fatalf("Parse = %v with\n%s", c, said)
		}
		if !utf8.ValidString(said) {
			t.Fatalf("Format is not UTF-8: %q", said)
		}
		for _, p := range problems {
			checkPlace(t, p, data)
		}
		if c == nil {
			return
		}
		if diff := compareConfigs(c, again); diff != "" {
			t.Fatalf("Parse differs from itself: %s", diff)
		}
		written, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		third, problems := Parse("fuzz.yaml", written, noVariables)
		if diff := compareConfigs(c, third); third == nil || diff != "" {
			t.Fatalf("Parse(Marshal(c)) differs:\n%s\n%s\nwritten:\n%s", diff, format(t, problems, false), written)
		}
	})
}

// checkPlace checks that a problem is at a character of the file, or just behind a line's end.
func checkPlace(t *testing.T, p Problem, data []byte) {
	t.Helper()
	o := newOrigin()
	o.add(p.File, data)
	lines := o.sources[0].lines
	if p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 {
		t.Fatalf("%d:%d is no place in the file: %s", p.Line, p.Col, p.Message)
	}
}
