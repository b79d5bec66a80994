package config

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"
)

// checker finds what is wrong beyond single values, and brings addresses and hosts to one form. It looks only at fields that are
// good so far, so that no mistake is told twice.
type checker struct {
	*origin
	config *Config
	main   string   // the main file's name, for what is missing as a whole
	pools  []string // the pools' names
}

// maxNamed is how many pools a hint looks through and may list.
const maxNamed = 50

func (c *checker) check() {
	if c.broken[c.config] {
		return
	}
	c.shape()
	c.config.unify()
	for _, l := range c.config.Listeners {
		c.listen(l)
	}
	for _, p := range c.config.Pools {
		c.pool(p)
		c.pools = append(c.pools, p.Name)
	}
	c.config.derive()
	c.names()
	c.namedMatches()
	for _, l := range c.config.Listeners {
		c.target(l)
		c.upgrades(l.Upgrades)
		for _, page := range l.ErrorPages {
			c.errorPage(page)
		}
		for _, r := range l.Routes {
			c.route(r)
		}
	}
	c.zones()
	c.unused()
	c.uselessTimes()
	c.cookies()
	c.bound()
	c.token()
	if c.good(&c.config.AccessLog.Path) && c.config.AccessLog.Path == "" {
		c.complain(&c.config.AccessLog.Path, "path: empty", "write stdout, stderr or a file; enabled: false turns the log off")
	}
}

// token checks where the token goes.
func (c *checker) token() {
	a := &c.config.Admin
	if !c.good(&a.TokenFile) {
		return
	}
	_, unix := a.Address.Unix()
	switch {
	case a.TokenFile == "":
		c.complain(&a.TokenFile, "token_file: empty", "leave it out for the default")
	case !a.Enabled:
		c.warn(c.at[&a.TokenFile], "token_file has no effect: the admin address is turned off", "")
	case unix:
		c.warn(c.at[&a.TokenFile], "token_file has no effect: over a Unix socket file rights decide who may change something", "")
	}
}

// fault reports an error about a field: what it says and, if it is a mistake, its hint.
func (c *checker) fault(field any, key string, err error) {
	hint := ""
	if m, ok := err.(*mistake); ok {
		hint = m.hint
	}
	c.complain(field, key+": "+err.Error(), hint)
}

// entry is a key with the field that it sets.
type entry struct {
	key   string
	field any
}

// oneOf complains of all entries that are there beside the first one, which it returns; empty: there is none. hint says what to do about two of them; nil:
// to keep one.
func (c *checker) oneOf(entries []entry, hint func(first, other string) string) (first string) {
	for _, e := range entries {
		switch {
		case !c.set(e.field):
		case first == "":
			first = e.key
		default:
			what := "keep one"
			if hint != nil {
				what = hint(first, e.key)
			}
			c.complain(e.field, fmt.Sprintf("%s and %s are both there", first, e.key), what)
		}
	}
	return first
}

// shape checks that there is something to listen on and something to send to, in one of the two shapes.
func (c *checker) shape() {
	x := c.config
	short := []entry{{"listen", &x.Listen}}
	single := reflect.ValueOf(&x.Single).Elem()
	for _, f := range fieldsOf(single.Type()) {
		short = append(short, entry{f.name, single.FieldByIndex(f.index).Addr().Interface()})
	}
	long := ""
	switch {
	case c.set(&x.Listeners) || len(x.Listeners) > 0:
		long = "listeners"
	case c.set(&x.Pools) || len(x.Pools) > 0:
		long = "pools"
	case c.set(&x.Include):
		long = "include"
	}
	anyShort := false
	for _, s := range short {
		if !c.set(s.field) {
			continue
		}
		if long != "" && !anyShort {
			to := "into a pool"
			if s.key == "listen" {
				to = "into a listener, as addresses"
			}
			c.complain(s.field, fmt.Sprintf("%s cannot stand beside %s", s.key, long), "move it "+to)
		}
		anyShort = true
	}
	top := Pos{c.main, 1, 1}
	switch {
	case long != "":
		if len(x.Listeners) == 0 && !c.broken[&x.Listeners] && !anyShort {
			c.report(top, "there are no listeners", "add listeners: [{address: :8080, pool: NAME}]")
		}
	case !anyShort:
		c.report(top, "there is nothing to listen on", "the smallest configuration is listen: and servers:")
	case !c.set(&x.Listen):
		c.report(top, "there is nothing to listen on", `add listen: ":8080"`)
	case !c.set(&x.Single.Servers):
		c.report(top, "there are no servers", "add servers: [host:port]")
	}
}

