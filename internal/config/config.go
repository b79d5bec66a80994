// Package config is the configuration file: it parses, fills in defaults, and finds every mistake with its line and column.
//
// It holds data and never resources: nothing is bound, resolved or started here, no other package of Poise is imported,
// and the same bytes and variables always give the same Config and the same Problems. What a key means, its default and its
// range are stated once, on its struct field (comment and tags `yaml`, `default`, `min`, `max`, `enum`); the decoder, the JSON
// Schema and docs/configuration.md all come from there.
//
// Start reading at Config, then Parse (load.go), decoder (decode.go) and checker (check.go).
package config

import (
	"net/netip"
	"time"
)

// Config is one whole configuration, with the files it includes.
//
// After Load or Parse every default is filled in, timeouts are inherited downwards, and the short shape (listen and servers)
// has become one entry of Listeners and one of Pools: read only those two.
type Config struct {
	// Loops is how many event loops run, each on its own CPU. 0: as many as the CPUs that the process may use.
	Loops int `yaml:"loops" default:"0" min:"0" max:"1024"`
	// Driver is what a loop waits with. auto takes the fastest that the system allows.
	Driver string `yaml:"driver" default:"auto" enum:"auto,io_uring,epoll,net"`

	// Zone that this Poise is in. Of each pool, its servers come before those of other zones. Empty: zones make no difference.
	Zone string `yaml:"zone"`

	// Listen is the short shape's listener: with servers beside it, no listeners and pools are needed.
	Listen Addresses `yaml:"listen"`
	// Single is the short shape's pool: its keys stand at the top of the file.
	Single Pool `yaml:",inline"`

	// Parts are what an included file may hold too.
	Parts `yaml:",inline"`

	// Timeouts hold for everything; listeners and routes may set their own.
	Timeouts Timeouts `yaml:"timeouts"`
	// Limits bound what clients can make Poise hold.
	Limits Limits `yaml:"limits"`
	// AccessLog is the record of every exchange.
	AccessLog AccessLog `yaml:"access_log"`
	// Admin is where metrics, state and health of Poise itself can be read.
	Admin Admin `yaml:"admin"`

	origin *origin
}

// Parts are the keys of an included file.
type Parts struct {
	// Listeners are the addresses that clients connect to.
	Listeners []*Listener `yaml:"listeners"`
	// Pools are the groups of servers, by name; in the order of the file.
	Pools Pools `yaml:"pools"`
	// Matches are what routes may use by name, so that what several have in common stands once.
	Matches NamedMatches `yaml:"matches"`
	// Include names further files, relative to this one, as paths or patterns such as conf.d/*.yaml. They add listeners, pools and matches.
	Include Strings `yaml:"include"`
}

// Listener is a set of addresses, and where what arrives there goes.
//
// After Load the addresses are in Addresses, also where the file has address.
type Listener struct {
	// Name stands in logs and metrics. Default: its first address.
	Name string `yaml:"name"`
	// Addresses to accept on: host:port, :port, or unix:/path.
	Addresses Addresses `yaml:"addresses"`
	// Address is a shorter way to write addresses when there is one.
	Address Address `yaml:"address"`
	// Protocol that clients speak.
	Protocol string `yaml:"protocol" default:"http" enum:"http"`
	// TLS is what clients speak below protocol. Default: nothing, in clear text.
	TLS *ListenerTLS `yaml:"tls"`
	// HTTP2 is spoken with clients that ask for it: over TLS by ALPN, in clear text by beginning with its preface. false: HTTP/1.1 only.
	HTTP2 bool `yaml:"http2" default:"true"`
	// Pool takes every request that no route matches. Without it those get 404.
	Pool string `yaml:"pool"`
	// RedirectToHTTPS is the port of HTTPS to which requests that no route matches are redirected (308), in place of a pool. 0: none are.
	RedirectToHTTPS int `yaml:"redirect_to_https" default:"0" min:"0" max:"65535"`
	// TrustedProxies are the addresses and networks whose X-Forwarded-* fields and request ids are believed. Default: none.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`
	// Timeouts of this listener; what is not set comes from the timeouts at the top.
	Timeouts ListenerTimeouts `yaml:"timeouts"`
	// Upgrades are the protocols that a connection may be upgraded to. [] allows none.
	Upgrades Strings `yaml:"upgrades" default:"websocket"`
	// ErrorPages are what clients get as the body of Poise's own answers, in place of a line of text. Of several for a status the first counts.
	ErrorPages []*ErrorPage `yaml:"error_pages"`
	// Routes send some requests elsewhere. The most specific match wins, whatever the order.
	Routes []*Route `yaml:"routes"`
}

