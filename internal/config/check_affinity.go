package config

import (
	"fmt"
	"strings"
	"time"
)

// affinity checks that there is one kind, and that it makes sense.
func (c *checker) affinity(p *Pool) {
	a := p.Affinity
	kinds := []struct {
		key   string
		field any
	}{{"cookie", &a.Cookie}, {"source", &a.Source}}
	first := ""
	for _, k := range kinds {
		switch {
		case !c.set(k.field):
		case first == "":
			first = k.key
		default:
			c.complain(k.field, fmt.Sprintf("%s and %s are both there", first, k.key), "keep one")
		}
	}
	switch {
	case first == "":
		c.report(c.at[a], "affinity: by what is missing", "write affinity: {cookie: {}} or affinity: {source: {}}")
	case p.Policy.Name == IPHash && !c.broken[&p.Policy]:
		c.warn(c.at[a], "affinity beside policy: ip_hash, which keeps clients on their servers too", "leave one of them out")
	}
	if a.Cookie != nil && !c.broken[a.Cookie] {
		c.cookie(a.Cookie)
	}
}

// minSecret is the fewest bytes of a secret: 128 bits, if they were random.
const minSecret = 16

// cookie checks the affinity cookie: RFC 6265 section 4.1.
func (c *checker) cookie(k *Cookie) {
	if c.good(&k.Name) && !isToken(k.Name) {
		c.complain(&k.Name, fmt.Sprintf("name: %q is not a cookie's name", k.Name), "")
	}
	if c.good(&k.Secret) && len(k.Secret) < minSecret {
		c.complain(&k.Secret, fmt.Sprintf("secret: shorter than %d bytes", minSecret), "")
	}
	if c.good(&k.TTL) && k.TTL%time.Second != 0 {
		c.complain(&k.TTL, fmt.Sprintf("ttl: %s is not in whole seconds", formatDuration(k.TTL)), "")
	}
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
