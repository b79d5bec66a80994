package config

import (
	"net/netip"
	"time"
)

// Route is a match and what happens then: one of pool, split, redirect and reply, and before and after that what else is there.
type Route struct {
	// Name stands in logs and metrics. Default: the listener's name, a slash, and the route's number from 1.
	Name string `yaml:"name"`
	// Match is which requests the route takes: those that meet all of it. A list of such: those that meet any of them. Empty: every request.
	Match Matches `yaml:"match"`
	// Pool gets the requests.
	Pool string `yaml:"pool"`
	// Split shares the requests out among several pools, in place of one.
	Split []*Share `yaml:"split"`
	// Redirect sends clients elsewhere, in place of a pool.
	Redirect *Redirect `yaml:"redirect"`
	// Reply is what all requests are answered with, in place of a pool.
	Reply *Reply `yaml:"reply"`
	// Access is which clients are served; others get 403. Default: all are.
	Access *Access `yaml:"access"`
	// RateLimit is how many requests may come in a time; more get 429. Default: any number.
	RateLimit *RateLimit `yaml:"rate_limit"`
	// InFlightLimit is how many requests may be under way at once; more get 429. Default: any number.
	InFlightLimit *InFlightLimit `yaml:"in_flight_limit"`
	// CORS is which pages of other origins may use the route from a browser. Default: as the servers say.
	CORS *CORS `yaml:"cors"`
	// BasicAuth has clients give a name and a password. Default: they need none.
	BasicAuth *BasicAuth `yaml:"basic_auth"`
	// ForwardAuth asks a server first whether a request may go on. Default: it may.
	ForwardAuth *ForwardAuth `yaml:"forward_auth"`
	// MaxBody is how large a request's body may be; a larger one gets 413. 0: any size.
	MaxBody Size `yaml:"max_body" default:"0" min:"0" max:"1024GiB"`
	// Mirror has copies of requests go to another pool, whose answers are dropped. Default: none do.
	Mirror *Mirror `yaml:"mirror"`
	// Rewrite changes what servers are asked for.
	Rewrite *Rewrite `yaml:"rewrite"`
	// RequestHeaders changes the header fields that servers get.
	RequestHeaders *Edits `yaml:"request_headers"`
	// ResponseHeaders changes those that clients get, with servers' answers and with Poise's own.
	ResponseHeaders *Edits `yaml:"response_headers"`
	// Compress has servers' answers be compressed. Default: they stay as they are.
	Compress *Compress `yaml:"compress"`
	// Retry is when a request of this route is tried again, in place of what its pool says. Default: the pool's.
	Retry *RouteRetry `yaml:"retry"`
	// Upgrades are the protocols that a connection may be upgraded to. Default: the listener's.
	Upgrades Strings `yaml:"upgrades"`
	// Timeouts of this route; what is not set comes from its listener.
	Timeouts RouteTimeouts `yaml:"timeouts"`
}

// Pools are the names of all pools that get requests of the route.
func (r *Route) Pools() []string {
	all := r.ends()
	if r.ForwardAuth != nil {
		all = append(all, r.ForwardAuth.Pool)
	}
	if r.Mirror != nil {
		all = append(all, r.Mirror.Pool)
	}
	return all
}

// ends are those whose answers clients get.
func (r *Route) ends() []string {
	var all []string
	if r.Pool != "" {
		all = append(all, r.Pool)
	}
	for _, s := range r.Split {
		all = append(all, s.Pool)
	}
	return all
}

// Share is a pool's part of a route's requests.
type Share struct {
	// Pool gets the requests.
	Pool string `yaml:"pool"`
	// Weight is how many of them, against the other weights. 0: none, but those of clients that belong to the pool by its affinity.
	Weight int `yaml:"weight" default:"1" min:"0" max:"1000000"`
}

