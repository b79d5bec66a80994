package config

import (
	"fmt"
	"slices"
	"strings"
)

// actions checks what a route does beside sending its requests to a pool.
func (c *checker) actions(r *Route) {
	if x := r.Redirect; x != nil && !c.broken[x] {
		c.redirect(r, x)
	}
	if x := r.Reply; x != nil && !c.broken[x] {
		c.reply(x)
	}
	if x := r.Access; x != nil && !c.broken[x] && !c.set(&x.Allow) && !c.set(&x.Deny) {
		c.report(c.at[x], "access without allow and deny", "add allow: [NETWORK, ...]")
	} else if x != nil && c.good(&x.Allow) && len(x.Allow) == 0 {
		c.complain(&x.Allow, "allow: empty", "leave it out to serve all that deny leaves; write deny: [0.0.0.0/0, \"::/0\"] to serve nobody")
	}
	if x := r.RateLimit; x != nil && !c.broken[x] {
		c.rateLimit(x)
	}
	if x := r.BasicAuth; x != nil && !c.broken[x] {
		if !c.set(&x.UsersFile) {
			c.report(c.at[x], "basic_auth without users_file", "add users_file: FILE, as htpasswd -B writes it")
		}
		if c.good(&x.Realm) && strings.ContainsFunc(x.Realm, func(r rune) bool { return r < ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
			c.complain(&x.Realm, fmt.Sprintf("realm: %q has characters other than letters, digits and signs", x.Realm), "")
		}
	}
	if x := r.CORS; x != nil && !c.broken[x] {
		c.cors(x)
	}
	if x := r.InFlightLimit; x != nil && !c.broken[x] {
		if !c.set(&x.Requests) {
			c.report(c.at[x], "in_flight_limit without requests", "add requests: 10")
		}
		c.limitKey(&x.LimitKey)
	}
	if x := r.Rewrite; x != nil && !c.broken[x] {
		c.rewrite(r, x)
	}
	c.beside(r)
	c.edits(r.RequestHeaders, "request_headers")
	c.edits(r.ResponseHeaders, "response_headers")
	if r.Redirect == nil && r.Reply == nil {
		return
	}
	for _, x := range []struct {
		key   string
		field any
	}{
		{"rewrite", r.Rewrite},
		{"request_headers", r.RequestHeaders},
		{"retry", r.Retry},
		{"max_body", &r.MaxBody},
		{"compress", r.Compress},
		{"mirror", r.Mirror},
	} {
		if c.set(x.field) {
			c.warn(c.at[x.field], x.key+" has no effect: no server gets the route's requests", "")
		}
	}
}

// redirect checks where clients are sent. They must not choose it themselves: a link to a trusted site could lead anywhere.
func (c *checker) redirect(r *Route, x *Redirect) {
	if c.good(&x.Status) && !slices.Contains([]int{301, 302, 303, 307, 308}, x.Status) {
		c.complain(&x.Status, fmt.Sprintf("status: %d is no redirect", x.Status), "one of 301, 302, 303, 307, 308")
	}
	if !c.set(&x.Scheme) && !c.set(&x.Host) && !c.set(&x.Port) && !c.set(&x.Path) && !c.set(&x.Prefix) && !c.set(&x.Query) {
		c.report(c.at[x], "a redirect to where the client is already", "add scheme, host, port, path, prefix or query")
	}
	for _, p := range c.template(&x.Host, "host") {
		if p.Fact != "" && p.Fact != "host" {
			c.complain(&x.Host, fmt.Sprintf("host: {%s} would let clients choose where they are sent", p.Fact), "only {host} can be in it")
			break
		}
	}
	asked := !c.set(&x.Host) && (c.set(&x.Scheme) || c.set(&x.Port)) || strings.Contains(string(x.Host), "{host}")
	if asked && !c.broken[&x.Host] && slices.Contains(r.hosts(), "") {
		c.report(c.at[x], "redirect: the host would be any that a client says", "give host here, or to each match of the route")
	}
	c.path(r, &x.Path, &x.Prefix)
	c.template(&x.Query, "query")
}

// reply checks a fixed answer.
func (c *checker) reply(x *Reply) {
	none := x.Status == 204 || x.Status == 304
	c.oneOf([]entry{{"body", &x.Body}, {"body_file", &x.BodyFile}}, nil)
	switch {
	case none && (c.set(&x.Body) || c.set(&x.BodyFile)):
		c.report(c.at[x], fmt.Sprintf("reply: an answer with status %d has no body", x.Status), "leave the body out")
	case c.good(&x.BodyFile) && x.BodyFile == "":
		c.complain(&x.BodyFile, "body_file: empty", "")
	}
	c.contentType(&x.ContentType)
}

// errorPage checks what stands in place of Poise's own text.
func (c *checker) errorPage(x *ErrorPage) {
	if c.broken[x] {
		return
	}
	if len(x.Status) == 0 && !c.broken[&x.Status] {
		c.report(c.at[x], "an error page without a status", "add status: 500-599")
	}
	if i := slices.IndexFunc(x.Status, func(s StatusRange) bool { return s.First < 400 }); i >= 0 && c.good(&x.Status) {
		c.complain(&x.Status, fmt.Sprintf("status: %s is no error", x.Status[i]), "write statuses from 400 on")
	}
	if c.oneOf([]entry{{"body", &x.Body}, {"body_file", &x.BodyFile}}, nil) == "" {
		c.report(c.at[x], "an error page without a body", "add body_file: FILE")
	}
	c.contentType(&x.ContentType)
}

func (c *checker) contentType(t *string) {
	if c.good(t) && (*t == "" || !isFieldValue(*t)) {
		c.complain(t, fmt.Sprintf("content_type: %q is not a type", *t), "such as text/html; charset=utf-8")
	}
}

// mostPerSecond is the highest rate that is counted.
const mostPerSecond = 1_000_000

func (c *checker) rateLimit(x *RateLimit) {
	switch {
	case !c.set(&x.Requests):
		c.report(c.at[x], "rate_limit without requests", "add requests: 100")
	case c.good(&x.Requests) && !c.broken[&x.Per] && float64(x.Requests)/x.Per.Seconds() > mostPerSecond:
		c.complain(&x.Requests, fmt.Sprintf("requests: %d in %s are more than a million a second", x.Requests, formatDuration(x.Per)), "leave rate_limit out")
	}
	c.limitKey(&x.LimitKey)
}

func (c *checker) limitKey(k *LimitKey) {
	switch {
	case k.By == "header" && !c.set(&k.Header) && !c.broken[&k.By]:
		c.complain(&k.By, "by: header, but no header is named", "add header: NAME")
	case k.By != "header" && c.good(&k.Header) && !c.broken[&k.By]:
		c.complain(&k.Header, "header has no effect: by is "+k.By, "write by: header")
	case c.good(&k.Header) && !isToken(k.Header):
		c.complain(&k.Header, fmt.Sprintf("header: %q is not a header's name", k.Header), "")
	}
	if k.By != "client" && c.good(&k.IPv6Prefix) {
		c.warn(c.at[&k.IPv6Prefix], "ipv6_prefix has no effect: by is "+k.By, "")
	}
}

// cors checks which origins may use a route.
func (c *checker) cors(x *CORS) {
	if len(x.Origins) == 0 && !c.broken[&x.Origins] {
		c.report(c.at[x], "cors without origins", "add origins: [https://app.example.com]")
	}
	for i := range x.Origins {
		o := &x.Origins[i]
		switch scheme, host, ok := strings.Cut(*o, "://"); {
		case *o == "*" && x.Credentials:
			c.complain(o, "origins: * with credentials would let every page act for the user", "name the origins")
		case *o == "*" || *o == "null":
		case !ok || scheme == "" || host == "" || *o != strings.ToLower(*o) || strings.ContainsAny(host, "/?#@ "),
			strings.Contains(strings.TrimPrefix(host, "*."), "*"):
			c.complain(o, fmt.Sprintf("origins: %q is not an origin", *o), "such as https://app.example.com, in lower case and without a path")
		}
	}
	c.methods(x.Methods)
	for key, names := range map[string]Strings{"headers": x.Headers, "expose": x.Expose} {
		for i := range names {
			if !isToken(names[i]) {
				c.complain(&names[i], fmt.Sprintf("%s: %q is not a header's name", key, names[i]), "")
			}
		}
	}
}

// rewrite checks what servers are asked for.
func (c *checker) rewrite(r *Route, x *Rewrite) {
	if !c.set(&x.Host) && !c.set(&x.Path) && !c.set(&x.Prefix) {
		c.report(c.at[x], "a rewrite that changes nothing", "add host, path or prefix")
	}
	c.template(&x.Host, "host")
	if c.good(&x.Host) && x.Host == "" {
		c.complain(&x.Host, "host: empty", "")
	}
	c.path(r, &x.Path, &x.Prefix)
}

// path checks what stands in place of a path.
func (c *checker) path(r *Route, path *Template, prefix *string) {
	if c.set(path) && c.set(prefix) {
		c.complain(prefix, "path and prefix are both there", "keep one")
	}
	parts := c.template(path, "path")
	for i, p := range parts {
		if p.Fact == "" {
			c.literal(path, "path", p.Text)
		}
		if p.Fact == "path_rest" && !r.hasPrefixes() {
			c.complain(path, "path: {path_rest} is what follows a prefix, and not every match has one", "write match: { path: /v1/* }")
		}
		if first := i == 0; first && !strings.HasPrefix(p.Text, "/") && p.Fact != "path" && p.Fact != "path_rest" {
			c.complain(path, fmt.Sprintf("path: %q does not begin with /", *path), "write /"+string(*path))
		}
	}
	if c.good(path) && *path == "" {
		c.complain(path, "path: empty", "write / for the root")
	}
	if !c.good(prefix) {
		return
	}
	switch {
	case !strings.HasPrefix(*prefix, "/"):
		c.complain(prefix, fmt.Sprintf("prefix: %q does not begin with /", *prefix), "write /"+*prefix)
	case len(*prefix) > 1 && strings.HasSuffix(*prefix, "/"):
		c.complain(prefix, fmt.Sprintf("prefix: %q ends with /", *prefix), "leave the last / out: what follows begins with one")
	case !r.hasPrefixes():
		c.complain(prefix, "prefix stands in place of the match's, and not every match has one", "write match: { path: /v1/* }")
	default:
		c.literal(prefix, "prefix", *prefix)
	}
}

// literal checks text that becomes part of a path.
func (c *checker) literal(field any, key, text string) {
	if strings.ContainsAny(text, "?#*\\") {
		c.complain(field, fmt.Sprintf("%s: %q has characters that are not in a path", key, text), "")
		return
	}
	if segment := dotSegment(text); segment != "" {
		c.complain(field, fmt.Sprintf("%s: %q has %s, which is resolved, and is not asked for", key, text, segment), "")
	} else if err := checkMatchPath("/" + strings.TrimPrefix(text, "/")); err != nil {
		c.fault(field, key, err)
	}
	if strings.HasPrefix(text, "//") {
		c.complain(field, fmt.Sprintf("%s: %q begins with two slashes", key, text), "")
	}
}

// hasPrefixes tells whether each match of the route is for a prefix.
func (r *Route) hasPrefixes() bool {
	for _, m := range r.Match {
		path := m.Path
		if path == "" && m.Used != nil {
			path = m.Used.Path
		}
		if !strings.HasSuffix(path, "/*") {
			return false
		}
	}
	return len(r.Match) > 0
}

// unsettable are the fields that Poise prints itself, by what else there is to change them.
var unsettable = map[string]string{
	"host": "write rewrite: { host: ... }", "content-length": "", "transfer-encoding": "", "connection": "", "keep-alive": "", "proxy-connection": "", "te": "",
	"trailer": "", "upgrade": "write upgrades: [...]", "http2-settings": "", "expect": "",
}

// edits checks changes to header fields.
func (c *checker) edits(x *Edits, key string) {
	if x == nil || c.broken[x] {
		return
	}
	if len(x.Set) == 0 && len(x.Add) == 0 && len(x.Remove) == 0 {
		c.warn(c.at[x], key+" changes nothing", "")
	}
	seen := map[string]bool{}
	for _, pairs := range []Pairs{x.Set, x.Add} {
		for i := range pairs {
			p := &pairs[i]
			c.fieldName(key, &p.Name)
			if lower := strings.ToLower(p.Name); seen[lower] && c.good(&p.Name) {
				c.complain(&p.Name, fmt.Sprintf("%s: %s is there twice", key, p.Name), "case does not matter")
			} else {
				seen[lower] = true
			}
			if _, err := Template(p.Value).Parts(); err != nil && c.good(&p.Value) {
				c.fault(&p.Value, p.Name, err)
			} else if c.good(&p.Value) && (!isFieldValue(p.Value) || strings.Trim(p.Value, " \t") != p.Value) {
				c.complain(&p.Value, fmt.Sprintf("%s: %q is not a header's value", key, p.Value), "")
			}
		}
	}
	for i := range x.Remove {
		c.fieldName(key, &x.Remove[i])
		if lower := strings.ToLower(x.Remove[i]); seen[lower] && c.good(&x.Remove[i]) {
			c.complain(&x.Remove[i], fmt.Sprintf("%s: %s is there twice", key, x.Remove[i]), "set takes away what was there before")
		}
	}
}

// fieldName checks the name of a field that is changed.
func (c *checker) fieldName(key string, field *string) {
	hint, own := unsettable[strings.ToLower(*field)]
	switch {
	case !isToken(*field):
		c.complain(field, fmt.Sprintf("%s: %q is not a header's name", key, *field), "")
	case own:
		c.complain(field, fmt.Sprintf("%s: %s is Poise's own", key, *field), hint)
	}
}

// template checks a template, and returns its parts if it is good.
func (c *checker) template(t *Template, key string) []Part {
	if !c.good(t) {
		return nil
	}
	parts, err := t.Parts()
	if err != nil {
		c.fault(t, key, err)
		return nil
	}
	if !isFieldValue(string(*t)) || strings.ContainsAny(string(*t), " \t") {
		c.complain(t, fmt.Sprintf("%s: %q has characters that are not in a URL", key, *t), "percent-encode them")
		return nil
	}
	return parts
}
