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

// Match finds the route for a request that came to a listener, which is given by its place in Build's list.
//
// Of all routes that match it is the most special one: by exact host, longest wildcard, no host; then by exact path, longest
// prefix, pattern, no path; then one with methods before one without; then by the number of headers, of query parameters, of cookies; then one with source
// before one without, then with a name asked for by TLS, then with a certificate's subject; then the first in the file. (The order of the Gateway API
// as far as that goes.)
func (t *Table) Match(listener int, req *msg.Request, about *About) Found {
	if listener >= len(t.listeners) {
		return Found{}
	}
	l := lookup{req: req, about: about}
	r := t.listeners[listener].match(&l)
	switch {
	case l.tooLong != 0:
		return Found{Refuse: l.tooLong}
	case r == nil:
		return Found{}
	}
	return Found{Route: r.route, Prefix: wideLen(r.path)}
}

// hosts finds the rules for a host. Only lengths that some wildcard has are looked up, so that a long host costs no more
// than a short one.
type hosts struct {
	exact   map[string]*paths
	wide    map[string]*paths // by what follows the "*"
	lengths []int             // of wide's keys, longest first
	any     *paths
}

func (h *hosts) match(l *lookup) *rule {
	host := l.req.Host
	if r := h.exact[string(host)].match(l); r != nil {
		return r
	}
	for _, n := range h.lengths {
		at := len(host) - n
		if at <= 0 || host[at] != '.' {
			continue
		}
		if r := h.wide[string(host[at:])].match(l); r != nil {
			return r
		}
	}
	return h.any.match(l)
}

// leaf is the rules with one host and one path, in order.
type leaf []*rule

func (f leaf) match(l *lookup) *rule {
	for _, r := range f {
		if r.rest.match(l) {
			return r
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
	for suffix := range h.wide {
		h.lengths = append(h.lengths, len(suffix))
	}
	slices.Sort(h.lengths)
	h.lengths = slices.Compact(h.lengths)
	slices.Reverse(h.lengths)
	return h
}