// Redirect is where clients are sent. What is not set stays as the client has asked for it.
type Redirect struct {
	// Status: 301, 302, 303, 307 or 308. With 307 and 308 a client asks by the same method, and sends its body again.
	Status int `yaml:"status" default:"308" min:"301" max:"308"`
	// Scheme to ask by.
	Scheme string `yaml:"scheme" enum:"http,https"`
	// Host to ask, without a port. A template, of which {host} is the only fact.
	Host Template `yaml:"host"`
	// Port to ask at. 0: the scheme's.
	Port int `yaml:"port" default:"0" min:"0" max:"65535"`
	// Path to ask for. A template.
	Path Template `yaml:"path"`
	// Prefix is what stands in place of what the match's path covers: of /v1/*, that is /v1.
	Prefix string `yaml:"prefix"`
	// Query to ask with. A template. Empty: none.
	Query Template `yaml:"query" default:"{query}"`
}

// Reply is a fixed answer.
type Reply struct {
	// Status of the answer.
	Status int `yaml:"status" default:"200" min:"200" max:"599"`
	// Body of the answer, as it is.
	Body string `yaml:"body"`
	// BodyFile is where the body is, in place of body: up to 1 MiB, read at start and reload.
	BodyFile string `yaml:"body_file"`
	// ContentType of the body.
	ContentType string `yaml:"content_type" default:"text/plain; charset=utf-8"`
}

// ErrorPage is the body of answers with some statuses. Fields and status of the answer stay.
type ErrorPage struct {
	// Status or statuses that it is for.
	Status Statuses `yaml:"status"`
	// Body of the answer, as it is.
	Body string `yaml:"body"`
	// BodyFile is where the body is, in place of body: up to 1 MiB, read at start and reload.
	BodyFile string `yaml:"body_file"`
	// ContentType of the body.
	ContentType string `yaml:"content_type" default:"text/html; charset=utf-8"`
}

// Access is which clients are served, by their addresses: the connection's, or what a trusted proxy says.
type Access struct {
	// Allow is the networks whose clients are served. Default: all that deny leaves.
	Allow []netip.Prefix `yaml:"allow"`
	// Deny is the networks whose clients are not, also where allow has them.
	Deny []netip.Prefix `yaml:"deny"`
}

// LimitKey is whose requests are counted together.
type LimitKey struct {
	// By client: those of one address, the connection's or what a trusted proxy says. By header: those with one value of a header field, and those without. By
	// route: all of the route.
	By string `yaml:"by" default:"client" enum:"client,header,route"`
	// Header is the name of the field, where by is header.
	Header string `yaml:"header"`
	// IPv6Prefix is how many leading bits of an IPv6 address are one client.
	IPv6Prefix int `yaml:"ipv6_prefix" default:"64" min:"1" max:"128"`
	// Size is how many clients or values are remembered, 8 bytes each. Beyond it those are forgotten that have used the least of their limit.
	Size int `yaml:"size" default:"100000" min:"1" max:"10000000"`
}

// RateLimit is how many requests may come in a time.
type RateLimit struct {
	// Requests that may come in per, evenly.
	Requests int `yaml:"requests" min:"1" max:"1000000"`
	// Per is the time.
	Per time.Duration `yaml:"per" default:"1s" min:"1ms" max:"24h"`
	// Burst is how many may come at once after a pause. 0: as many as requests.
	Burst int `yaml:"burst" default:"0" min:"0" max:"1000000"`
	// Headers: true tells clients in RateLimit and RateLimit-Policy what they have left.
	Headers bool `yaml:"headers" default:"false"`

	LimitKey `yaml:",inline"`
}

// InFlightLimit is how many requests may be under way at once.
type InFlightLimit struct {
	// Requests that may be under way.
	Requests int `yaml:"requests" min:"1" max:"1000000"`

	LimitKey `yaml:",inline"`
}

