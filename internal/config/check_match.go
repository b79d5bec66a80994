package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// MaxRegex is the longest regular expression, in bytes.
const MaxRegex = 512

// namedMatches checks the matches that have names.
func (c *checker) namedMatches() {
	seen := map[string]Pos{}
	for _, m := range c.config.Matches {
		c.label(&m.Name, "a match's name")
		c.once(seen, m.Name, "match", &m.Name, m)
		if c.set(&m.Use) {
			c.complain(&m.Use, "use: a match that has a name cannot use another one", "")
		}
		c.match(&m.Match)
	}
}

// match checks what a request must have, and finds the match that it uses.
func (c *checker) match(m *Match) {
	if c.broken[m] {
		return
	}
	if c.good(&m.Host) {
		m.Host = c.matchHost(&m.Host, "host")
	}
	if c.good(&m.Path) {
		if err := checkMatchPath(m.Path); err != nil {
			c.fault(&m.Path, "path", err)
		}
	}
	if c.regex(&m.PathRegex, "path_regex") && c.set(&m.Path) {
		c.complain(&m.PathRegex, "path and path_regex are both there", "keep one")
	}
	if c.good(&m.Methods) && len(m.Methods) == 0 {
		c.complain(&m.Methods, "methods: empty", "leave it out to match every method")
	}
	c.methods(m.Methods)
	c.conditions(m.Headers, "headers", true)
	c.distinct(m.Headers.names())
	c.conditions(m.Cookies, "cookies", true)
	c.conditions(m.Query, "query", false)
	if c.good(&m.Source) && len(m.Source) == 0 {
		c.complain(&m.Source, "source: empty", "leave it out to match every address")
	}
	if t := &m.TLS; !c.broken[t] {
		if c.good(&t.ServerName) {
			t.ServerName = c.matchHost(&t.ServerName, "server_name")
		}
		c.text(&t.Subject, "subject")
		if c.good(&t.Subject) && t.Subject == (Text{}) {
			c.complain(&t.Subject, "subject: empty", "write {absent: true} for clients without a certificate")
		}
	}
	if c.good(&m.Use) && c.set(&m.Use) {
		c.use(m)
	}
}

// use finds the match that another one uses. What can be there but once must not stand in both.
func (c *checker) use(m *Match) {
	named := c.config.Matches.Get(m.Use)
	if named == nil {
		var names []string
		for _, n := range c.config.Matches {
			names = append(names, n.Name)
		}
		hint := "there are no matches at the top of the file"
		if len(names) > 0 {
			hint = didYouMean(m.Use, names[:min(len(names), maxNamed)])
		}
		c.complain(&m.Use, fmt.Sprintf("use: there is no match %q", m.Use), hint)
		return
	}
	used := &named.Match
	for _, x := range []struct {
		key        string
		own, other any
	}{
		{"host", &m.Host, &used.Host},
		{"path", &m.Path, &used.Path},
		{"path_regex", &m.PathRegex, &used.PathRegex},
		{"path", &m.Path, &used.PathRegex},
		{"path_regex", &m.PathRegex, &used.Path},
		{"methods", &m.Methods, &used.Methods},
		{"source", &m.Source, &used.Source},
		{"server_name", &m.TLS.ServerName, &used.TLS.ServerName},
		{"subject", &m.TLS.Subject, &used.TLS.Subject},
	} {
		if c.set(x.own) && c.set(x.other) {
			c.complain(x.own, fmt.Sprintf("%s: the match %q has one, too", x.key, m.Use), "a request cannot meet two: keep one")
		}
	}
	m.Used = used
}

// conditions checks what values must be. tokens: names are tokens, and values those of fields.
func (c *checker) conditions(list Conditions, key string, tokens bool) {
	for i := range list {
		x := &list[i]
		switch {
		case tokens && !isToken(x.Name):
			c.complain(&x.Name, fmt.Sprintf("%s: %q is not a name", key, x.Name), "")
		case x.Name == "":
			c.complain(&x.Name, key+": an empty name", "")
		}
		c.text(&x.Text, key)
		for _, value := range []*string{&x.Text.Exact, &x.Text.Prefix} {
			if tokens && c.good(value) && (!isFieldValue(*value) || strings.Trim(*value, " \t") != *value) {
				c.complain(value, fmt.Sprintf("%s: %q is not a value that can come", key, *value), "")
			}
		}
	}
}

// text checks that a value is compared in one way.
func (c *checker) text(t *Text, key string) {
	if c.broken[t] || !c.set(t) {
		return
	}
	first := c.oneOf([]entry{{"exact", &t.Exact}, {"prefix", &t.Prefix}, {"regex", &t.Regex}, {"present", &t.Present}, {"absent", &t.Absent}}, nil)
	switch {
	case first == "":
		c.report(c.at[t], key+": nothing to compare with", "write a value, or {present: true}")
	case first == "present" && !t.Present && c.good(&t.Present):
		c.complain(&t.Present, "present: false says nothing", "write absent: true, if there must be none")
	case first == "absent" && !t.Absent && c.good(&t.Absent):
		c.complain(&t.Absent, "absent: false says nothing", "write present: true, if there must be one")
	case first == "prefix" && t.Prefix == "" && c.good(&t.Prefix):
		c.complain(&t.Prefix, "prefix: empty", "write present: true")
	}
	c.regex(&t.Regex, "regex")
}

