package rules

import (
	"go/ast"
	"go/token"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"poise/internal/config"
)

// maxArchitecture is how long the page may be that everybody is to read.
const maxArchitecture = 250

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	// place is a file of the project, followed by a function of it or not.
	place = regexp.MustCompile("`((?:internal|test|cmd)/[\\w/.]+)`(?: `(\\w+)`)?")
	row   = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
)

// documents are the project's pages. What lies below internal is a part that pages are made from.
func documents(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(files(t), func(path string) bool {
		return !strings.HasSuffix(path, ".md") || strings.HasPrefix(path, "internal/")
	})
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, doc := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(read(t, doc), ""), -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" || u.Path == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, path.Dir(doc), u.Path)); err != nil {
				t.Errorf("%s links to %s, which is not there", doc, m[1])
			}
		}
	}
}

func TestEveryPageIsInTheIndex(t *testing.T) {
	index := read(t, "docs/README.md")
	for _, doc := range documents(t) {
		name, ok := strings.CutPrefix(doc, "docs/")
		if ok && name != "README.md" && !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

func TestArchitectureNamesWhatIsThere(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	if n := strings.Count(text, "\n"); n > maxArchitecture {
		t.Errorf("ARCHITECTURE.md has %d lines, want at most %d", n, maxArchitecture)
	}
	functions := map[string][]string{}
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				functions[s.path] = append(functions[s.path], f.Name.Name)
			}
		}
	}
	places := place.FindAllStringSubmatch(text, -1)
	if len(places) < 9 {
		t.Fatalf("%d places found, want at least the nine steps'", len(places))
	}
	for _, m := range places {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which is not there", m[1])
		} else if m[2] != "" && !slices.Contains(functions[m[1]], m[2]) {
			t.Errorf("ARCHITECTURE.md names function %s, which %s has not", m[2], m[1])
		}
	}
	for _, layer := range layers {
		for _, pkg := range layer {
			if !strings.Contains(text, "\n| `"+pkg+"` |") {
				t.Errorf("ARCHITECTURE.md has no row for package %s", pkg)
			}
		}
	}
}

func TestREADMEsConfigurationIsRight(t *testing.T) {
	blocks := yamlBlock.FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no configuration")
	}
	for _, m := range blocks {
		_, problems := config.Parse("README.md", []byte(m[1]), func(string) (string, bool) { return "", false })
		for _, p := range problems {
			t.Errorf("README.md's configuration, line %d: %s", p.Line, p.Message)
		}
	}
}

// TestConfigurationsInDocs has each whole configuration of the pages below docs parsed; pieces of one, and those with files that are nowhere, are not.
func TestConfigurationsInDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range pages {
		name := "docs/" + filepath.Base(page)
		for _, m := range yamlBlock.FindAllStringSubmatch(read(t, name), -1) {
			if !regexp.MustCompile(`(?m)^(listeners|listen):`).MatchString(m[1]) {
				continue
			}
			n++
			_, problems := config.Parse(name, []byte(m[1]), func(string) (string, bool) { return "", false })
			for _, p := range problems {
				if p.Severity == config.Error {
					t.Errorf("%s has a configuration with a mistake in line %d: %s\n%s", name, p.Line, p.Message, m[1])
				}
			}
		}
	}
	if n < 8 {
		t.Errorf("%d configurations in docs, want 8 or more", n)
	}
}

// TestEveryModuleHasAReason looks for imports that the decision on dependencies does not name, and for names of it that are not in use.
func TestEveryModuleHasAReason(t *testing.T) {
	const page = "docs/decisions/0005-dependencies.md"
	text := read(t, page)
	listed := regexp.MustCompile("(?m)^\\| `([\\w./-]+\\.\\w+/[\\w./-]+)` \\|").FindAllStringSubmatch(text, -1)
	tools := read(t, "tools/go.mod")
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, path := range s.imports() {
			if !strings.Contains(strings.Split(path, "/")[0], ".") {
				continue
			}
			found := false
			for _, m := range listed {
				if path == m[1] || strings.HasPrefix(path, m[1]+"/") {
					used[m[1]], found = true, true
				}
			}
			if !found {
				t.Errorf("%s imports %s: %s does not say why", s.path, path, page)
			}
		}
	}
	for _, m := range listed {
		if !used[m[1]] && !strings.Contains(tools, "\t"+m[1]) {
			t.Errorf("%s lists %s, which nothing uses", page, m[1])
		}
	}
}

// TestFailuresListsEveryAnswer compares the table with the replies in internal/exchange/status.go.
func TestFailuresListsEveryAnswer(t *testing.T) {
	text := read(t, "docs/failures.md")
	replies := 0
	for _, s := range sources(t) {
		if s.path != "internal/exchange/status.go" {
			continue
		}
		for _, d := range s.ast.Decls {
			if g, ok := d.(*ast.GenDecl); !ok || g.Tok != token.VAR {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				literal, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				replies++
				f := fieldsOf(literal)
				line := regexp.MustCompile(`(?m)^\| ` + f["Status"] + ` \|.*` + regexp.QuoteMeta(f["Text"]) + ".*" + regexp.QuoteMeta(f["ProxyStatus"]))
				if !line.MatchString(text) {
					t.Errorf("docs/failures.md has no row with %s, %q, %q", f["Status"], f["Text"], f["ProxyStatus"])
				}
				return true
			})
		}
	}
	if replies < 10 {
		t.Errorf("%d replies found in internal/exchange/status.go, want more", replies)
	}
}

// fieldsOf are a struct literal's values that are literals themselves, by field.
func fieldsOf(literal *ast.CompositeLit) map[string]string {
	fields := map[string]string{}
	for _, e := range literal.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, isName := kv.Key.(*ast.Ident)
		value, isLiteral := kv.Value.(*ast.BasicLit)
		if !isName || !isLiteral {
			continue
		}
		fields[key.Name] = value.Value
		if value.Kind == token.STRING {
			fields[key.Name], _ = strconv.Unquote(value.Value) // the parser has checked it
		}
	}
	return fields
}
