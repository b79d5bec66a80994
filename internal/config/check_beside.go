package config

import (
	"fmt"
	"slices"
	"strings"
)

// codings are the content codings that answers can be compressed by.
var codings = []string{"zstd", "br", "gzip"}

// beside checks who is asked whether a request may go on, where copies of it go, and what becomes of answers.
func (c *checker) beside(r *Route) {
	if x := r.ForwardAuth; x != nil && !c.broken[x] {
		c.forwardAuth(x)
	}
	if x := r.Mirror; x != nil && !c.broken[x] {
		c.mirror(r, x)
	}
	if x := r.Compress; x != nil && !c.broken[x] {
		c.compress(x)
	}
}

// forwardAuth checks who is asked whether a request may go on.
func (c *checker) forwardAuth(x *ForwardAuth) {
	if !c.set(&x.Pool) {
		c.report(c.at[x], "forward_auth without a pool", "add pool: NAME")
	} else {
		c.reference(&x.Pool)
	}
	switch {
	case !c.good(&x.Path):
	case !strings.HasPrefix(x.Path, "/"):
		c.complain(&x.Path, fmt.Sprintf("path: %q does not begin with /", x.Path), "write /"+x.Path)
	case strings.Contains(x.Path, "#") || !isFieldValue(x.Path) || strings.ContainsAny(x.Path, " \t"):
		c.complain(&x.Path, fmt.Sprintf("path: %q has characters that are not in a URL", x.Path), "percent-encode them")
	}
	c.copied("copy", x.Copy)
	c.copied("copy_to_client", x.CopyToClient)
}

// mirror checks where copies of requests go.
func (c *checker) mirror(r *Route, x *Mirror) {
	switch {
	case !c.set(&x.Pool):
		c.report(c.at[x], "mirror without a pool", "add pool: NAME")
		return
	case slices.Contains(r.ends(), x.Pool) && c.good(&x.Pool):
		c.warn(c.at[&x.Pool], fmt.Sprintf("mirror: the pool %q gets the requests already, and will get the copies too", x.Pool), "name another pool")
	}
	c.reference(&x.Pool)
}

// copied checks names of fields of an answer that go on.
func (c *checker) copied(key string, names Strings) {
	seen := map[string]bool{}
	for i := range names {
		name := &names[i]
		lower := strings.ToLower(*name)
		c.fieldName(key, name)
		switch {
		case !c.good(name):
		case slices.Contains(told, lower):
			c.complain(name, fmt.Sprintf("%s: %s is what Poise tells servers itself", key, *name), "change it by request_headers")
		case seen[lower]:
			c.complain(name, fmt.Sprintf("%s: %s is there twice", key, *name), "case does not matter")
		}
		seen[lower] = true
	}
}

// told are fields that each request and answer has once, by Poise.
var told = []string{"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"}

// compress checks what is compressed, and how.
func (c *checker) compress(x *Compress) {
	seen := map[string]bool{}
	for i := range x.Encodings {
		e := &x.Encodings[i]
		switch {
		case !slices.Contains(codings, *e):
			c.complain(e, fmt.Sprintf("encodings: %q is not known", *e), didYouMean(*e, codings))
		case seen[*e]:
			c.complain(e, "encodings: "+*e+" is there twice", "")
		}
		seen[*e] = true
	}
	if c.good(&x.Encodings) && len(x.Encodings) == 0 {
		c.complain(&x.Encodings, "encodings: empty", "leave compress out to compress nothing")
	}
	for i := range x.Types {
		t := &x.Types[i]
		kind, rest, ok := strings.Cut(*t, "/")
		if !ok || !isToken(kind) || rest != "*" && !isToken(rest) || strings.Contains(kind+strings.TrimSuffix(rest, "*"), "*") {
			c.complain(t, fmt.Sprintf("types: %q is not a type of content", *t), "such as application/json, or text/*")
		}
		*t = strings.ToLower(*t)
	}
	if c.good(&x.Types) && len(x.Types) == 0 {
		c.complain(&x.Types, "types: empty", "leave it out for what is compressed otherwise")
	}
}
