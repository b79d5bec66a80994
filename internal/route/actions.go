package route

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"poise/internal/encode"
	"poise/internal/limit"
	"poise/internal/login"
	"poise/internal/msg"
	"poise/internal/siphash"
)

// Actions are what a route does with its requests and answers beside passing them on. All that is nil or zero does nothing.
type Actions struct {
	Access   *Access
	Rate     *RateLimit
	InFlight *InFlightLimit
	CORS     *CORS
	Login    *Login
	Ask      *Ask
	MaxBody  int64 // the most bytes that a request's body may have; 0: any number
	Redirect *Redirect
	Reply    *Reply
	Split    *Split
	Rewrite  *Rewrite
	Mirror   *Mirror
	Compress *Compress
	// Request and Response change the fields that servers and clients get.
	Request, Response *Edits
}

// Access is which clients are served, by address.
type Access struct{ allow, deny *bart.Lite }

// NewAccess serves the clients of allow's networks, or all if it is empty, but none of deny's.
func NewAccess(allow, deny []netip.Prefix) *Access {
	return &Access{networks(allow), networks(deny)}
}

// networks is nil for none.
func networks(list []netip.Prefix) *bart.Lite {
	if len(list) == 0 {
		return nil
	}
	t := &bart.Lite{}
	for _, p := range list {
		t.Insert(p)
	}
	return t
}

// Allows tells whether a client is served. One without an address, as over a Unix socket, is in no network.
func (a *Access) Allows(from netip.Addr) bool {
	if a.deny != nil && from.IsValid() && a.deny.Contains(from) {
		return false
	}
	return a.allow == nil || from.IsValid() && a.allow.Contains(from)
}

// LimitKey is whose requests are counted together.
type LimitKey struct {
	By     By
	Header string      // in lower case, of ByHeader
	IPv6   int         // how many leading bits of an IPv6 address are one client
	Secret siphash.Key // of the keys, so that nobody can choose some that share a place
}

// By is what requests that are counted together have in common.
type By uint8

// What they can have.
const (
	ByClient By = iota
	ByHeader
	ByRoute
)

// RateLimit bounds the requests in a time.
type RateLimit struct {
	LimitKey
	*limit.Rate
	Policy []byte // what clients are told of it in RateLimit-Policy; nil: nothing, and nothing of what is left
}

// InFlightLimit bounds the requests under way at once.
type InFlightLimit struct {
	LimitKey
	*limit.InFlight
}

// Login is who has to give a name and a password.
type Login struct {
	Users     *login.Users
	Challenge []byte // the value of WWW-Authenticate
}

// Ask is who is asked whether a request may go on.
type Ask struct {
	Route       *Route // to the pool that is asked; in all but that, its retries and times it is the route that asks
	Path, Query []byte // what is asked for; the query with its question mark
	// Copy are the fields of the answer that servers get, and nobody else can send them; CopyToClient those that clients get. In lower case.
	Copy, CopyToClient []string
}

// CORS is which pages of other origins may use the route from a browser. The texts are values of the fields that say so.
type CORS struct {
	Any     bool     // all origins
	Origins []string // exact, or as https://*.example.com
	Methods []byte   // of Access-Control-Allow-Methods
	Headers []byte
	Expose  []byte
	MaxAge  []byte
	// Credentials: pages may send what stands for the user. Never with Any.
	Credentials bool
}

// Allows tells whether pages of the origin may.
func (c *CORS) Allows(origin []byte) bool {
	if c.Any {
		return true
	}
	for _, o := range c.Origins {
		scheme, suffix, wide := strings.Cut(o, "*")
		n := len(origin) - len(suffix)
		if !wide && string(origin) == o {
			return true
		}
		if wide && n > len(scheme) && string(origin[:len(scheme)]) == scheme && string(origin[n:]) == suffix && areLabels(origin[len(scheme):n]) {
			return true
		}
	}
	return false
}

