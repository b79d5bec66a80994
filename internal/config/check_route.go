package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// route checks one route.
func (c *checker) route(r *Route) {
	if c.broken[r] {
		return
	}
	if c.set(&r.Name) {
		c.label(&r.Name, "name")
	}
	if c.set(&r.Pool) {
		c.reference(&r.Pool)
	} else {
		c.report(c.at[r], "a route without a pool", "add pool: NAME")
	}
	if c.set(&r.Upgrades) {
		c.upgrades(r.Upgrades)
	}
	m := &r.Match
	if c.good(&m.Host) {
		host, err := parseMatchHost(m.Host)
		if err != nil {
			c.fault(&m.Host, "host", err)
		}
		m.Host = host
	}
	if c.good(&m.Path) {
		if err := checkMatchPath(m.Path); err != nil {
			c.fault(&m.Path, "path", err)
		}
	}
	if c.good(&m.Methods) && len(m.Methods) == 0 {
		c.complain(&m.Methods, "methods: empty", "leave it out to match every method")
	}
	c.methods(m.Methods)
	c.headers(m.Headers)
	c.distinct(m.Headers, strings.ToLower)
	for i := range m.Query {
		if m.Query[i].Name == "" {
			c.complain(&m.Query[i].Name, "query: an empty name", "")
		}
	}
}

// upgrades checks protocols to upgrade to.
func (c *checker) upgrades(list Strings) {
	seen := map[string]bool{}
	for i := range list {
		list[i] = strings.ToLower(list[i])
		token := list[i]
		switch {
		case !isProtocol(token):
			c.complain(&list[i], fmt.Sprintf("upgrades: %q is not a protocol's name", token), "such as websocket")
		case seen[token]:
			c.complain(&list[i], fmt.Sprintf("upgrades: %q is there twice", token), "")
		case token == "h2c" || token == "h2" || token == "tls" || strings.HasPrefix(token, "http/"):
			c.complain(&list[i], fmt.Sprintf("upgrades: %q would pass requests by Poise's rules", token), "leave it out")
		}
		seen[token] = true
	}
}

// isProtocol tells of a protocol's name, with or without a version (RFC 9110 section 7.8).
func isProtocol(s string) bool {
	name, version, versioned := strings.Cut(s, "/")
	return isToken(name) && (!versioned || isToken(version))
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
	for segment := range strings.SplitSeq(prefix, "/") {
		if plain := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(segment); plain == "." || plain == ".." {
			return &mistake{fmt.Sprintf("%q can never match: %s is resolved before", path, segment), ""}
		}
	}
	return nil
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

// headers checks header fields' names and values.
func (c *checker) headers(pairs Pairs) {
	for i := range pairs {
		p := &pairs[i]
		if !isToken(p.Name) {
			c.complain(&p.Name, fmt.Sprintf("headers: %q is not a header's name", p.Name), "")
		}
		if c.good(&p.Value) && (!isFieldValue(p.Value) || strings.Trim(p.Value, " \t") != p.Value) {
			c.complain(&p.Value, fmt.Sprintf("headers: %q is not a header's value", p.Value), "")
		}
	}
}

// distinct checks that no name is there twice once fold took away what does not matter.
func (c *checker) distinct(pairs Pairs, fold func(string) string) {
	seen := map[string]bool{}
	for i := range pairs {
		p := &pairs[i]
		if seen[fold(p.Name)] && c.good(&p.Name) {
			c.complain(&p.Name, fmt.Sprintf("headers: %s is there twice", p.Name), "case does not matter")
		}
		seen[fold(p.Name)] = true
	}
}

// isToken tells whether s is a token: RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isFieldValue tells whether s may be a field's value: RFC 9110 section 5.5.
func isFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
