package route

import (
	"fmt"
	"slices"
	"strings"
)

// Warning names a route that can never match.
type Warning struct {
	Route  *Route
	By     *Route // the one that takes its requests, or the first of several; nil when there are no such requests
	Reason string
}

// unreachable finds the rules that never apply. rules are in order. A rule can be hidden only by earlier ones with the same
// host and path: every other earlier rule is narrower in one of them, and so leaves something over.
func unreachable(rules []*rule) []Warning {
	var list []Warning
	for i, r := range rules {
		if why := impossible(r); why != "" {
			list = append(list, Warning{r.route, nil, why})
			continue
		}
		first := i
		for first > 0 && rules[first-1].host == r.host && rules[first-1].path == r.path {
			first--
		}
		if by := hidden(&r.rest, rules[first:i]); by != nil {
			list = append(list, Warning{r.route, by, fmt.Sprintf("%s matches everything that it matches, and comes first", by.Name)})
		}
	}
	slices.SortStableFunc(list, func(a, b Warning) int { return a.Route.Index - b.Route.Index })
	return list
}

// hidden returns a route that takes requests from c, when earlier rules take them all: for each method some rule.
func hidden(c *conditions, earlier []*rule) (by *Route) {
	methods := c.methods
	if len(methods) == 0 {
		methods = []string{""} // any: only a rule without methods takes it
	}
	for _, m := range methods {
		i := slices.IndexFunc(earlier, func(r *rule) bool {
			e := &r.rest
			return (len(e.methods) == 0 || slices.Contains(e.methods, m)) && subset(e.headers, c.headers) && subset(e.query, c.query)
		})
		if i < 0 {
			return nil
		}
		if by == nil {
			by = earlier[i].route
		}
	}
	return by
}

func subset(some, all []NameValue) bool {
	for _, x := range some {
		if !slices.Contains(all, x) {
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