// listen checks a listener's addresses.
func (c *checker) listen(l *Listener) {
	if c.broken[l] {
		return
	}
	if c.set(&l.Address) && c.set(&l.Addresses) && c.at[&l.Address] != c.at[&l.Addresses] {
		c.complain(&l.Address, "address and addresses are both there", "keep addresses")
	}
	for i := range l.Addresses {
		c.address(&l.Addresses[i], "address", toListen)
	}
	if len(l.Addresses) == 0 && !c.broken[&l.Addresses] && !c.broken[&l.Address] {
		c.report(c.at[l], "a listener without an address", `add address: ":8080"`)
	}
	if l.TLS != nil && !c.broken[l.TLS] {
		c.listenerTLS(l.TLS)
	}
	if l.Name != "" || c.set(&l.Name) {
		c.label(&l.Name, "name")
	}
}

// listenerTLS checks that there are certificates, and keys with them, or that Poise is to make one.
func (c *checker) listenerTLS(t *ListenerTLS) {
	switch {
	case len(t.Certificates) == 0 && !t.SelfSigned && !c.broken[&t.Certificates] && !c.broken[&t.SelfSigned]:
		c.report(c.at[t], "tls without a certificate", "add certificates: [{cert: FILE, key: FILE}], or self_signed: true to try it out")
	case len(t.Certificates) > 0 && t.SelfSigned:
		c.complain(&t.SelfSigned, "self_signed beside certificates", "leave one of them out")
	}
	for _, x := range t.Certificates {
		c.certificate(x)
	}
	if x := t.ClientCertificates; x != nil && !c.broken[x] {
		c.clientCertificates(x)
	}
	if c.good(&t.SessionTicketKeys) && t.SessionTicketKeys == "" {
		c.complain(&t.SessionTicketKeys, "session_ticket_keys: empty", "leave it out for keys of its own")
	}
	if x := t.HSTS; x != nil && !c.broken[x] && x.Preload && !c.broken[&x.Preload] && (!x.IncludeSubdomains || x.MaxAge < leastPreload) {
		c.complain(&x.Preload, "preload: the lists take hosts only that tell of a year or more, and of the names below them",
			"add include_subdomains: true; leave max_age out")
	}
}

// leastPreload is the shortest time that makers of browsers take. [hstspreload.org: max-age of at least 31536000]
const leastPreload = 365 * 24 * time.Hour

// clientCertificates checks that there is something to check them by.
func (c *checker) clientCertificates(x *ClientCertificates) {
	switch {
	case c.broken[&x.CA]:
	case c.set(&x.CA) && x.CA == "":
		c.complain(&x.CA, "ca: empty", "")
	case x.CA == "":
		c.report(c.at[x], "client_certificates without ca", "add ca: FILE, in PEM")
	}
	if c.good(&x.CRL) && x.CRL == "" {
		c.complain(&x.CRL, "crl: empty", "leave it out where there is no list")
	}
}

// address checks an address and brings it to its one form.
func (c *checker) address(a *Address, key string, as role) {
	if c.broken[a] || !c.set(a) {
		return
	}
	parsed, err := parseAddress(string(*a), as)
	if err != nil {
		c.fault(a, key, err)
		return
	}
	*a = parsed
}

// maxName is the longest name of a listener, route or pool, in bytes: they are labels of every metric.
const maxName = 128

// label checks a name that people give: it goes into logs, metrics and commands.
func (c *checker) label(name *string, key string) {
	if !c.good(name) {
		return
	}
	switch {
	case *name == "":
		c.complain(name, key+": empty", "")
	case len(*name) > maxName:
		c.complain(name, fmt.Sprintf("%s: longer than %d bytes", key, maxName), "")
	case strings.ContainsFunc(*name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }):
		c.complain(name, fmt.Sprintf("%s: %q has characters other than letters, digits and signs", key, *name), "")
	}
}

// names checks that no two listeners, routes, pools or addresses are the same.
func (c *checker) names() {
	listeners, routes, pools := map[string]Pos{}, map[string]Pos{}, map[string]Pos{}
	for _, l := range c.config.Listeners {
		c.once(listeners, l.Name, "listener", &l.Name, l)
		for _, r := range l.Routes {
			c.once(routes, r.Name, "route", &r.Name, r)
		}
	}
	for _, p := range c.config.Pools {
		c.once(pools, p.Name, "pool", &p.Name, p)
	}
}