// regex checks a regular expression, and tells whether there is one.
func (c *checker) regex(pattern *string, key string) bool {
	if !c.set(pattern) || !c.good(pattern) {
		return false
	}
	switch _, err := regexp.Compile(*pattern); {
	case *pattern == "":
		c.complain(pattern, key+": empty", "")
	case len(*pattern) > MaxRegex:
		c.complain(pattern, fmt.Sprintf("%s: longer than %d bytes", key, MaxRegex), "")
	case err != nil:
		c.complain(pattern, fmt.Sprintf("%s: %s", key, strings.TrimPrefix(err.Error(), "error parsing regexp: ")), "the syntax is RE2's")
	default:
		if _, err := regexp.Compile("(?:" + *pattern + ")"); err != nil {
			c.complain(pattern, fmt.Sprintf("%s: %q does not stand alone", key, *pattern), "the syntax is RE2's")
		}
	}
	return true
}

// matchHost brings a host to match to its one form.
func (c *checker) matchHost(host *string, key string) string {
	parsed, err := parseMatchHost(*host)
	if err != nil && c.set(host) {
		c.fault(host, key, err)
	}
	return parsed
}

// parseMatchHost brings a host to match to the form that requests are compared in: lower case, no final dot.
func parseMatchHost(text string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(text, "."))
	name, wild := strings.CutPrefix(host, "*.")
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case host == "":
		return "", &mistake{"empty", "leave it out to match every host"}
	case host == "*":
		return "", &mistake{`"*" is not a host`, "leave it out to match every host"}
	case err == nil && addr.Is6():
		return "[" + addr.String() + "]", nil
	case err == nil:
		return addr.String(), nil
	case strings.Contains(name, "*"):
		return "", &mistake{fmt.Sprintf("%q: a * can only be the whole first part", text), "write *.example.com"}
	case strings.Contains(host, "://"):
		return "", &mistake{fmt.Sprintf("%q is a URL, not a host", text), ""}
	case strings.Contains(host, ":"):
		before, _, _ := strings.Cut(host, ":")
		return "", &mistake{fmt.Sprintf("%q has a port", text), "write " + before + ": every port matches"}
	case strings.Contains(host, "/"):
		before, after, _ := strings.Cut(host, "/")
		return "", &mistake{fmt.Sprintf("%q has a path", text), "write " + before + ", and path: /" + after}
	}
	if err := checkHostName(name); err != nil {
		return "", err
	}
	if wild {
		return "*." + name, nil
	}
	return name, nil
}

// checkMatchPath holds a path to match against what a normalised path can be: anything else would never match.
func checkMatchPath(path string) error {
	prefix, _ := strings.CutSuffix(path, "/*")
	switch {
	case path == "":
		return &mistake{"empty", "leave it out to match every path"}
	case path == "*":
		return &mistake{`"*" does not begin with /`, "write /*"}
	case !strings.HasPrefix(path, "/"):
		return &mistake{fmt.Sprintf("%q does not begin with /", path), "write /" + path}
	case strings.Contains(prefix, "*"):
		hint := "write the path up to there, with /* at the end"
		if before, ok := strings.CutSuffix(path, "*"); ok && !strings.Contains(before, "*") {
			hint = "write " + before + "/*"
		}
		return &mistake{fmt.Sprintf("%q: a * can only be a whole last part", path), hint}
	case strings.ContainsAny(path, "?#"):
		return &mistake{fmt.Sprintf("%q is more than a path", path), "parameters are matched by query:"}
	}
	for i, c := range []byte(path) {
		switch {
		case c <= ' ' || c >= 0x7f:
			return &mistake{fmt.Sprintf("%q has characters that are not in a path", path), "write " + (&url.URL{Path: path}).EscapedPath()}
		case c == '%' && (len(path) < i+3 || !isHex(path[i+1]) || !isHex(path[i+2])):
			return &mistake{fmt.Sprintf("%q has a %% without two hexadecimal digits", path), "write %25 for the sign itself"}
		}
	}
	if segment := dotSegment(prefix); segment != "" {
		return &mistake{fmt.Sprintf("%q can never match: %s is resolved before", path, segment), ""}
	}
	return nil
}

// dotSegment is the first segment of a path that would be resolved, or empty.
func dotSegment(path string) string {
	for segment := range strings.SplitSeq(path, "/") {
		if plain := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(segment); plain == "." || plain == ".." {
			return segment
		}
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// methods checks that methods are tokens in upper case, each once.
func (c *checker) methods(methods Strings) {
	seen := map[string]bool{}
	for i := range methods {
		m := &methods[i]
		switch upper := strings.ToUpper(*m); {
		case c.broken[m]:
		case !isToken(*m):
			c.complain(m, fmt.Sprintf("methods: %q is not a method", *m), "")
		case *m != upper:
			c.complain(m, fmt.Sprintf("methods: %q never comes: methods are in upper case", *m), "write "+upper)
		case seen[*m]:
			c.complain(m, fmt.Sprintf("methods: %s is there twice", *m), "")
		default:
			seen[*m] = true
		}
	}
}

// distinct checks that no header's name is there twice in any case.
func (c *checker) distinct(names []*string) {
	seen := map[string]bool{}
	for _, name := range names {
		lower := strings.ToLower(*name)
		if seen[lower] && c.good(name) {
			c.complain(name, fmt.Sprintf("headers: %s is there twice", *name), "case does not matter")
		}
		seen[lower] = true
	}
}

func (p Pairs) names() (all []*string) {
	for i := range p {
		all = append(all, &p[i].Name)
	}
	return all
}

func (c Conditions) names() (all []*string) {
	for i := range c {
		all = append(all, &c[i].Name)
	}
	return all
}
