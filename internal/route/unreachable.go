package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Warning names a route that can never match.
type Warning struct {
	Route  *Route
	By     *Route // the one that takes its requests, or the first of several; nil when there are no such requests
	Reason string
}

// unreachable finds the routes that never apply: none of their rules does. rules are in order. A rule can be hidden only by earlier ones with the same
// host and path: every other earlier rule is narrower in one of them, and so leaves something over.
func unreachable(rules []*rule) []Warning {
	var list []Warning
	alive := map[*Route]bool{}
	type place struct{ host, path pattern }
	before := map[place][]*rule{}
	for _, r := range rules {
		at := place{r.host, r.path}
		if why := impossible(r); why != "" {
			list = append(list, Warning{r.route, nil, why})
		} else if by := hidden(&r.rest, before[at]); by != nil {
			list = append(list, Warning{r.route, by, fmt.Sprintf("%s matches everything that it matches, and comes first", by.Name)})
		} else {
			alive[r.route] = true
		}
		before[at] = append(before[at], r)
	}
	list = slices.DeleteFunc(list, func(w Warning) bool { return alive[w.Route] })
	slices.SortStableFunc(list, func(a, b Warning) int { return a.Route.Index - b.Route.Index })
	return slices.CompactFunc(list, func(a, b Warning) bool { return a.Route == b.Route })
}

// maxCompared is how many earlier rules one is compared with: thousands with one host and path are made by a program, and each would be compared with all.
const maxCompared = 1000

// hidden returns a route that takes requests from c, when earlier rules take them all: for each method some rule.
func hidden(c *conditions, earlier []*rule) (by *Route) {
	earlier = earlier[:min(len(earlier), maxCompared)]
	methods := c.methods
	if len(methods) == 0 {
		methods = []string{""} // any: only a rule without methods takes it
	}
	for _, m := range methods {
		i := slices.IndexFunc(earlier, func(r *rule) bool { return r.rest.takes(c, m) })
		if i < 0 {
			return nil
		}
		if by == nil {
			by = earlier[i].route
		}
	}
	return by
}

// takes tells whether c takes all requests with a method that o matches.
func (c *conditions) takes(o *conditions, method string) bool {
	return (len(c.methods) == 0 || slices.Contains(c.methods, method)) &&
		(c.path == "" || c.path == o.path) &&
		subset(c.headers, o.headers) && subset(c.query, o.query) && subset(c.cookies, o.cookies) &&
		c.takesSources(o) &&
		(!c.serverName.set || c.serverName == o.serverName) &&
		(c.subject == nil || o.subject != nil && c.subject.equal(o.subject))
}

// takesSources tells whether all networks of o's lie in one of c's.
func (c *conditions) takesSources(o *conditions) bool {
	if len(c.source) == 0 {
		return true
	}
	return len(o.source) > 0 && !slices.ContainsFunc(o.source, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(c.source, func(wide netip.Prefix) bool { return wide.Bits() <= p.Bits() && wide.Contains(p.Addr()) })
	})
}

func subset(some, all []condition) bool {
	for _, x := range some {
		if !slices.ContainsFunc(all, x.equal) {
			return false
		}
	}
	return true
}

// impossible says why no normalised path is ever r's, or nothing.
func impossible(r *rule) string {
	path := r.path.text
	for _, c := range path {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`?#\`, c) {
			return fmt.Sprintf("no path holds %q: percent-encode it, or match query parameters with query", c)
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Sprintf("no path holds the segment %q: it is resolved before routes are matched", segment)
		}
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		if why := badEscape(path[i:]); why != "" {
			return why
		}
		i += 2
	}
	return ""
}

// badEscape says why no normalised path holds the escape that s begins with, or nothing. Unreserved characters are decoded, and
// the digits of the others are capitals; those of / and \ stay as they come. (RFC 3986 §6.2.2)
func badEscape(s string) string {
	if len(s) < 3 || fromHex(s[1])|fromHex(s[2]) > 0xf {
		return "no path holds a % without two hex digits"
	}
	escape, c := s[:3], fromHex(s[1])<<4|fromHex(s[2])
	switch {
	case c == 0:
		return "no path holds %00"
	case c == '/' || c == '\\':
		return ""
	case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0:
		return fmt.Sprintf("no path holds %s: write it as %c", escape, c)
	case escape != strings.ToUpper(escape):
		return fmt.Sprintf("no path holds %s: write it as %s", escape, strings.ToUpper(escape))
	}
	return ""
}