// once reports a name that is in seen already. The complaint stands at the name, or at what it names where that is not given.
func (c *checker) once(seen map[string]Pos, name, what string, field *string, named any) {
	at, ok := c.at[field]
	if !ok {
		at = c.at[named]
	}
	if name == "" || c.broken[field] || c.broken[named] {
		return
	}
	before, twice := seen[name]
	switch {
	case !twice:
		seen[name] = at
	case !ok && what == "listener":
		return // named after its address, which is reported itself
	default:
		c.report(at, fmt.Sprintf("the %s %q is there twice", what, name), "first in "+c.where(before, at))
	}
}

// where says a place in words, for one who reads at another place.
func (c *checker) where(p, from Pos) string {
	if p.File != from.File {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("line %d", p.Line)
}

// bound checks that no address is listened on twice.
func (c *checker) bound() {
	seen := map[string]Pos{}
	for _, l := range c.config.Listeners {
		for i := range l.Addresses {
			c.bind(seen, &l.Addresses[i])
		}
	}
	admin := &c.config.Admin
	c.address(&admin.Address, "address", toListen)
	if admin.Enabled {
		c.bind(seen, &admin.Address)
	}
}

func (c *checker) bind(seen map[string]Pos, a *Address) {
	if c.broken[a] || *a == "" {
		return
	}
	host, port := a.HostPort()
	if _, unix := a.Unix(); !unix && port == 0 {
		return
	}
	at, named := c.at[a], string(*a)
	same := []string{named}
	for _, everywhere := range []string{"0.0.0.0", "::"} { // :80 takes both
		wild := net.JoinHostPort(everywhere, fmt.Sprint(port))
		if host == "" && port != 0 {
			same = append(same, wild)
		} else if host == everywhere {
			same = append(same, net.JoinHostPort("", fmt.Sprint(port)))
		}
	}
	for _, s := range same {
		if before, twice := seen[s]; twice {
			if at.Line == 0 { // the admin address's default
				at = before
			}
			c.report(at, fmt.Sprintf("the address %s is listened on twice", named), "first in "+c.where(before, at))
			break
		}
	}
	if _, twice := seen[named]; !twice {
		seen[named] = at
	}
}

// target checks where a listener's requests go.
func (c *checker) target(l *Listener) {
	if c.broken[l] {
		return
	}
	redirects := l.RedirectToHTTPS != 0
	switch {
	case redirects && l.TLS != nil && c.good(&l.RedirectToHTTPS):
		c.complain(&l.RedirectToHTTPS, "redirect_to_https: the listener speaks HTTPS itself", "give it to the one on port 80")
	case redirects && c.set(&l.Pool) && c.good(&l.RedirectToHTTPS):
		c.complain(&l.RedirectToHTTPS, "redirect_to_https takes what pool takes", "keep one")
	}
	if c.set(&l.Pool) {
		c.reference(&l.Pool)
	} else if l.Pool == "" && !redirects && len(l.Routes) == 0 && !c.broken[&l.Routes] && !c.broken[&l.Pool] && !c.broken[&l.RedirectToHTTPS] {
		c.report(c.at[l], "a listener with neither pool nor routes", "add pool: NAME")
	}
}

// reference checks that a pool exists.
func (c *checker) reference(name *string) {
	if !c.good(name) || slices.Contains(c.pools, *name) || c.broken[&c.config.Pools] {
		return
	}
	hint := "there are no pools"
	if len(c.pools) > 0 {
		hint = didYouMean(*name, c.pools[:min(len(c.pools), maxNamed)])
	}
	c.complain(name, fmt.Sprintf("pool: there is no pool %q", *name), hint)
}

// unused warns of pools that nothing refers to.
func (c *checker) unused() {
	used := map[string]bool{}
	for _, l := range c.config.Listeners {
		used[l.Pool] = true
		if c.broken[&l.Pool] || c.broken[&l.Routes] || c.broken[l] || l.Pool == "" && l.RedirectToHTTPS == 0 && len(l.Routes) == 0 {
			return // which pool was meant is not known
		}
		for _, r := range l.Routes {
			if c.broken[&r.Pool] || c.broken[&r.Split] || c.broken[r] || r.ForwardAuth != nil && c.broken[&r.ForwardAuth.Pool] ||
				r.Mirror != nil && c.broken[&r.Mirror.Pool] {
				return
			}
			for _, pool := range r.Pools() {
				used[pool] = true
			}
		}
	}
	for _, p := range c.config.Pools {
		if !used[p.Name] && len(c.config.Listeners) > 0 {
			c.warn(c.at[&p.Name], fmt.Sprintf("the pool %q is never used", p.Name), "")
		}
	}
}
