package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memory is a directory in memory.
func memory(contents map[string]string) files {
	return files{
		read: func(path string) ([]byte, error) {
			text, ok := contents[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
		glob: func(pattern string) ([]string, error) {
			var found []string
			for path := range contents {
				ok, err := filepath.Match(pattern, path)
				if err != nil {
					return nil, err
				}
				if ok {
					found = append(found, path)
				}
			}
			return found, nil
		},
	}
}

const (
	webListener = "listeners: [{ address: :1, pool: p }]\n"
	poolP       = "pools: { p: { servers: [a:1] } }\n"
)

func TestInclude(t *testing.T) {
	c, problems := load("/etc/poise.yaml", noVariables, memory(map[string]string{
		"/etc/poise.yaml":      "include: [conf.d/*.yaml, extra.yaml, none.d/*]\n" + webListener,
		"/etc/conf.d/b.yaml":   "pools: { b: { servers: [a:1] } }\nlisteners: [{ address: :2, pool: b, routes: [{ pool: deep }] }]\n",
		"/etc/conf.d/a.yaml":   poolP,
		"/etc/conf.d/skip.txt": "nonsense",
		"/etc/extra.yaml":      "include: deep/x.yaml\n",
		"/etc/deep/x.yaml":     "pools: { deep: { servers: [a:1] } }\n",
	}))
	if c == nil || len(problems) > 0 {
		t.Fatalf("load has problems: %+v", problems)
	}
	var names []string
	for _, p := range c.Pools {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"p", "b", "deep"}, names); diff != "" {
		t.Errorf("pools differ (-want +got):\n%s", diff)
	}
	if got, want := c.Pos(c.Pools[1]), (Pos{"/etc/conf.d/b.yaml", 1, 10}); got != want {
		t.Errorf("Pos(pool b) = %v, want %v", got, want)
	}
	if got, want := c.Listeners[1].Timeouts, Default().Timeouts.ListenerTimeouts; got != want {
		t.Errorf("included listener's timeouts = %v, want %v", got, want)
	}
}

func TestBrokenIncludes(t *testing.T) {
	for name, x := range map[string]struct {
		main, other string
		want        []string // "file:" before the place
	}{
		"missing":         {"include: gone.yaml\n" + webListener + poolP, "", []string{"/m.yaml 1:10 include: cannot read /gone.yaml: file does not exist"}},
		"self":            {"include: m.yaml\n" + webListener + poolP, "", []string{"/m.yaml 1:10 include: /m.yaml is read already | not by itself"}},
		"self by pattern": {"include: '*.yaml'\n" + webListener + poolP, "pools: {}\n", []string{"/m.yaml 1:10 include: /m.yaml is read already"}},
		"cycle":           {"include: o.yaml\n" + webListener + poolP, "include: m.yaml\n", []string{"/o.yaml 1:10 include: /m.yaml is read already"}},
		"twice":           {"include: [o.yaml, ./o.yaml]\n" + webListener, poolP, []string{"/m.yaml 1:19 include: /o.yaml is read already"}},
		"other keys": {
			"include: o.yaml\n" + webListener, "loops: 4\nlisten: :2\nserverz: []\n" + poolP,
			[]string{
				`/o.yaml 1:1 unknown key "loops" in an included file | only listeners, pools, matches and include`,
				`/o.yaml 2:1 unknown key "listen" in an included file | only`,
				`/o.yaml 3:1 unknown key "serverz" in an included file | only`,
			},
		},
		"mistakes in the order of the files": {
			"include: o.yaml\nlisteners: [{ address: :1, pool: q }]\nloops: x\n", "pools: { p: { servers: [a] } }\n",
			[]string{
				`/m.yaml 2:34 pool: there is no pool "q"`, `/m.yaml 3:8 loops: "x" is not`, `/o.yaml 1:25 address: "a" has no port`,
			},
		},
		"pool in both": {"include: o.yaml\n" + webListener + poolP, poolP, []string{`/o.yaml 1:10 the pool "p" is there twice | first in /m.yaml:3`}},
		"not YAML":     {"include: o.yaml\n" + webListener + poolP, "a: [", []string{"/o.yaml 1:5 not YAML: the file ends too early"}},
		"beside short": {"include: o.yaml\nlisten: :1\nservers: [a:1]\n", poolP, []string{
			"/m.yaml 2:9 listen cannot stand beside pools",
		}},
		"bad pattern": {"include: '[*.yaml'\n" + webListener + poolP, "", []string{`/m.yaml 1:10 include: "[*.yaml" is not a pattern`}},
		"empty path":  {"include: ''\n" + webListener + poolP, "", []string{"/m.yaml 1:10 include: an empty path"}},
	} {
		t.Run(name, func(t *testing.T) {
			contents := map[string]string{"/m.yaml": x.main}
			if x.other != "" {
				contents["/o.yaml"] = x.other
			}
			_, problems := load("/m.yaml", noVariables, memory(contents))
			want := make([]string, len(x.want))
			for i, w := range x.want {
				file, rest, _ := strings.Cut(w, " ")
				want[i] = rest
				if i < len(problems) && problems[i].File != file {
					t.Errorf("problem %d is in %s, want %s", i, problems[i].File, file)
				}
			}
			compare(t, problems, want)
		})
	}
}

func TestLoadFromDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "poise.yaml")
	if err := os.WriteFile(path, []byte("include: more/*.yaml\n"+webListener), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "more"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "more", "p.yaml"), []byte(poolP), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, problems := Load(path, os.LookupEnv); c == nil || len(c.Pools) != 1 {
		t.Errorf("Load = %+v, %+v, want one pool", c, problems)
	}
	for _, missing := range []string{filepath.Join(dir, "none.yaml"), dir} {
		c, problems := Load(missing, os.LookupEnv)
		if c != nil || len(problems) != 1 || problems[0].File != missing || !strings.HasPrefix(problems[0].Message, "cannot read the file: ") {
			t.Errorf("Load(%s) = %v, %+v, want that it cannot be read", missing, c, problems)
		}
	}
}

