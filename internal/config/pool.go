package config

import (
	"slices"
	"time"
)

// Pool is a named group of interchangeable servers.
type Pool struct {
	// Name is the key in pools. "default" in the short shape.
	Name string `yaml:"-"`
	// Policy chooses the server for a request.
	Policy Policy `yaml:"policy" default:"least_requests"`
	// Servers that requests go to.
	Servers []*Server `yaml:"servers"`
	// HTTPVersion is what is spoken to the servers: 1.1, 2, or auto, which is what each of them chooses by ALPN and needs server_tls.
	HTTPVersion string `yaml:"http_version" default:"1.1" enum:"1.1,2,auto"`
	// GRPCWeb is for clients of gRPC-Web, as programs in browsers are: their calls go to the servers as gRPC. Needs http_version: 2 or auto.
	GRPCWeb bool `yaml:"grpc_web" default:"false"`
	// ServerTLS is what is spoken to the servers; written as server_tls: {} where the system trusts their certificates. Default: clear text.
	ServerTLS *ServerTLS `yaml:"server_tls"`
	// Health is how servers are probed. Default: they are not.
	Health *Health `yaml:"health"`
	// Agent is how a program beside each server is asked what the server can take. Default: none is.
	Agent *Agent `yaml:"agent"`
	// Affinity keeps a client on its server. Default: none.
	Affinity *Affinity `yaml:"affinity"`
	// Retry is when a request that failed is tried again.
	Retry Retry `yaml:"retry"`
	// Hedge asks a second server where the first takes unusually long. Default: it does not; written as hedge: {}.
	Hedge *Hedge `yaml:"hedge"`
	// Eject is when requests that fail take a server out for a while.
	Eject Eject `yaml:"eject"`
	// MaxRequests is how many requests all servers together may have in flight; what is above waits in the queue. 0: any number.
	MaxRequests int `yaml:"max_requests" default:"0" min:"0" max:"10000000"`
	// Queue is where requests wait while all servers have as many as max_requests allows.
	Queue Queue `yaml:"queue"`
	// Adaptive limits requests in flight by how long answers take, within max_requests. Default: it does not; written as adaptive: {}.
	Adaptive *Adaptive `yaml:"adaptive"`
	// SlowStart is how long a server that comes back, or is added, takes to get its whole share: from a tenth of it on, evenly. 0s: it gets it at once.
	SlowStart time.Duration `yaml:"slow_start" default:"0s" min:"0s" max:"1h"`
	// FailOpen is when servers get requests although they are down.
	FailOpen FailOpen `yaml:"fail_open"`
}

// ServerTLS is how a pool's servers are known, and Poise to them.
type ServerTLS struct {
	// ServerName is what is asked for, and what the certificate must be for. Default: the server's name or address.
	ServerName string `yaml:"server_name"`
	// CA is a file with certificates in PEM of who may have signed the servers'. Default: whom the system trusts.
	CA string `yaml:"ca"`
	// Insecure: any certificate will do, and so anyone between can read and change everything.
	Insecure bool `yaml:"insecure" default:"false"`
	// ClientCertificate is what Poise shows a server that asks for one. Default: none.
	ClientCertificate *Certificate `yaml:"client_certificate"`
	// MinVersion of TLS that servers may speak.
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2,1.3"`
}

// Queue is the requests that wait for a server of their pool, in the order of their coming.
type Queue struct {
	// Length is how many may wait. 0: none.
	Length int `yaml:"length" default:"100" min:"0" max:"1000000"`
	// Timeout is how long one waits.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"1ms" max:"1h"`
}

// Adaptive is a limit on a pool's requests in flight that falls while answers take longer than usual, and grows otherwise.
type Adaptive struct {
	// Min is the least that the limit falls to.
	Min int `yaml:"min" default:"10" min:"1" max:"1000000"`
	// Max is the most that it grows to.
	Max int `yaml:"max" default:"1000" min:"1" max:"1000000"`
	// Tolerance is how many times the usual time answers may take before it falls.
	Tolerance Factor `yaml:"tolerance" default:"1.5" min:"1" max:"100"`
}

