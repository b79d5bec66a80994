package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// What a configuration may be at most: far above any that people write, and low enough for none to hurt.
const (
	maxFile     = 1 << 20 // bytes of one file
	maxFiles    = 1000    // files, by include
	maxDepth    = 50      // mappings and lists inside each other
	maxAliases  = 1000    // aliases in one file
	maxRepeated = 100_000 // values that aliases add to one file
)

// Load reads a configuration and the files that it includes. env looks up environment variables, as os.LookupEnv does.
// The Config is nil if the problems hold an error.
func Load(path string, env func(string) (string, bool)) (*Config, Problems) {
	return load(path, env, files{read: readFile, glob: filepath.Glob})
}

// Parse reads a configuration from memory; name is what problems call it. It cannot include files. Otherwise it is like Load.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, Problems) {
	return load(name, env, files{read: func(string) ([]byte, error) { return data, nil }})
}

// files is how a loader reaches files.
type files struct {
	read func(path string) ([]byte, error)
	glob func(pattern string) ([]string, error) // nil: nothing can be included
}

// readFile reads a file, and no more than just above maxFile of it.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// loader reads one configuration.
type loader struct {
	*origin
	files
	config *Config
	env    func(string) (string, bool)
	main   string
}

func load(path string, env func(string) (string, bool), from files) (*Config, Problems) {
	if env == nil {
		env = noVariables
	}
	o := newOrigin()
	l := &loader{origin: o, files: from, config: &Config{origin: o}, env: env, main: path}
	data, err := l.read(path)
	if err != nil {
		o.add(path, nil)
		o.report(Pos{File: path}, "cannot read the file: "+reason(err), "")
		return nil, o.problems
	}
	if node := o.parse(path, data); node != nil {
		o.decoder(path, env).value(node, reflect.ValueOf(l.config).Elem(), nil)
		l.include(path, &l.config.Include)
		o.fill(reflect.ValueOf(l.config).Elem())
		(&checker{origin: o, config: l.config, main: path}).check()
	}
	o.problems.Sort()
	if o.problems.HasErrors() {
		return nil, o.problems
	}
	return l.config, o.problems
}

// reason is the part of a file's error that the path does not say already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// include takes in the files that from, a file of its own, names.
func (l *loader) include(from string, patterns *Strings) {
	if l.glob == nil && len(*patterns) > 0 {
		l.complain(patterns, "include needs a file that it is relative to", "")
		return
	}
	for i := range *patterns {
		pattern := &(*patterns)[i]
		if l.broken[pattern] {
			continue
		}
		if *pattern == "" {
			l.complain(pattern, "include: an empty path", "")
			continue
		}
		for _, path := range l.matches(from, pattern) {
			l.one(path, pattern)
		}
	}
}

// matches returns the files that a pattern names.
func (l *loader) matches(from string, pattern *string) []string {
	path := *pattern
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(from), path)
	}
	if !strings.ContainsAny(path, "*?[") {
		return []string{path}
	}
	found, err := l.glob(path)
	if err != nil {
		l.complain(pattern, fmt.Sprintf("include: %q is not a pattern", *pattern), "")
	}
	slices.Sort(found)
	return found
}

// one takes in one file.
func (l *loader) one(path string, pattern *string) {
	path = filepath.Clean(path)
	switch {
	case path == filepath.Clean(l.main) || slices.ContainsFunc(l.sources, func(s source) bool { return s.name == path }):
		l.complain(pattern, fmt.Sprintf("include: %s is read already", path), "a file is included once, and not by itself")
		return
	case len(l.sources) >= maxFiles:
		l.complain(pattern, fmt.Sprintf("include: more than %d files", maxFiles), "")
		return
	}
	data, err := l.read(path)
	if err != nil {
		l.complain(pattern, fmt.Sprintf("include: cannot read %s: %s", path, reason(err)), "")
		return
	}
	node := l.parse(path, data)
	if node == nil {
		return
	}
	parts := &Parts{}
	l.decoder(path, l.env).value(node, reflect.ValueOf(parts).Elem(), nil)
	l.config.Listeners = append(l.config.Listeners, parts.Listeners...)
	l.config.Pools = append(l.config.Pools, parts.Pools...)
	l.config.Matches = append(l.config.Matches, parts.Matches...)
	l.include(path, &parts.Include)
}