// areLabels tells whether b can be the first labels of a host, in lower case as browsers send it.
func areLabels(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// Compress is which of the servers' answers are compressed.
type Compress struct {
	Codings []encode.Coding // of those that a client likes best, the first
	Types   []string        // of their bodies: in lower case, without parameters, or as text/*
	MinSize int64           // of their bodies, where it is known
}

// Takes tells whether an answer's body may be compressed: all of it is there, nobody has encoded it, and nothing says how long it is or how it hashes.
func (c *Compress) Takes(resp *msg.Response) bool {
	switch s := resp.Status; {
	case s < 200, s == 204, s == 205, s == 206, s >= 300 && s < 400:
		return false
	}
	length := resp.Length
	if length == 0 && resp.HasLength { // the answer to HEAD
		length = resp.ContentLength
	}
	if length >= 0 && length < max(1, c.MinSize) {
		return false
	}
	var mediaType []byte
	for i := range resp.Fields {
		switch f := &resp.Fields[i]; f.ID {
		case msg.ContentEncoding, msg.ContentRange:
			return false
		case msg.ContentType:
			mediaType = f.Value
		case msg.Other:
			for _, name := range [...]string{"content-digest", "repr-digest", "digest", "content-md5"} {
				if msg.EqualFold(f.Name, name) {
					return false
				}
			}
		}
	}
	return c.takesType(mediaType)
}

func (c *Compress) takesType(mediaType []byte) bool {
	if i := bytes.IndexByte(mediaType, ';'); i >= 0 {
		mediaType = mediaType[:i]
	}
	mediaType = bytes.TrimRight(mediaType, " \t")
	for _, t := range c.Types {
		if prefix, wide := strings.CutSuffix(t, "*"); wide && len(mediaType) > len(prefix) && msg.EqualFold(mediaType[:len(prefix)], prefix) ||
			msg.EqualFold(mediaType, t) {
			return true
		}
	}
	return false
}

// Redirect is where clients are sent.
type Redirect struct {
	Status int
	Scheme string    // empty: as the client came
	Host   *Template // nil: the host that the client asked for
	Port   int       // 0: the scheme's
	Path   Replace
	Query  *Template // nil: none
}

// Absolute tells that clients are sent to another scheme, host or port.
func (r *Redirect) Absolute() bool { return r.Scheme != "" || r.Host != nil || r.Port != 0 }

// Replace is what stands in place of a path, or of the part that the match's prefix covers. The zero Replace leaves all as it is.
type Replace struct {
	Path   *Template
	Prefix string // with Path nil; "/" takes the part away
}

// Reply is a fixed answer.
type Reply struct {
	Status      int
	Body        []byte
	ContentType []byte
}

// Rewrite is what servers are asked for.
type Rewrite struct {
	Host *Template // with a port, if one is to be sent; nil: as the client asked
	Path Replace
}

// Mirror is where copies of requests go, whose answers are dropped.
type Mirror struct {
	Route    *Route  // to the pool that gets them
	Share    float64 // of the requests that are copied; 1: all
	MaxBody  int     // the most bytes that a copy's body has
	InFlight *limit.InFlight
}

// Enter counts a copy among those that are under way, if there may be one more; then Leave must follow.
func (m *Mirror) Enter() bool { return m.InFlight.Enter(0) }

// Leave ends a copy that Enter has counted.
func (m *Mirror) Leave() { m.InFlight.Leave(0) }

// Edits are changes to fields: first Remove, then Set, then Add. What comes out empty is not sent.
type Edits struct {
	Remove   []string // in lower case
	Set, Add []Edit
}

// Edit is one field. Lower is its name in lower case.
type Edit struct {
	Name  []byte
	Lower string
	ID    msg.ID
	Value *Template
}

// NewEdit is an edit of the field with that name.
func NewEdit(name string, value *Template) Edit {
	return Edit{Name: []byte(name), Lower: asciiLower(name), ID: msg.Lookup([]byte(name)), Value: value}
}

// Template is text with facts of the request in it.
type Template []Part

// Part is a piece of a template.
type Part struct {
	Fact Fact
	Text string // of Literal; the name of Header, in lower case, Cookie and QueryValue
}

// Fact is what a part stands for.
type Fact uint8

// The facts.
const (
	Literal    Fact = iota
	Scheme          // http or https, by which the client came
	Host            // that the client asked for, without a port
	Path            // as it is matched
	PathRest        // what follows the part that the match's prefix covers
	Query           // without its question mark
	Method          // as the client sent it
	ClientIP        // as access is decided by
	RequestID       // the exchange's
	ServerName      // that the TLS handshake was for
	Subject         // of the client's certificate
	User            // whose password was given
	Header          // the first field of that name
	Cookie          // the first of that name
	QueryValue      // the first parameter of that name, not decoded
)

// Split is several routes that differ in their pools only, and how requests are shared out.
type Split struct {
	Ways  []Way
	total uint64
}

// Way is one pool's part. Weight 0: only clients that belong to it.
type Way struct {
	Route  *Route
	Weight int
}

// Pick returns the way for a number that is equally likely to be any.
func (s *Split) Pick(n uint64) *Route {
	n %= s.total
	for i := range s.Ways {
		w := uint64(s.Ways[i].Weight)
		if n < w {
			return s.Ways[i].Route
		}
		n -= w
	}
	return nil // does not happen: the weights sum up to total
}
