package route

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"

	"github.com/gaissmai/bart"

	"poise/internal/msg"
)

// rule is a Match in the form in which requests are compared. Host and path are compared by the index; the rest by match.
type rule struct {
	route *Route
	at    int     // which of its route's matches it is, from 0
	host  pattern // wide: a suffix that begins with a dot
	path  pattern // wide: a prefix without its "/*"
	rest  conditions
}

// pattern is a host or a path: exactly text, or all that text is the wide part of.
type pattern struct {
	set  bool // not set: everything matches
	wide bool
	text string
}

// conditions are what is compared after host and path.
type conditions struct {
	path       string // as pathRegexp has it; empty: no pattern
	pathRegexp *regexp.Regexp
	methods    []string
	headers    []condition // names in lower case
	query      []condition
	cookies    []condition
	source     []netip.Prefix
	sources    *bart.Lite // those, where there are any
	serverName pattern
	subject    *text
}

type condition struct {
	name string
	text text
}

func (c condition) equal(o condition) bool { return c.name == o.name && c.text.equal(&o.text) }

// before orders rules: the first that matches a request is the one that applies.
func (r *rule) before(o *rule) int {
	return cmp.Or(
		r.host.before(o.host),
		r.path.before(o.path),
		r.rest.before(&o.rest),
		cmp.Compare(r.route.Index, o.route.Index),
		cmp.Compare(r.at, o.at),
	)
}

// before puts exact patterns first, then wide ones by length, then none.
func (p pattern) before(o pattern) int {
	return cmp.Or(
		trueFirst(p.set, o.set),
		trueFirst(!p.wide, !o.wide),
		cmp.Compare(wideLen(o), wideLen(p)),
	)
}

func wideLen(p pattern) int {
	if !p.wide {
		return 0
	}
	return len(p.text)
}

// before puts first what looks at more. A pattern for the path is less than any path, and more than none.
func (c *conditions) before(o *conditions) int {
	return cmp.Or(
		trueFirst(c.path != "", o.path != ""),
		trueFirst(len(c.methods) > 0, len(o.methods) > 0),
		cmp.Compare(len(o.headers), len(c.headers)),
		cmp.Compare(len(o.query), len(c.query)),
		cmp.Compare(len(o.cookies), len(c.cookies)),
		trueFirst(len(c.source) > 0, len(o.source) > 0),
		c.serverName.before(o.serverName),
		trueFirst(c.subject != nil, o.subject != nil),
	)
}

func trueFirst(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}

// The statuses that refuse what is too long to be compared.
const (
	uriTooLong     = 414
	headerTooLarge = 431
)

// match compares what host and path leave open.
func (c *conditions) match(l *lookup) bool {
	req := l.req
	if len(c.methods) > 0 && !slices.Contains(c.methods, string(req.Method)) {
		return false
	}
	if c.pathRegexp != nil && !l.pathIs(c.pathRegexp) {
		return false
	}
	for i := range c.headers {
		if x := &c.headers[i]; l.hasField(x) == (x.text.kind == Absent) {
			return false
		}
	}
	for i := range c.query {
		if x := &c.query[i]; l.hasParameter(req.Query, x) == (x.text.kind == Absent) {
			return false
		}
	}
	for i := range c.cookies {
		if x := &c.cookies[i]; l.hasCookie(x) == (x.text.kind == Absent) {
			return false
		}
	}
	if c.sources != nil && !(l.about.From.IsValid() && c.sources.Contains(l.about.From)) {
		return false
	}
	if c.serverName.set && !c.serverName.isName(l.about.ServerName) {
		return false
	}
	return c.subject == nil || l.hasSubject(c.subject)
}

func (l *lookup) pathIs(p *regexp.Regexp) bool {
	if len(l.req.Path) > MaxPatterned {
		l.tooLong = uriTooLong
		return false
	}
	return p.Match(l.req.Path)
}

// hasField tells whether there is a field as wanted; of one that is to be absent, whether there is any.
func (l *lookup) hasField(want *condition) bool {
	fields := l.req.Fields
	for i := range fields {
		if msg.EqualFold(fields[i].Name, want.name) && (want.text.kind == Absent || want.text.match(l, fields[i].Value, headerTooLarge)) {
			return true
		}
	}
	return false
}

// hasCookie is hasField for a cookie.
func (l *lookup) hasCookie(want *condition) bool {
	value, present := l.req.Fields.Cookie(want.name, msg.AnyLength)
	return present && (want.text.kind == Absent || want.text.match(l, value, headerTooLarge))
}

// hasSubject compares the subject of a certificate, which is absent where there is none.
func (l *lookup) hasSubject(want *text) bool {
	if l.about.Identified {
		return want.match(l, l.about.Subject, headerTooLarge)
	}
	return want.kind == Absent
}

// isName tells whether a name in any case is p's.
func (p pattern) isName(name string) bool {
	n := len(name)
	if n > 0 && name[n-1] == '.' {
		n--
	}
	at := n - len(p.text)
	if at < 0 || p.wide != (at > 0) {
		return false
	}
	for i := range len(p.text) {
		if msg.Lower(name[at+i]) != p.text[i] {
			return false
		}
	}
	return true
}
