package exchange

import (
	"poise/internal/msg"
	"poise/internal/route"
)

// Names of the fields that are about pages of other origins (Fetch Standard, section 3.2), those of requests in lower case.
const (
	originField     = "origin"
	preflightMethod = "access-control-request-method"
	corsPrefix      = "access-control-"
)

var (
	nameAllowOrigin      = []byte("Access-Control-Allow-Origin")
	nameAllowCredentials = []byte("Access-Control-Allow-Credentials")
	nameAllowMethods     = []byte("Access-Control-Allow-Methods")
	nameAllowHeaders     = []byte("Access-Control-Allow-Headers")
	nameMaxAge           = []byte("Access-Control-Max-Age")
	nameExpose           = []byte("Access-Control-Expose-Headers")
	nameVary             = []byte("Vary")

	valueOrigin, valueAny, valueTrue = []byte("Origin"), []byte("*"), []byte("true")
)

// preflight is the answer to a browser that asks before it sends a page's request; over: the request is such a question.
func (x *Exchange) preflight(c *route.CORS) (step Step, over bool) {
	origin := x.field(originField)
	if origin == nil {
		return Step{}, false
	}
	if c.Allows(origin) {
		x.origin = origin
	}
	if string(x.Req.Method) != "OPTIONS" || x.field(preflightMethod) == nil {
		return Step{}, false
	}
	if x.origin == nil {
		return x.answer(foreign, 'P', 'R'), true
	}
	return x.answer(Reply{Status: 204, Text: "a page of another origin may ask", Fixed: &noBody, Preflight: true}, 'L', 'R'), true
}

var noBody route.Reply

// field is the first value of a field that has no ID; nil: there is none.
func (x *Exchange) field(lower string) []byte { return first(x.Req.Fields, lower) }

func first(fields msg.Fields, lower string) []byte {
	for i := range fields {
		if f := &fields[i]; msg.EqualFold(f.Name, lower) {
			return f.Value
		}
	}
	return nil
}

// isCORS tells whether an answer's field is one that the route says itself.
func (x *Exchange) isCORS(f *msg.Field) bool {
	return f.ID == msg.Other && x.actions().CORS != nil && len(f.Name) > len(corsPrefix) && msg.EqualFold(f.Name[:len(corsPrefix)], corsPrefix)
}

// corsFields appends what a browser is told. An answer differs by who asks for it, which caches must know.
func (x *Exchange) corsFields(dst msg.Fields, preflight bool) msg.Fields {
	c := x.actions().CORS
	if c == nil {
		return dst
	}
	add := func(name, value []byte) {
		if len(value) > 0 {
			dst = append(dst, msg.Field{Name: name, Value: value})
		}
	}
	if !c.Any {
		add(nameVary, valueOrigin)
	}
	switch {
	case c.Any: // also where no page asks: what a cache keeps may be a page's next
		add(nameAllowOrigin, valueAny)
	case x.origin == nil:
		return dst
	default:
		add(nameAllowOrigin, x.origin)
	}
	if c.Credentials {
		add(nameAllowCredentials, valueTrue)
	}
	if !preflight {
		add(nameExpose, c.Expose)
		return dst
	}
	add(nameAllowMethods, c.Methods)
	add(nameAllowHeaders, c.Headers)
	add(nameMaxAge, c.MaxAge)
	return dst
}