func TestPA6LargeFile(t *testing.T) {
	data := []byte("listen: :1\nservers: [a:1]\n#" + strings.Repeat("x", maxFile))
	c, problems := Parse("large.yaml", data, noVariables)
	if c != nil || len(problems) != 1 || problems[0].Message != "the file is larger than 1 MiB" {
		t.Errorf("Parse = %v, %+v, want a refusal", c, problems)
	}
}

// TestPA6ManyRoutes is a configuration as large as one file can be.
func TestPA6ManyRoutes(t *testing.T) {
	const n = 5000
	var b strings.Builder
	b.WriteString("listeners:\n- address: :1\n  routes:\n")
	for i := range n {
		b.WriteString("  - { pool: p, match: { path: /" + strings.Repeat("x", i%10) + "/" + strings.Repeat("y", i/10%50) + "/*, host: " + strings.Repeat("h", 1+i%50) + ".example } }\n")
	}
	b.WriteString(poolP)
	if got := len(mustParse(t, b.String()).Listeners[0].Routes); got != n {
		t.Errorf("%d routes, want %d", got, n)
	}
}

func TestVariables(t *testing.T) {
	env := environment(map[string]string{"A": "a", "EMPTY": "", "YAML": "x: [1, 2]", "NESTED": "${A}"})
	for text, want := range map[string]string{
		"plain": "plain", "$A": "$A", "${A}": "a", "x${A}y${A}": "xaya", "${EMPTY}": "", "${EMPTY:-d}": "d", "${NONE:-d}": "d", "${NONE:-}": "",
		"$${A}": "${A}", "$$${A}": "$${A}", "${YAML}": "x: [1, 2]", "${NESTED}": "${A}", "${A:-$${}": "a", "$": "$", "${NONE:-a:-b}": "a:-b", "{}": "{}",
	} {
		got, bad := expand(text, env)
		if got != want || bad != nil {
			t.Errorf("expand(%q) = %q, %v, want %q", text, got, bad, want)
		}
	}
	for _, text := range []string{"${", "${A", "${}", "${NONE}", "${1}", "${A B}", "x${-A}", "${ A }"} {
		if got, bad := expand(text, env); bad == nil {
			t.Errorf("expand(%q) = %q, want a complaint", text, got)
		}
	}
	large := environment(map[string]string{"L": strings.Repeat("x", maxExpanded)})
	if _, bad := expand("${L}${L}", large); bad == nil {
		t.Error("expand takes more than 1 MiB, want a complaint")
	}
}

func TestVariablesStayValues(t *testing.T) {
	env := environment(map[string]string{"W": "7", "P": "/a: b", "ON": "false"})
	c, problems := Parse("x", []byte("listen: :1\nservers: [{ address: a:1, weight: \"${W}\" }]\nhealth:\n  http: { path: \"${P:-/}\" }\naccess_log:\n  enabled: ${ON}\n"), env)
	want := `path: "/a: b" has characters that are not in a path`
	if c != nil || len(problems) != 1 || problems[0].Message != want {
		t.Errorf("Parse = %v, %+v, want only %s", c, problems, want)
	}
}

// Lines are counted as the YAML parser counts them, so that a problem quotes the line that it means.
func TestLineEnds(t *testing.T) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r", "next line": "\u0085", "line separator": "\u2028", "paragraph separator": "\u2029"} {
		for _, bad := range []string{"polcy: x", "policy: \xff"} {
			text := "\ufefflisten: :1" + end + "servers: [a:1]" + end + bad + end + "loops: 1" + end
			_, problems := Parse("test.yaml", []byte(text), noVariables)
			if len(problems) != 1 || problems[0].Line != 3 || problems[0].Source != bad {
				t.Errorf("%s: Parse says %+v, want one problem at line 3 that quotes %q", name, problems, bad)
			}
		}
	}
}