// ListenerTLS is how a listener speaks TLS.
type ListenerTLS struct {
	// Certificates that the listener has. A client gets one for the name that it asks for, or else the first one.
	Certificates []*Certificate `yaml:"certificates"`
	// SelfSigned: true has Poise make a certificate for itself at start instead, for trying things out: clients have to be told to trust it.
	SelfSigned bool `yaml:"self_signed" default:"false"`
	// MinVersion of TLS that clients may speak.
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2,1.3"`
	// StrictNames: true refuses clients that ask for a name which no certificate has, or for none, instead of giving them the first certificate.
	StrictNames bool `yaml:"strict_names" default:"false"`
	// ClientCertificates are asked of clients. Default: none are.
	ClientCertificates *ClientCertificates `yaml:"client_certificates"`
	// SessionTicketKeys is a file of lines in base64, each a key of 32 to 80 bytes, that several instances share, so that each resumes the sessions of all. The
	// first is for new tickets. Default: keys of its own, a new one each hour.
	SessionTicketKeys string `yaml:"session_ticket_keys"`
	// HSTS tells browsers to come over HTTPS alone (Strict-Transport-Security, RFC 6797). {} is a year, for the host alone. Default: they are not told.
	HSTS *HSTS `yaml:"hsts"`
}

// HSTS is what browsers are told.
type HSTS struct {
	// MaxAge is for how long from an answer on a browser comes over HTTPS alone. 0s: it forgets that it was told.
	MaxAge time.Duration `yaml:"max_age" default:"8760h" min:"0s" max:"87600h"`
	// IncludeSubdomains: true means all names below the host's too.
	IncludeSubdomains bool `yaml:"include_subdomains" default:"false"`
	// Preload: true lets makers of browsers deliver the rule with them. That takes months to undo.
	Preload bool `yaml:"preload" default:"false"`
}

// ClientCertificates is which certificates clients have to show.
type ClientCertificates struct {
	// CA is a file in PEM: the certificates of the authorities that a client's certificate has to lead to.
	CA string `yaml:"ca"`
	// Required: false lets clients without a certificate in. One that is shown has to be good all the same.
	Required bool `yaml:"required" default:"true"`
	// CRL is a file in PEM: the lists of certificates that the authorities have revoked. Without a valid list nobody is let in. Default: none is asked.
	CRL string `yaml:"crl"`
}

// Certificate is a certificate with its key.
type Certificate struct {
	// Cert is a file in PEM: the certificate, then those that lead from it to its authority.
	Cert string `yaml:"cert"`
	// Key is a file in PEM: the certificate's private key.
	Key string `yaml:"key"`
	// OCSP is a file in DER: the authority's word that the certificate is not revoked, which clients of a listener are sent with it. Default: none.
	OCSP string `yaml:"ocsp"`
}

// Pair is one name and its value.
type Pair struct{ Name, Value string }

// Pairs are names and values, in the order of the file; a mapping in YAML.
type Pairs []Pair

// Strings is a list that may be written as a single value.
type Strings []string

// RouteTimeouts are the timeouts that each route may have for itself.
type RouteTimeouts struct {
	// Connect is how long a connection to a server may take.
	Connect time.Duration `yaml:"connect" default:"5s" min:"1ms" max:"10m"`
	// Response is how long a server may take from the end of the request to the end of the response's head. 0s: no limit.
	Response time.Duration `yaml:"response" default:"60s" min:"0s" max:"24h"`
	// Request is how long the whole exchange may take, all tries included. 0s: no limit.
	Request time.Duration `yaml:"request" default:"0s" min:"0s" max:"168h"`
	// BodyIdle is how long either side may send nothing in the middle of a body.
	BodyIdle time.Duration `yaml:"body_idle" default:"60s" min:"1ms" max:"24h"`
	// BodyRate is the fewest bytes a second at which a client may send a body, over any 30 seconds. 0: no limit.
	BodyRate Size `yaml:"body_rate" default:"100" min:"0" max:"1GiB"`
	// Write is how long either side may take nothing of what is sent to it.
	Write time.Duration `yaml:"write" default:"60s" min:"1ms" max:"24h"`
	// RelayIdle is how long nothing may move either way after an upgrade, as of a WebSocket. 0s: no limit.
	RelayIdle time.Duration `yaml:"relay_idle" default:"1h" min:"0s" max:"168h"`
}

