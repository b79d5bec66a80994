package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

// Build makes a table of all listeners' routes. The error joins everything that cannot be; a warning names a route that can
// never match.
func Build(listeners []Listener) (*Table, []Warning, error) {
	t := &Table{listeners: make([]hosts, len(listeners))}
	var warnings []Warning
	var problems []error
	for i, l := range listeners {
		var rules []*rule
		patterns := 0
		for _, spec := range l.Routes {
			route := spec.Route
			route.Index = len(t.routes)
			t.routes = append(t.routes, &route)
			if err := route.settle(); err != nil {
				problems = append(problems, fmt.Errorf("listener %s: route %s: %w", l.Name, route.Name, err))
				continue
			}
			some, err := newRules(&route, spec.Matches)
			if err != nil {
				problems = append(problems, fmt.Errorf("listener %s: route %s: %w", l.Name, route.Name, err))
				continue
			}
			for _, r := range some {
				patterns += r.rest.patterns()
			}
			rules = append(rules, some...)
		}
		if patterns > MaxPatterns {
			problems = append(problems, fmt.Errorf("listener %s: its routes have %d patterns, more than %d", l.Name, patterns, MaxPatterns))
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

// settle checks that the route comes to an end, and makes the ways of a split, and those to who is asked and to the mirror, what the route itself is but for
// their pools.
func (r *Route) settle() error {
	if r.Pool == nil && (r.Actions == nil || r.Actions.Redirect == nil && r.Actions.Reply == nil && r.Actions.Split == nil) {
		return errors.New("no pool")
	}
	if r.Actions == nil {
		return nil
	}
	actions := *r.Actions
	r.Actions = &actions
	same := func(of *Route) *Route {
		way := *of
		way.Name, way.ID, way.Index, way.Actions = r.Name, r.ID, r.Index, r.Actions
		return &way
	}
	if a := actions.Ask; a != nil {
		ask := *a
		ask.Route, actions.Ask = same(a.Route), &ask
	}
	if m := actions.Mirror; m != nil {
		mirror, way := *m, same(m.Route)
		way.Actions = nil // a copy is made after them
		mirror.Route, actions.Mirror = way, &mirror
	}
	if actions.Split == nil {
		return nil
	}
	from, s := actions.Split.Ways, &Split{}
	actions.Split = s
	for _, w := range from {
		way := same(w.Route)
		if way.Pool == nil {
			return errors.New("a share without a pool")
		}
		s.Ways = append(s.Ways, Way{way, w.Weight})
		s.total += uint64(w.Weight)
	}
	if s.total == 0 {
		return errors.New("all weights are 0")
	}
	return nil
}

// newRules makes a route's rules, one for each match.
func newRules(route *Route, matches []Match) ([]*rule, error) {
	if len(matches) == 0 {
		matches = []Match{{}}
	}
	var rules []*rule
	for i := range matches {
		r, err := newRule(&matches[i])
		if err != nil {
			return nil, err
		}
		r.route, r.at = route, i
		rules = append(rules, r)
	}
	return rules, nil
}

func newRule(m *Match) (*rule, error) {
	host, err := parseHost(m.Host)
	if err != nil {
		return nil, err
	}
	path, err := parsePath(m.Path)
	if err != nil {
		return nil, err
	}
	r := &rule{host: host, path: path}
	return r, r.rest.read(m)
}

// read takes in what of a match is compared after host and path.
func (c *conditions) read(m *Match) (err error) {
	if m.PathPattern != "" {
		if m.Path != "" {
			return errors.New("a path and a pattern for the path")
		}
		if c.pathRegexp, err = compile(m.PathPattern); err != nil {
			return err
		}
		c.path = m.PathPattern
	}
	if slices.Contains(m.Methods, "") {
		return errors.New("a method is empty")
	}
	c.methods = slices.Clone(m.Methods)
	if c.headers, err = newConditions(m.Headers, "header", asciiLower); err != nil {
		return err
	}
	if c.query, err = newConditions(m.Query, "query parameter", nil); err != nil {
		return err
	}
	if c.cookies, err = newConditions(m.Cookies, "cookie", nil); err != nil {
		return err
	}
	if c.source = slices.Clone(m.Source); len(c.source) > 0 {
		c.sources = &bart.Lite{}
		for _, p := range c.source {
			c.sources.Insert(p)
		}
	}
	if c.serverName, err = parseHost(m.ServerName); err != nil {
		return err
	}
	if m.Subject != nil {
		x, err := newText(*m.Subject)
		if err != nil {
			return err
		}
		c.subject = &x
	}
	return nil
}

// newConditions reads conditions; fold brings their names to one form, if it is not nil.
func newConditions(list []Condition, what string, fold func(string) string) ([]condition, error) {
	var all []condition
	for _, c := range list {
		if c.Name == "" {
			return nil, fmt.Errorf("a %s has no name", what)
		}
		x, err := newText(c.Text)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, c.Name, err)
		}
		if fold != nil {
			c.Name = fold(c.Name)
		}
		all = append(all, condition{c.Name, x})
	}
	return all, nil
}

// patterns counts the regular expressions.
func (c *conditions) patterns() int {
	n := 0
	if c.pathRegexp != nil {
		n++
	}
	for _, list := range [][]condition{c.headers, c.query, c.cookies} {
		for i := range list {
			if list[i].text.kind == Pattern {
				n++
			}
		}
	}
	if c.subject != nil && c.subject.kind == Pattern {
		n++
	}
	return n
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
