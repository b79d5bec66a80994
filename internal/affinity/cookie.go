package affinity

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/pool"
)

// DefaultName is the cookie's name when none is set.
const DefaultName = "poise"

// MinSecret is the least length of a secret in bytes: the strength of the tokens (RFC 2104 §3 advises the hash's 32).
const MinSecret = 16

// CookieSettings say what the cookie looks like. Only Secret has to be given. HttpOnly is always set: no script needs the cookie.
type CookieSettings struct {
	Name     string        // default "poise"
	Secret   []byte        // key of the tokens, at least 16 bytes; balancers that share clients share it
	TTL      time.Duration // how long browsers keep it, in whole seconds; 0: until they are closed
	Path     string        // default "/"
	Domain   string        // default: the host that answered, without its subdomains
	SameSite string        // "lax" (default), "strict" or "none"; "none" wants Secure (RFC 6265bis §4.1.2.7)
	Secure   bool          // only over https
	Idle     time.Duration // a client that was not seen for longer is placed anew; in whole seconds; 0: no limit
	Life     time.Duration // a client is placed anew so long after it was placed; in whole seconds; 0: no limit
}

// Cookie is a Kind: clients of one pool carry a value that stands for their server.
type Cookie struct {
	name       string
	secret     []byte
	attributes string  // of Set-Cookie, from the first ";" on
	limits     *limits // nil: the value is a token alone; else a stamp follows it
	pool       *pool.Pool
	index      atomic.Pointer[index]
}

// NewCookie returns the cookie of pool p. The error says which setting cannot be.
func NewCookie(s CookieSettings, p *pool.Pool) (*Cookie, error) {
	if s.Name == "" {
		s.Name = DefaultName
	}
	if s.Path == "" {
		s.Path = "/"
	}
	attributes, err := s.attributes()
	if err != nil {
		return nil, err
	}
	c := &Cookie{name: s.Name, secret: s.Secret, attributes: attributes, limits: newLimits(&s), pool: p}
	c.refresh(nil)
	return c, nil
}

// attributes checks s and writes what follows the value in Set-Cookie.
func (s *CookieSettings) attributes() (string, error) {
	site, ok := map[string]string{"": "Lax", "lax": "Lax", "strict": "Strict", "none": "None"}[strings.ToLower(s.SameSite)]
	switch {
	case !isToken(s.Name):
		return "", fmt.Errorf("cookie name %q is not a token", s.Name)
	case len(s.Secret) < MinSecret:
		return "", fmt.Errorf("cookie secret has %d bytes, needs at least %d", len(s.Secret), MinSecret)
	case s.Path[0] != '/' || !isAttribute(s.Path):
		return "", fmt.Errorf("cookie path %q does not begin with / or holds what a cookie cannot", s.Path)
	case !isAttribute(s.Domain):
		return "", fmt.Errorf("cookie domain %q holds what a cookie cannot", s.Domain)
	case !ok:
		return "", fmt.Errorf("cookie same_site %q is none of lax, strict, none", s.SameSite)
	case site == "None" && !s.Secure:
		return "", errors.New("cookie same_site none needs secure: browsers drop it else")
	case s.TTL < 0 || s.TTL > 0 && s.TTL < time.Second:
		return "", fmt.Errorf("cookie ttl %v is below a second", s.TTL)
	case s.Idle < 0 || s.Idle > 0 && s.Idle < time.Second:
		return "", fmt.Errorf("cookie idle %v is below a second", s.Idle)
	case s.Life < 0 || s.Life > 0 && s.Life < time.Second:
		return "", fmt.Errorf("cookie life %v is below a second", s.Life)
	}
	b := "; Path=" + s.Path
	if s.Domain != "" {
		b += "; Domain=" + s.Domain
	}
	if s.TTL > 0 {
		b += "; Max-Age=" + strconv.FormatInt(int64(s.TTL/time.Second), 10)
	}
	b += "; HttpOnly; SameSite=" + site
	if s.Secure {
		b += "; Secure"
	}
	return b, nil
}

// Find reads the request's cookie.
func (c *Cookie) Find(now clock.Instant, _ netip.Addr, fields msg.Fields) Found {
	f := Found{In: None, Out: None}
	token, present := c.value(fields)
	if !present {
		return f
	}
	f.In = Invalid
	if c.limits != nil {
		var ok bool
		if token, f.stamp, ok = c.limits.split(token); !ok {
			return f
		}
	}
	s := c.server(token)
	if s == nil {
		return f
	}
	if c.limits != nil {
		if over := c.limits.over(now, f.stamp); over != 0 {
			f.In = over
			return f
		}
	}
	f.belongsTo(s)
	return f
}

// Keep sets the cookie of a client that s is new to, or whose stamp is old.
func (c *Cookie) Keep(now clock.Instant, f *Found, s *pool.Server, dst []byte) []byte {
	stays := f.Server == s
	if stays && !c.limits.due(now, f.stamp) {
		return dst
	}
	field := c.current().fields[s]
	if field == "" { // the server has left its pool
		return dst
	}
	if f.Out = Updated; f.Server == nil {
		f.Out = New
	}
	if c.limits == nil {
		return append(dst, field...)
	}
	at := stamp{placed: uint32(seconds(now)), seen: uint32(seconds(now))}
	if stays {
		at.placed = f.stamp.placed
	}
	end := len(c.name) + 1 + tokenLen
	dst = append(dst, field[:end]...)
	dst = c.limits.appendStamp(dst, dst[len(dst)-tokenLen:], at)
	return append(dst, field[end:]...)
}

// server returns the server that a token stands for, whatever its state. It is nil for every token that was not made with
// this secret for a present server of this pool: forged, another pool's, or of a server that was removed. The client is then
// balanced like a new one, and given a new cookie.
func (c *Cookie) server(token []byte) *pool.Server {
	return c.current().servers[string(token)]
}

// maxValue is the longest value that is looked at; a token has 22 bytes, and so has a stamp.
const maxValue = 64

// value returns the cookie's value in a request's fields. present tells whether the cookie is there at all, be it too long to
// be one of ours.
func (c *Cookie) value(fields msg.Fields) (value []byte, present bool) {
	return fields.Cookie(c.name, maxValue)
}