// CORS is which pages of other origins may use the route from a browser (Fetch Standard). What servers say of it ends here.
type CORS struct {
	// Origins such as https://app.example.com, https://*.example.com for all hosts below, or * for all origins.
	Origins Strings `yaml:"origins"`
	// Methods that may be used beside GET, HEAD and POST.
	Methods Strings `yaml:"methods"`
	// Headers that requests may have beside those that every page may send.
	Headers Strings `yaml:"headers"`
	// Expose is the fields of answers that pages may read beside the usual ones.
	Expose Strings `yaml:"expose"`
	// Credentials: true lets pages send cookies and passwords. Not with the origin *.
	Credentials bool `yaml:"credentials" default:"false"`
	// MaxAge is how long a browser need not ask again.
	MaxAge time.Duration `yaml:"max_age" default:"10m" min:"0s" max:"24h"`
}

// BasicAuth is whose names and passwords are taken (RFC 7617). They are readable on the way: give it to listeners with tls.
type BasicAuth struct {
	// UsersFile has a line of NAME:HASH for each user, as htpasswd -B writes it (bcrypt). It is read at start and reload.
	UsersFile string `yaml:"users_file"`
	// Realm is what browsers show where they ask.
	Realm string `yaml:"realm" default:"restricted"`
}

// ForwardAuth asks a server whether a request may go on: by GET, without the body, with the request's fields and X-Forwarded-Method and X-Forwarded-Uri. With a
// status of 200 to 299 it may; any other answer is the client's.
type ForwardAuth struct {
	// Pool is asked.
	Pool string `yaml:"pool"`
	// Path that is asked for, with a query if there is one.
	Path string `yaml:"path" default:"/"`
	// Copy is the fields of its answer that servers get, in place of any that the client has sent.
	Copy Strings `yaml:"copy"`
	// CopyToClient is the fields of its answer that the client gets with the server's answer, such as set-cookie.
	CopyToClient Strings `yaml:"copy_to_client"`
	// Timeout is how long the answer may take. Without one the client gets 504, and nothing goes on.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"1ms" max:"30s"`
}

// Mirror is where copies of requests go. A copy is what the request's own server gets, and leaves once that was sent: clients never wait for it, and its answer
// is dropped.
type Mirror struct {
	// Pool gets the copies.
	Pool string `yaml:"pool"`
	// Share of the requests that are copied, by chance.
	Share Percent `yaml:"share" default:"100%" min:"1%" max:"100%"`
	// MaxBody is how large a request's body may be; with a larger one it is not copied. 0: none with a body is.
	MaxBody Size `yaml:"max_body" default:"64KiB" min:"0" max:"1MiB"`
	// MaxRequests is how many copies may be under way at once. More are not made.
	MaxRequests int `yaml:"max_requests" default:"100" min:"1" max:"10000"`
	// Timeout is how long a copy may be under way.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"1ms" max:"5m"`
}

// Compress is which of the servers' answers are compressed, for clients that take it.
type Compress struct {
	// Encodings in order of preference: zstd, br, gzip. Default: these three.
	Encodings Strings `yaml:"encodings"`
	// Types of content, such as application/json, or text/* for all of a kind. Default: text, JSON, JavaScript, XML, SVG and their kin.
	Types Strings `yaml:"types"`
	// MinSize of an answer that tells its length.
	MinSize Size `yaml:"min_size" default:"1KiB" min:"0" max:"1GiB"`
}

// Rewrite is what servers are asked for. What is not set stays as the client has asked for it.
type Rewrite struct {
	// Host that servers are asked for, with a port if that is to be sent. A template.
	Host Template `yaml:"host"`
	// Path that servers are asked for. A template.
	Path Template `yaml:"path"`
	// Prefix is what stands in place of what the match's path covers: of /v1/*, that is /v1. / takes it away.
	Prefix string `yaml:"prefix"`
}

// Edits are changes to header fields: first what is removed, then what is set, then what is added. What comes out empty is not sent.
type Edits struct {
	// Set is fields that replace all of their name. The values are templates.
	Set Pairs `yaml:"set"`
	// Add is fields beside those that are there. The values are templates.
	Add Pairs `yaml:"add"`
	// Remove is the names of fields that end here.
	Remove Strings `yaml:"remove"`
}