// FailOpen is when servers that are down get requests like those that are up: probes that fail everywhere may be wrong.
type FailOpen struct {
	// Enabled: false answers 503 when no server is up.
	Enabled bool `yaml:"enabled" default:"true"`
	// Share of the servers that is up, or less, for it to begin. 0%: none is.
	Share Percent `yaml:"share" default:"0%" min:"0%" max:"99%"`
}

// Pools are pools in the order of the file; a mapping from name to pool in YAML.
type Pools []*Pool

// Get returns the pool of that name, or nil.
func (p Pools) Get(name string) *Pool {
	for _, pool := range p {
		if pool.Name == name {
			return pool
		}
	}
	return nil
}

// The policies.
const (
	RoundRobin    = "round_robin"
	LeastRequests = "least_requests"
	Random        = "random"
	IPHash        = "ip_hash"
)

var policies = []string{RoundRobin, LeastRequests, Random, IPHash}

// Policy is the rule that chooses a server: a name, or a name with its settings.
type Policy struct {
	// Name is one of round_robin, least_requests, random and ip_hash.
	Name string
	// Choices is how many servers least_requests compares. 0: all up to 16, two random ones above. AllChoices: all.
	Choices int
}

// AllChoices is Policy.Choices for "all".
const AllChoices = -1

// Server is one address in a pool; in YAML the address alone, or a mapping.
type Server struct {
	// Address to connect to: host:port or unix:/path. Each address that a host name has is a server of its own.
	Address Address `yaml:"address"`
	// Weight is the server's share of requests, in proportion to the others'. 0: only clients that affinity sends there.
	Weight int `yaml:"weight" default:"1" min:"0" max:"256"`
	// Backup: used only while no other server of the pool is usable.
	Backup bool `yaml:"backup" default:"false"`
	// Tier: requests go to tier 0, and to later ones as far as fewer than 71.4 % of those before are up, or all are full. A backup is in none.
	Tier int `yaml:"tier" default:"0" min:"0" max:"15"`
	// Zone that the server is in. Within a tier, requests go to Poise's own zone, and to others as far as fewer than 71.4 % of the servers there are up, or all
	// are full.
	Zone string `yaml:"zone"`
	// MaxRequests is how many requests it may have in flight; what is above goes to others, or waits in the pool's queue. 0: any number.
	MaxRequests int `yaml:"max_requests" default:"0" min:"0" max:"10000000"`
	// MaxConnections is how many connections to it may be open, idle ones too, and so the most requests that it may have in flight. 0: any number.
	MaxConnections int `yaml:"max_connections" default:"0" min:"0" max:"10000000"`
}

// Health is how each server of a pool is probed. Exactly one of http, tcp, tls and grpc.
type Health struct {
	// HTTP asks for a path.
	HTTP *HTTPProbe `yaml:"http"`
	// TCP connects, and says and hears what is asked for; tcp: {} only connects.
	TCP *TCPProbe `yaml:"tcp"`
	// TLS connects and completes a handshake; tls: {} does it with the system's authorities.
	TLS *TLSProbe `yaml:"tls"`
	// GRPC calls the health service of a gRPC server.
	GRPC *GRPCProbe `yaml:"grpc"`
	// Interval from the start of one probe to the start of the next; varied by a tenth.
	Interval time.Duration `yaml:"interval" default:"2s" min:"10ms" max:"1h"`
	// FastInterval is the same while a row of results has begun that may change the server's state, and while it is ejected. 0s: a quarter of interval, 100ms at
	// least; never more than interval.
	FastInterval time.Duration `yaml:"fast_interval" default:"0s" min:"0s" max:"1h"`
	// DownInterval is the same while the server is down and its last probe failed. 0s: as interval.
	DownInterval time.Duration `yaml:"down_interval" default:"0s" min:"0s" max:"1h"`
	// Timeout of one probe.
	Timeout time.Duration `yaml:"timeout" default:"1s" min:"1ms" max:"10m"`
	// Fall is how many probes in a row must fail until a server is down.
	Fall int `yaml:"fall" default:"3" min:"1" max:"1000"`
	// Rise is how many probes in a row must succeed until a server is up again.
	Rise int `yaml:"rise" default:"2" min:"1" max:"1000"`
	// Port to probe, where it is not the server's own. 0: the server's own.
	Port int `yaml:"port" default:"0" min:"0" max:"65535"`
}

