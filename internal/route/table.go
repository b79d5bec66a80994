package route

import (
	"slices"

	"poise/internal/msg"
)

// Table is all routes of all listeners. Any loop may use it; the zero Table matches nothing.
type Table struct {
	routes    []*Route
	listeners []hosts
}

// Routes returns all routes; a route's Index is its place. The slice must not be changed.
func (t *Table) Routes() []*Route { return t.routes }

// Match returns the route for a request that came to a listener, which is given by its place in Build's list. nil: none.
//
// Of all routes that match it is the most special one: by exact host, longest wildcard, no host; then by exact path, longest
// prefix, no path; then one with methods before one without; then by the number of headers, then of query parameters;
// then the first in the file.
func (t *Table) Match(listener int, req *msg.Request) *Route {
	if listener >= len(t.listeners) {
		return nil
	}
	h := &t.listeners[listener]
	if r := h.exact[string(req.Host)].match(req); r != nil {
		return r
	}
	for _, n := range h.lengths {
		at := len(req.Host) - n
		if at <= 0 || req.Host[at] != '.' {
			continue
		}
		if r := h.wide[string(req.Host[at:])].match(req); r != nil {
			return r
		}
	}
	return h.any.match(req)
}

// hosts finds the rules for a host. Only lengths that some wildcard has are looked up, so that a long host costs no more
// than a short one.
type hosts struct {
	exact   map[string]*paths
	wide    map[string]*paths // by what follows the "*"
	lengths []int             // of wide's keys, longest first
	any     *paths
}

// paths finds the rules for a path, in the same way. nil has none.
type paths struct {
	exact   map[string]leaf
	wide    map[string]leaf // by what comes before the "/*"
	lengths []int
	any     leaf
}

// leaf is the rules with one host and one path, in order.
type leaf []*rule

func (p *paths) match(req *msg.Request) *Route {
	if p == nil {
		return nil
	}
	if r := p.exact[string(req.Path)].match(req); r != nil {
		return r
	}
	for _, n := range p.lengths {
		if n > len(req.Path) || n < len(req.Path) && req.Path[n] != '/' {
			continue
		}
		if r := p.wide[string(req.Path[:n])].match(req); r != nil {
			return r
		}
	}
	return p.any.match(req)
}

func (l leaf) match(req *msg.Request) *Route {
	for _, r := range l {
		if r.rest.match(req) {
			return r.route
		}
	}
	return nil
}

// newHosts makes the index of rules, which are in order.
func newHosts(rules []*rule) hosts {
	h := hosts{exact: map[string]*paths{}, wide: map[string]*paths{}}
	for _, r := range rules {
		at := &h.any
		if r.host.set {
			m := h.exact
			if r.host.wide {
				m = h.wide
			}
			p := m[r.host.text]
			if p == nil {
				p = &paths{}
				m[r.host.text] = p
			}
			at = &p
		}
		if *at == nil {
			*at = &paths{}
		}
		(*at).add(r)
	}
	h.lengths = lengths(h.wide)
	for _, m := range []map[string]*paths{h.exact, h.wide, {"": h.any}} {
		for _, p := range m {
			if p != nil {
				p.lengths = lengths(p.wide)
			}
		}
	}
	return h
}

func (p *paths) add(r *rule) {
	if !r.path.set {
		p.any = append(p.any, r)
		return
	}
	m := &p.exact
	if r.path.wide {
		m = &p.wide
	}
	if *m == nil {
		*m = map[string]leaf{}
	}
	(*m)[r.path.text] = append((*m)[r.path.text], r)
}

// lengths returns the lengths of m's keys, each once, longest first.
func lengths[V any](m map[string]V) []int {
	var list []int
	for key := range m {
		list = append(list, len(key))
	}
	slices.Sort(list)
	list = slices.Compact(list)
	slices.Reverse(list)
	return list
}
