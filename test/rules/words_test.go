package rules

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// banned words are other products' names for things that have a name of their own here (docs/glossary.md): as part of a name in the code
// they would make two words for one thing. Words with a second, legitimate meaning, such as session or stream, are not listed.
var banned = map[string]string{
	"backend": "server or pool", "backends": "servers or pools", "endpoint": "server", "endpoints": "servers", "upstreams": "servers",
	"frontend": "listener", "entrypoint": "listener", "downstream": "client", "cluster": "pool",
	"sticky": "affinity", "stickiness": "affinity", "persistence": "affinity",
	"worker": "loop", "workers": "loops", "reactor": "loop", "poller": "driver",
	"unhealthy": "down", "outlier": "ejected", "transaction": "exchange", "balancer": "policy or picker",
	"pump": "relay", "tunnel": "relay",
	"util": "what it does", "utils": "what it does", "manager": "what it does",
}

// bannedPackages say nothing about what is in them.
var bannedPackages = []string{"util", "utils", "common", "misc", "helper", "helpers", "manager", "shared", "base", "types"}

func TestOneWordPerThing(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(bannedPackages, s.ast.Name.Name) {
			t.Errorf("%s: package %s says nothing about what is in it", s.path, s.ast.Name.Name)
		}
		for _, name := range declared(s.ast) {
			for _, word := range split(name) {
				if better, ok := banned[word]; ok {
					t.Errorf("%s: %s: the word here is %s, not %s", s.path, name, better, word)
				}
			}
		}
	}
}

// declared are the names that a file gives to things: packages' own names for types, functions, fields, variables.
func declared(f *ast.File) []string {
	names := []string{f.Name.Name}
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id != nil {
				names = append(names, id.Name)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.Field:
			add(n.Names...)
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				if id, ok := x.(*ast.Ident); ok {
					add(id)
				}
			}
		}
		return true
	})
	return names
}

// split cuts a name at capitals and underscores, and returns the words in small letters.
func split(name string) []string {
	var words []string
	word := []rune{}
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	previous := rune(0)
	for _, c := range name {
		if c == '_' {
			end()
			continue
		}
		if unicode.IsUpper(c) && !unicode.IsUpper(previous) {
			end()
		}
		word = append(word, c)
		previous = c
	}
	end()
	return words
}

func TestSplit(t *testing.T) {
	for name, want := range map[string][]string{
		"idleWorker": {"idle", "worker"}, "BackendID": {"backend", "id"}, "max_pool": {"max", "pool"}, "x": {"x"}, "_": nil,
	} {
		if got := split(name); !slices.Equal(got, want) {
			t.Errorf("split(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	comments, seen := map[string]int{}, map[string]string{}
	for _, s := range sources(t) {
		key := s.dir + " " + strings.TrimSuffix(s.ast.Name.Name, "_test")
		seen[key] = s.path
		if s.ast.Doc == nil {
			continue
		}
		begin := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			begin = "Command "
		}
		text := s.ast.Doc.Text()
		if !strings.HasPrefix(text, begin) {
			t.Errorf("%s: the package comment does not begin with %q", s.path, begin)
		}
		if strings.HasPrefix(s.dir, "internal/") && strings.Count(text, "\n") < 2 {
			t.Errorf("%s: the package comment does not say what the package never does and where to start reading", s.path)
		}
		comments[key]++
	}
	for key, path := range seen {
		if comments[key] != 1 {
			t.Errorf("the package of %s has %d package comments, want 1", path, comments[key])
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxLines && !ast.IsGenerated(s.ast) {
			t.Errorf("%s has %d lines, want at most %d: split it by subject", s.path, s.lines, maxLines)
		}
	}
}

// leftovers are what a finished change has not. They are put together here so that this file does not hold them itself.
var leftovers = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// places are directories of one person's or one build's machine. Nothing in the project may depend on them.
var places = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(ro` + `ot|ho` + `me|Us` + `ers|wo` + `rk)/`)

// textual are the files that are searched; others are data.
var textual = regexp.MustCompile(`(\.(go|md|sh|ya?ml|mod|json|txt)|^Makefile|^\.ci/.*|\.gitignore)$`)

// TestLinesAreShort leaves out the code of tests: their tables hold messages and configurations, which are read better in one line.
func TestLinesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		n := 0
		for line := range strings.Lines(read(t, s.path)) {
			n++
			comment := strings.HasPrefix(strings.TrimSpace(line), "//")
			if long := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); long > maxColumns && (comment || !s.test) {
				t.Errorf("%s:%d has %d columns, want at most %d", s.path, n, long, maxColumns)
			}
		}
	}
}

func TestNothingPointsToOneMachine(t *testing.T) {
	for _, path := range files(t) {
		if !textual.MatchString(path) {
			continue
		}
		for i, line := range strings.Split(read(t, path), "\n") {
			if found := places.FindString(line); found != "" && path != ".gitignore" {
				t.Errorf("%s:%d: %q exists on one machine only; tests use t.TempDir", path, i+1, found)
			}
			if found := leftovers.FindString(line); found != "" && strings.HasSuffix(path, ".go") {
				t.Errorf("%s:%d: %s: do it, or write it down where others see it", path, i+1, found)
			}
		}
	}
}