// Agent is how a program beside each server is asked, over TCP, what the server can take: it answers with a line such as "up 75%" or "drain". Servers at Unix
// sockets have none.
type Agent struct {
	// Port of the agent, at each server's own host. Has to be there.
	Port int `yaml:"port" min:"1" max:"65535"`
	// Interval from the start of one question to the start of the next; varied by a tenth.
	Interval time.Duration `yaml:"interval" default:"2s" min:"10ms" max:"1h"`
	// Timeout of one question; never more than interval.
	Timeout time.Duration `yaml:"timeout" default:"1s" min:"1ms" max:"10m"`
	// Send is what is sent once connected, such as "state\n"; at most 4096 bytes. Default: nothing.
	Send string `yaml:"send"`
}

// HTTPProbe is a request and what its answer must be. Redirects are not followed.
type HTTPProbe struct {
	// Path to ask for, with its query if any.
	Path string `yaml:"path" default:"/"`
	// Method to ask with.
	Method string `yaml:"method" default:"GET"`
	// Status that counts as a success: 200, 200-399, or a list of those.
	Status Statuses `yaml:"status" default:"200-399"`
	// Host is the Host field's value. Default: the server's address.
	Host string `yaml:"host"`
	// Headers to send beside it.
	Headers Pairs `yaml:"headers"`
	// Body is a text that must be within the first 64 KiB of the answer's body. Default: any body.
	Body string `yaml:"body"`
	// TLS makes it HTTPS; written as tls: {} where the certificate is like any other. Default: clear text.
	TLS *TLSProbe `yaml:"tls"`
}

// TCPProbe is a connection, what is sent on it and what must come.
type TCPProbe struct {
	// Send is what is sent once connected, such as "PING\r\n"; at most 4096 bytes. Default: nothing.
	Send string `yaml:"send"`
	// Expect is a text that must be within the first 4096 bytes that come. Default: nothing is read.
	Expect string `yaml:"expect"`
}

// GRPCProbe is a call of grpc.health.v1.Health/Check, which must say SERVING.
type GRPCProbe struct {
	// Service whose health is asked for. Default: the server as a whole.
	Service string `yaml:"service"`
	// TLS is how the server is known, over TLS; written as tls: {}. Default: HTTP/2 in clear text.
	TLS *TLSProbe `yaml:"tls"`
}

// TLSProbe is how a probe that speaks TLS knows its server.
type TLSProbe struct {
	// ServerName is what is asked for, and what the certificate must be for. Default: http's host if it is set, else the server's name or address.
	ServerName string `yaml:"server_name"`
	// CA is a file with certificates in PEM of who may have signed the server's; read at start. Default: whom the system trusts.
	CA string `yaml:"ca"`
	// Insecure: any certificate will do.
	Insecure bool `yaml:"insecure" default:"false"`
}

// StatusRange is the status codes from First to Last.
type StatusRange struct{ First, Last int }

// Statuses are ranges of status codes.
type Statuses []StatusRange

// Has tells whether code is in one of the ranges.
func (s Statuses) Has(code int) bool {
	for _, r := range s {
		if r.First <= code && code <= r.Last {
			return true
		}
	}
	return false
}

// Retry is when a request that failed is tried again, on another server.
type Retry struct {
	RouteRetry `yaml:",inline"`

	// Budget is how many repeats there may be for a hundred requests of the pool.
	Budget Percent `yaml:"budget" default:"20%" min:"0%" max:"100%"`
	// BudgetFloor is how many repeats a second there may be in any case.
	BudgetFloor int `yaml:"budget_floor" default:"3" min:"0" max:"100000"`
}

