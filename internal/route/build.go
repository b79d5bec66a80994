package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Build makes a table of all listeners' routes. The error joins everything that cannot be; a warning names a route that can
// never match.
func Build(listeners []Listener) (*Table, []Warning, error) {
	t := &Table{listeners: make([]hosts, len(listeners))}
	var warnings []Warning
	var problems []error
	for i, l := range listeners {
		var rules []*rule
		for _, spec := range l.Routes {
			route := spec.Route
			route.Index = len(t.routes)
			t.routes = append(t.routes, &route)
			r, err := newRule(&route, &spec.Match)
			if err != nil {
				problems = append(problems, fmt.Errorf("listener %s: route %s: %w", l.Name, route.Name, err))
				continue
			}
			rules = append(rules, r)
		}
		slices.SortFunc(rules, (*rule).before)
		t.listeners[i] = newHosts(rules)
		warnings = append(warnings, unreachable(rules)...)
	}
	if len(problems) > 0 {
		return nil, warnings, errors.Join(problems...)
	}
	return t, warnings, nil
}

func newRule(route *Route, m *Match) (*rule, error) {
	if route.Pool == nil && route.HTTPSPort == 0 {
		return nil, errors.New("no pool")
	}
	host, err := parseHost(m.Host)
	if err != nil {
		return nil, err
	}
	path, err := parsePath(m.Path)
	if err != nil {
		return nil, err
	}
	r := &rule{route: route, host: host, path: path}
	if slices.Contains(m.Methods, "") {
		return nil, errors.New("a method is empty")
	}
	r.rest.methods = slices.Clone(m.Methods)
	for _, h := range m.Headers {
		if h.Name == "" {
			return nil, errors.New("a header has no name")
		}
		r.rest.headers = append(r.rest.headers, NameValue{asciiLower(h.Name), h.Value})
	}
	for _, q := range m.Query {
		if q.Name == "" {
			return nil, errors.New("a query parameter has no name")
		}
		r.rest.query = append(r.rest.query, q)
	}
	return r, nil
}

// parseHost reads a host as requests have it: lower case, without a trailing dot.
func parseHost(s string) (pattern, error) {
	if s == "" {
		return pattern{}, nil
	}
	host := strings.TrimSuffix(asciiLower(s), ".")
	rest, wide := strings.CutPrefix(host, "*")
	name := rest
	if wide {
		name = strings.TrimPrefix(rest, ".")
	}
	bracketed := strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]")
	switch {
	case strings.Contains(name, "*") || wide && !strings.HasPrefix(rest, "."):
		return pattern{}, fmt.Errorf("host %q: a * stands only for the first labels, as in *.example.com", s)
	case strings.Contains(name, ":") && !bracketed:
		return pattern{}, fmt.Errorf("host %q has a port, or an IPv6 address without brackets: routes match the name alone", s)
	case strings.ContainsFunc(name, func(c rune) bool { return c >= 0x80 }):
		return pattern{}, fmt.Errorf("host %q: write names beyond ASCII as requests have them, with xn--", s)
	case name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || strings.ContainsAny(name, "/?#@,% "):
		return pattern{}, fmt.Errorf("host %q is not a host name", s)
	}
	return pattern{set: true, wide: wide, text: rest}, nil
}

// parsePath reads a path or prefix.
func parsePath(s string) (pattern, error) {
	if s == "" {
		return pattern{}, nil
	}
	if s[0] != '/' {
		return pattern{}, fmt.Errorf("path %q does not begin with /", s)
	}
	path, wide := strings.CutSuffix(s, "/*")
	if strings.Contains(path, "*") {
		return pattern{}, fmt.Errorf("path %q: a * stands only at the end, as in /v1/*", s)
	}
	return pattern{set: true, wide: wide, text: path}, nil
}

// asciiLower makes ASCII capitals small and leaves the rest, as msg.EqualFold does.
func asciiLower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}
