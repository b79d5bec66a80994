// Package rules holds the project to its own rules: which package may import which, how files and words look, and that the documents say
// what the code does.
//
// It never starts Poise and never looks at behaviour: internal/* and test/wire do. Start reading at layers.
package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the project's directory, seen from here.
const root = "../.."

// maxLines is how long a file may be before it is split.
const maxLines = 600

// maxColumns is how long a line may be, a tab counting as one.
const maxColumns = 160

// source is one Go file.
type source struct {
	path  string // from the root, with slashes
	dir   string // its directory, likewise
	test  bool
	lines int
	ast   *ast.File
}

// sources parses every Go file of the project.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	set := token.NewFileSet()
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		f, err := parser.ParseFile(set, filepath.Join(root, path), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("parse %s: %v", path, err)
		}
		all = append(all, source{
			path: path, dir: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go"), ast: f,
			lines: set.File(f.FileStart).LineCount(),
		})
	}
	if len(all) < 50 {
		t.Fatalf("%d Go files found: the project has more, so these tests look in the wrong place", len(all))
	}
	return all
}

// files lists the project's files, from the root. What version control ignores is left out.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() && (rel == ".git" || rel == "bin" || rel == "tmp") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			all = append(all, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// imports are the paths that a file imports.
func (s *source) imports() []string {
	var paths []string
	for _, spec := range s.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		paths = append(paths, path)
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