// RouteRetry is when a request that failed is tried again, as far as a route can say it.
type RouteRetry struct {
	// Attempts counts all tries of a request, the first one too. 1: nothing is tried again.
	Attempts int `yaml:"attempts" default:"4" min:"1" max:"8"`
	// Repeats is how often a request may be sent again that was sent already: where its method is idempotent and its body at hand.
	Repeats int `yaml:"repeats" default:"1" min:"0" max:"7"`
	// On is how a try ends for another one to follow: connect (there was no connection), reset (it ended before an answer), timeout
	// (per_try was over), or a status of an answer, such as 503.
	On Causes `yaml:"on" default:"connect, reset, timeout"`
	// PerTry is how long one try may take, up to the end of the answer's head. 0s: as long as the timeouts allow.
	PerTry time.Duration `yaml:"per_try" default:"0s" min:"0s" max:"24h"`
}

// Hedge is when a second server is asked for the same while the first has not answered: the first answer counts. Only for GET, HEAD, OPTIONS and TRACE, within
// retry's attempts, repeats and budget.
type Hedge struct {
	// Quantile of the times that the pool's recent answers took: who takes longer gets a rival.
	Quantile Percent `yaml:"quantile" default:"95%" min:"50%" max:"99%"`
	// MinDelay is how long to wait at least.
	MinDelay time.Duration `yaml:"min_delay" default:"10ms" min:"1ms" max:"1h"`
}

// Eject is when requests that fail take a server out of its pool for a while. The last server that is up is never ejected.
type Eject struct {
	// Enabled: false ejects nothing.
	Enabled bool `yaml:"enabled" default:"true"`
	// ConsecutiveFailures is how many requests in a row must fail: no connection, no answer that can be read, or 502 to 504. 0: any number.
	ConsecutiveFailures int `yaml:"consecutive_failures" default:"5" min:"0" max:"1000000"`
	// SuccessRate is by how many standard deviations the share of answers below 500 must lie under the mean of the other servers. 0: not looked at.
	SuccessRate Factor `yaml:"success_rate" default:"1.9" min:"0" max:"100"`
	// Latency is how many times the other servers' median the mean time until an answer's head must be, and 100 ms longer at least. 0: not looked at.
	Latency Factor `yaml:"latency" default:"3" min:"0" max:"1000"`
	// Interval at which success_rate and latency are looked at.
	Interval time.Duration `yaml:"interval" default:"2s" min:"100ms" max:"1h"`
	// MinRequests is how many requests a server must have had in an interval for success_rate and latency; three servers must have.
	MinRequests int `yaml:"min_requests" default:"50" min:"1" max:"1000000000"`
	// Time a server is out for the first time; the second time twice as long, and so on.
	Time time.Duration `yaml:"time" default:"30s" min:"1ms" max:"24h"`
	// MaxTime is the most; a server that was not ejected for as long begins anew.
	MaxTime time.Duration `yaml:"max_time" default:"300s" min:"1ms" max:"24h"`
	// MaxShare of the servers is ejected at a time; one can always be.
	MaxShare Percent `yaml:"max_share" default:"50%" min:"0%" max:"100%"`
	// ReportOnly: the log says what would be ejected, and nothing is.
	ReportOnly bool `yaml:"report_only" default:"false"`
}

// Factor is a decimal number.
type Factor float64

// Percent is a share in hundredths.
type Percent int

// The causes that have a name.
const (
	OnConnect = "connect"
	OnReset   = "reset"
	OnTimeout = "timeout"
)

var causes = []string{OnConnect, OnReset, OnTimeout}

// Cause is how a try may end: one of the names, or statuses.
type Cause struct {
	Name   string // empty: Status
	Status StatusRange
}

// Causes are several.
type Causes []Cause

// Has tells whether a name is among them.
func (c Causes) Has(name string) bool {
	return slices.ContainsFunc(c, func(x Cause) bool { return x.Name == name })
}

// Secret is text that is not to be shown. Its String is a placeholder.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the secret from %#v too.
func (s Secret) GoString() string { return s.String() }
