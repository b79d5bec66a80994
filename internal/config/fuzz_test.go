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
