package config

import (
	"fmt"
	"strings"
	"time"
)

// affinity checks that there is one kind, and that it makes sense.
func (c *checker) affinity(p *Pool) {
	a := p.Affinity
	first := c.oneOf([]entry{{"cookie", &a.Cookie}, {"source", &a.Source}, {"hash", &a.Hash}}, nil)
	switch {
	case first == "":
		c.report(c.at[a], "affinity: by what is missing", "write affinity: {cookie: {}}, {source: {}} or {hash: {header: x-user}}")
	case first != "hash" && p.Policy.Name == IPHash && !c.broken[&p.Policy]: // beside hash it is for clients without the value
		c.warn(c.at[a], "affinity beside policy: ip_hash, which keeps clients on their servers too", "leave one of them out")
	}
	if a.Cookie != nil && !c.broken[a.Cookie] {
		c.cookie(a.Cookie)
	}
	if a.Hash != nil && !c.broken[a.Hash] {
		c.hash(a.Hash)
	}
}

// hash checks what a client is known by.
func (c *checker) hash(h *Hash) {
	if c.oneOf([]entry{{"header", &h.Header}, {"cookie", &h.Cookie}}, nil) == "" {
		c.report(c.at[h], "hash: of what is missing", "add header: x-user or cookie: session")
	}
	if c.good(&h.Header) {
		switch {
		case !isToken(h.Header):
			c.complain(&h.Header, fmt.Sprintf("header: %q is not a header's name", h.Header), "")
		case strings.EqualFold(h.Header, "cookie"):
			c.warn(c.at[&h.Header], "header: all of a client's cookies together are the value", "name one: hash: {cookie: session}")
		case strings.EqualFold(h.Header, "x-forwarded-for"), strings.EqualFold(h.Header, "forwarded"):
			c.warn(c.at[&h.Header], "header: clients write what they like there", "affinity: {source: {}} goes by the address that trusted_proxies tell")
		}
	}
	if c.good(&h.Cookie) && !isToken(h.Cookie) {
		c.complain(&h.Cookie, fmt.Sprintf("cookie: %q is not a cookie's name", h.Cookie), "")
	}
	c.secret(&h.Secret)
}

// secret checks that a secret is long enough.
func (c *checker) secret(s *Secret) {
	if c.good(s) && len(*s) < minSecret {
		c.complain(s, fmt.Sprintf("secret: shorter than %d bytes", minSecret), "")
	}
}

// minSecret is the fewest bytes of a secret: 128 bits, if they were random.
const minSecret = 16

// cookie checks the affinity cookie: RFC 6265 section 4.1.
func (c *checker) cookie(k *Cookie) {
	if c.good(&k.Name) && !isToken(k.Name) {
		c.complain(&k.Name, fmt.Sprintf("name: %q is not a cookie's name", k.Name), "")
	}
	c.secret(&k.Secret)
	c.cookieTimes(k)
	if c.good(&k.Domain) {
		domain := strings.TrimPrefix(k.Domain, ".")
		if err := checkHostName(domain); err != nil {
			c.fault(&k.Domain, "domain", err)
		}
		k.Domain = strings.ToLower(domain)
	}
	if c.good(&k.Path) {
		if !strings.HasPrefix(k.Path, "/") || strings.Contains(k.Path, ";") || !isFieldValue(k.Path) {
			c.complain(&k.Path, fmt.Sprintf("path: %q is not a cookie's path", k.Path), "it begins with / and has no semicolon")
		}
	}
	if k.SameSite == "none" && !k.Secure && !c.broken[&k.SameSite] && !c.broken[&k.Secure] {
		c.complain(&k.SameSite, "same_site: none needs secure: true", "browsers drop the cookie otherwise")
	}
	for _, prefix := range []string{"__Secure-", "__Host-"} {
		if strings.HasPrefix(k.Name, prefix) && !k.Secure && c.good(&k.Name) {
			c.complain(&k.Name, fmt.Sprintf("name: %s needs secure: true", prefix), "browsers drop the cookie otherwise")
		}
	}
}

// cookieTimes checks how long the cookie is kept and holds.
func (c *checker) cookieTimes(k *Cookie) {
	for _, x := range []struct {
		key string
		d   *time.Duration
	}{{"ttl", &k.TTL}, {"idle", &k.Idle}, {"life", &k.Life}} {
		if c.good(x.d) && *x.d%time.Second != 0 {
			c.complain(x.d, fmt.Sprintf("%s: %s is not in whole seconds", x.key, formatDuration(*x.d)), "")
		}
	}
	kept := k.TTL > 0 && !c.broken[&k.TTL]
	switch idle, life := c.good(&k.Idle) && k.Idle > 0, c.good(&k.Life) && k.Life > 0; {
	case idle && life && k.Life <= k.Idle:
		c.warn(c.at[&k.Idle], fmt.Sprintf("idle has no effect: life (%s) is not longer", formatDuration(k.Life)), "make idle shorter than life")
	case idle && kept && k.TTL <= k.Idle:
		c.warn(c.at[&k.Idle], fmt.Sprintf("idle has no effect: clients forget the cookie after ttl (%s)", formatDuration(k.TTL)), "make ttl longer than idle")
	case life && kept && k.TTL <= k.Life && k.Idle == 0: // with idle the cookie is set again, and the ttl begins anew
		c.warn(c.at[&k.Life], fmt.Sprintf("life has no effect: clients forget the cookie after ttl (%s)", formatDuration(k.TTL)), "make ttl longer than life")
	}
}

// cookies warns of pools whose cookies replace each other: who asks one and then the other comes back with a cookie that means nothing.
func (c *checker) cookies() {
	for _, l := range c.config.Listeners {
		type jar struct{ host, name, path, domain string } // as browsers tell cookies apart
		first := map[jar]*Pool{}
		look := func(host, pool string) {
			p := c.config.Pools.Get(pool)
			if p == nil || p.Affinity == nil || p.Affinity.Cookie == nil || c.broken[p.Affinity] || c.broken[p.Affinity.Cookie] {
				return
			}
			k := p.Affinity.Cookie
			j := jar{host, k.Name, k.Path, k.Domain}
			if k.Domain != "" {
				j.host = ""
			}
			if first[j] == nil {
				first[j] = p
			} else if first[j] != p {
				message := fmt.Sprintf("cookie: it replaces that of the pool %q, which has the same name", first[j].Name)
				c.warn(c.at[&p.Affinity.Cookie], message, "give each pool's cookie a name of its own")
			}
		}
		look("", l.Pool)
		for _, r := range l.Routes {
			for _, host := range r.hosts() {
				if r.Pool != "" { // pools of a split may share a cookie: each knows its own
					look(host, r.Pool)
				}
			}
		}
	}
}
