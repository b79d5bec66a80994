package config

import (
	"fmt"
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
	c.end(r)
	if c.set(&r.Upgrades) {
		c.upgrades(r.Upgrades)
	}
	if r.Match != nil && len(r.Match) == 0 && c.good(&r.Match) {
		c.complain(&r.Match, "match: an empty list matches nothing", "leave it out to match every request")
	}
	for _, m := range r.Match {
		c.match(m)
	}
	c.actions(r)
	if r.Retry != nil {
		c.retry(r.Retry, r.Retry, true)
	}
}

// end checks that one thing answers the route's requests.
func (c *checker) end(r *Route) {
	what := c.oneOf([]entry{{"pool", &r.Pool}, {"split", &r.Split}, {"redirect", r.Redirect}, {"reply", r.Reply}}, nil)
	switch what {
	case "":
		c.report(c.at[r], "a route without a pool", "add pool: NAME, or split, redirect or reply")
	case "pool":
		c.reference(&r.Pool)
	case "split":
		c.split(r)
	}
}

// split checks the shares of a route.
func (c *checker) split(r *Route) {
	if c.broken[&r.Split] {
		return
	}
	seen, total := map[string]bool{}, 0
	for _, s := range r.Split {
		total += s.Weight
		switch {
		case c.broken[s]:
			total++
			continue
		case !c.set(&s.Pool):
			c.report(c.at[s], "a share without a pool", "add pool: NAME")
			continue
		case seen[s.Pool] && c.good(&s.Pool):
			c.complain(&s.Pool, fmt.Sprintf("split: the pool %q is there twice", s.Pool), "give it both weights")
		}
		seen[s.Pool] = true
		c.reference(&s.Pool)
	}
	if total == 0 {
		c.complain(&r.Split, "split: no share has a weight", "give one a weight of 1 or more")
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
