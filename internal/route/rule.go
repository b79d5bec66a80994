package route

import (
	"bytes"
	"cmp"
	"slices"

	"poise/internal/msg"
)

// rule is a Match in the form in which requests are compared. Host and path are compared by the index; the rest by match.
type rule struct {
	route *Route
	host  pattern // wide: a suffix that begins with a dot
	path  pattern // wide: a prefix without its "/*"
	rest  conditions
}

// pattern is a host or a path: exactly text, or all that text is the wide part of.
type pattern struct {
	set  bool // not set: everything matches
	wide bool
	text string
}

// conditions are what is compared after host and path.
type conditions struct {
	methods []string
	headers []NameValue // names in lower case
	query   []NameValue
}

// before orders rules: the first that matches a request is the one that applies.
func (r *rule) before(o *rule) int {
	return cmp.Or(
		r.host.before(o.host),
		r.path.before(o.path),
		r.rest.before(&o.rest),
		cmp.Compare(r.route.Index, o.route.Index),
	)
}

// before puts exact patterns first, then wide ones by length, then none.
func (p pattern) before(o pattern) int {
	return cmp.Or(
		trueFirst(p.set, o.set),
		trueFirst(!p.wide, !o.wide),
		cmp.Compare(wideLen(o), wideLen(p)),
	)
}

func wideLen(p pattern) int {
	if !p.wide {
		return 0
	}
	return len(p.text)
}

func (c *conditions) before(o *conditions) int {
	return cmp.Or(
		trueFirst(len(c.methods) > 0, len(o.methods) > 0),
		cmp.Compare(len(o.headers), len(c.headers)),
		cmp.Compare(len(o.query), len(c.query)),
	)
}

func trueFirst(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}

// match compares what host and path leave open.
func (c *conditions) match(req *msg.Request) bool {
	if len(c.methods) > 0 && !slices.Contains(c.methods, string(req.Method)) {
		return false
	}
	for i := range c.headers {
		if !hasField(req.Fields, &c.headers[i]) {
			return false
		}
	}
	for i := range c.query {
		if !hasParameter(req.Query, &c.query[i]) {
			return false
		}
	}
	return true
}

func hasField(fields msg.Fields, want *NameValue) bool {
	for i := range fields {
		if string(fields[i].Value) == want.Value && msg.EqualFold(fields[i].Name, want.Name) {
			return true
		}
	}
	return false
}

// maxParameters is how many query parameters are looked at: a query of a million must not cost a million comparisons for
// each route. [Go's urlmaxqueryparams and others have 1000 to 10000; routes need the first few]
const maxParameters = 256

// hasParameter looks for a parameter in a raw query, with or without its "?".
func hasParameter(query []byte, want *NameValue) bool {
	query = bytes.TrimPrefix(query, []byte("?"))
	for n := 0; len(query) > 0 && n < maxParameters; n++ {
		piece := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			piece, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		name, value := piece, []byte(nil)
		if i := bytes.IndexByte(piece, '='); i >= 0 {
			name, value = piece[:i], piece[i+1:]
		}
		if equalDecoded(name, want.Name) && equalDecoded(value, want.Value) {
			return true
		}
	}
	return false
}

// equalDecoded tells whether raw is want after percent-decoding. What has a "%" without two hex digits equals nothing.
func equalDecoded(raw []byte, want string) bool {
	n := 0
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) {
				return false
			}
			hi, lo := fromHex(raw[i+1]), fromHex(raw[i+2])
			if hi|lo > 0xf {
				return false
			}
			c = hi<<4 | lo
			i += 2
		}
		if n >= len(want) || want[n] != c {
			return false
		}
		n++
	}
	return n == len(want)
}

// fromHex is a hex digit's value, or 0xff.
func fromHex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
