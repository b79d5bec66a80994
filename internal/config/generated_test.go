package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write comments.json and docs/configuration.md anew")

// docComments reads the struct types' comments from the package's source.
func docComments(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				structComments(all, spec.(*ast.TypeSpec), g.Doc)
			}
		}
	}
	return all
}

func structComments(all map[string]string, spec *ast.TypeSpec, doc *ast.CommentGroup) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	read := false
	for _, f := range s.Fields.List {
		if f.Tag == nil || !strings.Contains(f.Tag.Value, "yaml:") {
			continue
		}
		read = true
		for _, name := range f.Names {
			all[spec.Name.Name+"."+name.Name] = forReaders(f.Doc, name.Name)
		}
	}
	if read {
		all[spec.Name.Name] = forReaders(doc, spec.Name.Name)
	}
}

// forReaders takes a comment's first paragraph, without the Go name that it begins with.
func forReaders(doc *ast.CommentGroup, name string) string {
	first, _, _ := strings.Cut(doc.Text(), "\n\n")
	text := strings.Join(strings.Fields(first), " ")
	for _, start := range []string{name + " is ", name + " are "} {
		if rest, ok := strings.CutPrefix(text, start); ok {
			return strings.ToUpper(rest[:1]) + rest[1:]
		}
	}
	return text
}

func TestCommentsAreCurrent(t *testing.T) {
	want := docComments(t)
	for name, text := range want {
		if text == "" && name != "Config.Single" {
			t.Errorf("%s has no comment", name)
		}
	}
	if *update {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(want); err != nil {
			t.Fatal(err)
		}
		comments = b.Bytes()
		if err := os.WriteFile("comments.json", comments, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := descriptions()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("comments.json is not what the source says; run go test ./internal/config -update\n%s", diff)
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/configuration.md"
	want, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/configuration.md is not what Reference says; run go test ./internal/config -update\n%s", diff)
	}
}

// TestReferenceNamesEveryKey holds the reference against the structs: each key has a line in its struct's table.
func TestReferenceNamesEveryKey(t *testing.T) {
	text, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range structs() {
		for _, f := range fieldsOf(s) {
			if !strings.Contains(text, "| `"+f.name+"` | ") {
				t.Errorf("Reference() has no line for %s of %s", f.name, s.Name())
			}
		}
	}
}

// TestTagsAreSound: each default is a value that its own field takes, and within the range.
func TestTagsAreSound(t *testing.T) {
	for _, s := range structs() {
		for _, f := range fieldsOf(s) {
			for _, text := range []string{f.def, f.min, f.max} {
				o := newOrigin()
				v := newValue(f.typ)
				if text == "" {
					continue
				}
				o.decoder("tag", noVariables).value(scalar("!!str", text), v, &f)
				for _, p := range o.problems {
					t.Errorf("%s.%s: %s", s.Name(), f.goName, p.Message)
				}
			}
		}
	}
}
