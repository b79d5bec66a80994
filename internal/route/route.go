// Package route finds what happens to a request: a Table holds every listener's routes, and Match names the one that applies.
//
// It never chooses a server and changes no request; what it compares is the head as the codec made it, normalised once. A
// table is immutable, and replaced as a whole when the configuration changes. Start reading at Table.Match, then rule.
package route

import (
	"time"

	"poise/internal/affinity"
	"poise/internal/pool"
)

// Route is what happens to the requests that it matches. It never changes once a table was built from it.
type Route struct {
	Name     string
	ID       int           // the number by which the statistics know the route
	Index    int           // its place among all routes of the table, from 0; Build sets it
	Pool     *pool.Pool    // where its requests go; nil where Actions answer, or split them
	Affinity affinity.Kind // nil: none
	Timeouts Timeouts
	Retry    Retry
	Upgrades [][]byte // the protocols that a connection may be upgraded to, in lower case
	GRPCWeb  bool     // what comes as gRPC-Web goes to the servers as gRPC

	HSTS []byte // the value of Strict-Transport-Security that all answers have; empty: as the server says

	Actions *Actions // what else it does; nil: nothing, which costs nothing
}

// Retry says when a request is tried again. The zero Retry tries nothing again. Defaults are those of the configuration.
type Retry struct {
	Attempts int           // all tries, the first one too
	Repeats  int           // of them, those after one that was sent
	PerTry   time.Duration // for a try, up to its answer's head; 0: no bound of its own
	// What a try may end with for another one to follow: no connection, a connection that ended before an answer, PerTry over, one of these statuses.
	Connect, Reset, Timeout bool
	Statuses                []Statuses
}

// Statuses are status codes, both ends included.
type Statuses struct{ From, To int }

// OnStatus tells whether an answer with this status lets another try follow.
func (r *Retry) OnStatus(status int) bool {
	for _, s := range r.Statuses {
		if s.From <= status && status <= s.To {
			return true
		}
	}
	return false
}

// Timeouts bound the phases of an exchange. 0 means no bound. The defaults are those of the configuration; none is applied
// here.
type Timeouts struct {
	Connect    time.Duration // a connection to a server, name resolution not among it
	Handshake  time.Duration // a client's TLS handshake in all, from its first byte
	Head       time.Duration // a client's request head in all, from its first byte
	BodyIdle   time.Duration // between two pieces of a body, in either direction
	Write      time.Duration // a write that makes no progress
	Response   time.Duration // from the request's end to the response's head
	Request    time.Duration // the whole exchange
	Idle       time.Duration // a client's connection between two requests
	ServerIdle time.Duration // an unused connection to a server
	RelayIdle  time.Duration // nothing either way after an upgrade
	BodyRate   int           // bytes a second that a body must come with at least, over any 30 s
}

// Spec is a route with its matches.
type Spec struct {
	Route   Route
	Matches []Match // any of these; none: all requests
}

// Listener is a listener's routes in the order of the configuration. What it does with all other requests is a last route
// without a match.
type Listener struct {
	Name   string
	Routes []Spec
}