// ListenerTimeouts are a listener's: those of its routes, where they set none, and those that run before a route is known.
type ListenerTimeouts struct {
	RouteTimeouts `yaml:",inline"`

	// RequestHead is how long a client may take for a request's head, in all.
	RequestHead time.Duration `yaml:"request_head" default:"10s" min:"1ms" max:"1h"`
	// TLSHandshake is how long a client may take for its handshake, in all.
	TLSHandshake time.Duration `yaml:"tls_handshake" default:"10s" min:"1ms" max:"1h"`
	// Idle is how long a client's connection stays open between requests.
	Idle time.Duration `yaml:"idle" default:"75s" min:"1ms" max:"24h"`
}

// Timeouts are those of every listener and route that sets none, and those of the whole process.
type Timeouts struct {
	ListenerTimeouts `yaml:",inline"`

	// ServerIdle is how long an unused connection to a server is kept, or one second less than the server says.
	ServerIdle time.Duration `yaml:"server_idle" default:"60s" min:"1ms" max:"24h"`
	// Drain is how long running exchanges may go on after a stop was asked for; then they are cut.
	Drain time.Duration `yaml:"drain" default:"30s" min:"0s" max:"24h"`
}

// Limits bound what clients can make Poise hold.
type Limits struct {
	// Head is the size of a request's or response's head.
	Head Size `yaml:"head" default:"64KiB" min:"1KiB" max:"1MiB"`
	// Fields is the number of header fields of a head.
	Fields int `yaml:"fields" default:"100" min:"1" max:"10000"`
	// Connections is the number of client connections at once. 0: (the descriptor limit - 200) / 2.2.
	Connections int `yaml:"connections" default:"0" min:"0" max:"100000000"`
	// ConnectionsPerClient is the number of connections of one client address at once. 0: half of connections.
	ConnectionsPerClient int `yaml:"connections_per_client" default:"0" min:"0" max:"100000000"`
	// Streams is the number of requests that a client may have under way at once on one connection of HTTP/2. Beyond it they are refused.
	Streams int `yaml:"streams" default:"100" min:"1" max:"10000"`
	// Handshakes is the number of TLS handshakes at once that wait for their clients, over all loops. Beyond it the oldest one is ended.
	Handshakes int `yaml:"handshakes" default:"4096" min:"1" max:"1000000"`
	// Compressions is the number of answers that are compressed at once, over all loops, with 1 to 2 MiB each. Others stay as they are.
	Compressions int `yaml:"compressions" default:"64" min:"1" max:"10000"`
	// IdlePerServer is the number of unused connections kept to one server, over all loops. 0: none is kept.
	IdlePerServer int `yaml:"idle_per_server" default:"256" min:"0" max:"1000000"`
}

// AccessLog is the record of every exchange: one JSON line each.
type AccessLog struct {
	// Enabled: false turns it off.
	Enabled bool `yaml:"enabled" default:"true"`
	// Path is a file, or stdout or stderr.
	Path string `yaml:"path" default:"stdout"`
	// Format of a line.
	Format string `yaml:"format" default:"json" enum:"json"`
}

// Admin is where metrics, state and health of Poise itself can be read.
type Admin struct {
	// Enabled: false turns it off.
	Enabled bool `yaml:"enabled" default:"true"`
	// Address to answer on: host:port or unix:/path.
	Address Address `yaml:"address" default:"127.0.0.1:9900"`
	// TokenFile is where the token is written that changes over TCP need. Default: below /run/poise for root, else in the user's runtime directory.
	TokenFile string `yaml:"token_file"`
}
