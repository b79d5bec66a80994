package config

import "time"

// Affinity keeps a client on its server. Exactly one of cookie, source and hash.
type Affinity struct {
	// Cookie does it by a cookie that Poise sets.
	Cookie *Cookie `yaml:"cookie"`
	// Source does it by the client's address; written as source: {}.
	Source *Source `yaml:"source"`
	// Hash does it by a value that the client sends.
	Hash *Hash `yaml:"hash"`
}

// Cookie is the cookie that remembers a client's server. Its value tells nobody the server's address.
type Cookie struct {
	// Name of the cookie.
	Name string `yaml:"name" default:"poise"`
	// Secret signs it: 16 bytes or more, the same on every instance. Default: made at start, so that a restart forgets clients.
	Secret Secret `yaml:"secret"`
	// TTL is how long the client keeps it. 0s: until the browser is closed.
	TTL time.Duration `yaml:"ttl" default:"0s" min:"0s" max:"9600h"`
	// Idle: a client that was not seen for longer is placed anew. 0s: no limit. The value then has times in it, as with life.
	Idle time.Duration `yaml:"idle" default:"0s" min:"0s" max:"9600h"`
	// Life: a client is placed anew so long after it was placed, busy or not. 0s: no limit.
	Life time.Duration `yaml:"life" default:"0s" min:"0s" max:"9600h"`
	// Domain it is sent to. Default: the host of the request alone.
	Domain string `yaml:"domain"`
	// Path it is sent to.
	Path string `yaml:"path" default:"/"`
	// Secure: it is sent over HTTPS only.
	Secure bool `yaml:"secure" default:"false"`
	// SameSite is whether it is sent with requests that other sites start. none needs secure.
	SameSite string `yaml:"same_site" default:"lax" enum:"lax,strict,none"`
}

// Source is a table that remembers which server an address was sent to. Behind trusted proxies the address is the one that they tell.
type Source struct {
	// Size is how many addresses are remembered, in 8 bytes each. Of too many, those used least recently are forgotten.
	Size int `yaml:"size" default:"100000" min:"8" max:"100000000"`
	// Idle is how long an address is remembered after its last request.
	Idle time.Duration `yaml:"idle" default:"30m" min:"1s" max:"24h"`
	// IPv6Prefix is how many leading bits of an IPv6 address count. 64: a network, such as one household's, is one client.
	IPv6Prefix int `yaml:"ipv6_prefix" default:"128" min:"32" max:"128"`
}

// Hash chooses by the value of a header or of a cookie: the same value, the same server. Without the value the policy chooses. Exactly one of header and
// cookie.
type Hash struct {
	// Header that has the value.
	Header string `yaml:"header"`
	// Cookie that has the value. It is the client's or a server's own; Poise sets none.
	Cookie string `yaml:"cookie"`
	// Secret is part of the choice: 16 bytes or more, the same on every instance. Default: made at start, so that a restart chooses anew.
	Secret Secret `yaml:"secret"`
}
