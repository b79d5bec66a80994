package route

import (
	"net/netip"

	"poise/internal/msg"
)

// Match says which requests a route is for. All that is set must apply; the zero Match applies to all requests.
type Match struct {
	// Host is a name, or "*.example.com" for any number of labels before ".example.com" but not the bare name. Case and a
	// trailing dot do not matter.
	Host string
	// Path is a path, or "/v1/*" for "/v1" and everything below it by whole segments. It is compared with the normalised path.
	Path string
	// PathPattern is a regular expression that the whole normalised path must match; instead of Path.
	PathPattern string
	Methods     []string // any of these; case matters
	// Headers are about header fields: names in any case, values to the byte. Of several fields with a name one must be so.
	Headers []Condition
	// Query is about query parameters, after percent-decoding. They are separated by "&" only and "+" is no space; those behind the first 256 are not
	// looked at.
	Query []Condition
	// Cookies are about cookies. Of several with a name the first that has a value counts.
	Cookies []Condition
	// Source is where the client's address must be in: any of these. A client without an address is nowhere.
	Source []netip.Prefix
	// ServerName is the host, of the form of Host, that the client's TLS handshake must have asked for.
	ServerName string
	// Subject is about the subject of the certificate that the client has shown, as RFC 4514 writes it. nil: any will do, or none.
	Subject *Text
}

// Condition is what a header field, query parameter or cookie must be like.
type Condition struct {
	Name string
	Text Text
}

// Text is how a value is compared. The zero Text is an empty value.
type Text struct {
	Kind  TextKind
	Value string
}

// TextKind is a way to compare.
type TextKind uint8

// The ways.
const (
	Exact   TextKind = iota // the value is Value
	Present                 // there is one, whatever it is
	Absent                  // there is none
	Prefix                  // the value begins with Value
	Pattern                 // the whole value matches the regular expression Value (RE2)
)

// About is what is known of a request beside its head.
type About struct {
	From       netip.Addr // whom it comes from; not valid: that has no address
	ServerName string     // the host that the TLS handshake asked for, in any case; empty: none
	Identified bool       // a certificate was shown
	Subject    []byte     // of that, as RFC 4514 writes it
}

// Found is what Match finds.
type Found struct {
	Route *Route // nil: none
	// Prefix is how much of the path the route's prefix covers, as 3 of /v1/* in /v1/users; 0: the match has none, or it is /*.
	Prefix int
	// Refuse is not 0 when the request has something that is too long for a pattern of a route: the status to refuse it with, since nobody knows what
	// it would have matched.
	Refuse int
}

// lookup is one request that is compared.
type lookup struct {
	req     *msg.Request
	about   *About
	tooLong int // Found's Refuse
}
