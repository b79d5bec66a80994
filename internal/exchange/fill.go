package exchange

import (
	"bytes"
	"slices"
	"strconv"

	"poise/internal/msg"
	"poise/internal/route"
)

// place is where a template's text goes, which says what can stand there.
type place uint8

const (
	inHeader place = iota // a field's value, in which no control character can be
	inURL                 // a path or query, in which all but a path of ours is percent-encoded
)

// fill appends a template's text. A fact that the request does not have is empty.
func (x *Exchange) fill(dst []byte, t *route.Template, in place) []byte {
	for i := range *t {
		p := &(*t)[i]
		switch p.Fact {
		case route.Literal:
			dst = append(dst, p.Text...)
		case route.Path:
			dst = append(dst, x.Req.Path...)
		case route.PathRest:
			dst = append(dst, x.Req.Path[min(x.prefix, len(x.Req.Path)):]...)
		case route.Query:
			dst = append(dst, bytes.TrimPrefix(x.Req.Query, []byte("?"))...)
		case route.QueryValue:
			dst = appendParameter(dst, route.Parameter(x.Req.Query, p.Text), in)
		case route.ServerName:
			dst = appendFact(dst, []byte(x.Client.ServerName), in)
		case route.ClientIP:
			if x.From.IsValid() {
				dst = x.From.AppendTo(dst)
			}
		default:
			dst = appendFact(dst, x.fact(p), in)
		}
	}
	return dst
}

// fact is what a part stands for.
func (x *Exchange) fact(p *route.Part) []byte {
	switch p.Fact {
	case route.Scheme:
		return x.scheme()
	case route.Host:
		return x.Req.Host
	case route.Method:
		return x.Req.Method
	case route.RequestID:
		return x.RequestID()
	case route.Subject:
		if i := x.Client.Identity; i != nil {
			return i.subject
		}
	case route.User:
		return x.user
	case route.Header:
		if slices.Contains(x.granted(), p.Text) {
			return first(x.asking.granted, p.Text)
		}
		return x.field(p.Text)
	case route.Cookie:
		value, _ := x.Req.Fields.Cookie(p.Text, msg.AnyLength)
		return value
	}
	return nil
}

// scheme is that by which the client came.
func (x *Exchange) scheme() []byte {
	if x.Client.Secure {
		return schemeHTTPS
	}
	return schemeHTTP
}

const upperHex = "0123456789ABCDEF"

// appendFact appends what a client may have chosen: in a URL as the unreserved characters that it has, and the escapes of all others; elsewhere with nothing
// that would end the field.
func appendFact(dst, value []byte, in place) []byte {
	for _, c := range value {
		switch {
		case in == inHeader:
			if c < ' ' && c != '\t' || c == 0x7f {
				c = ' '
			}
			dst = append(dst, c)
		case isUnreserved(c):
			dst = append(dst, c)
		default:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&0xf])
		}
	}
	return dst
}

// appendParameter appends the raw value of a query parameter. In a URL it is escaped anew, so that nothing is escaped twice, or hides behind an escape.
func appendParameter(dst, raw []byte, in place) []byte {
	if in == inHeader {
		return appendFact(dst, raw, in)
	}
	for len(raw) > 0 {
		c, n := route.DecodeOne(raw)
		if n == 0 {
			c, n = raw[0], 1
		}
		dst, raw = appendFact(dst, []byte{c}, in), raw[n:]
	}
	return dst
}

// isUnreserved tells of the characters that stand for themselves everywhere in a URL (RFC 3986 section 2.3).
func isUnreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		return true
	}
	return false
}

// appendPort appends a port that is not the scheme's own.
func appendPort(dst []byte, scheme string, port int) []byte {
	if port == 0 || scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return dst
	}
	return strconv.AppendInt(append(dst, ':'), int64(port), 10)
}
