// Package affinity keeps a client on the server that it was sent to first.
//
// There are kinds of it, each a Kind: Cookie gives clients a cookie whose value stands for a server, Source remembers which
// server an address was sent to, Hash makes a key of a value that the client sends. A kind never chooses a
// server and never insists: what it finds is a preference that pool.Acquire follows while the server is up. Cookies are
// passed on to servers like any others. Start reading at Kind, then cookie.go.
package affinity

import (
	"net/netip"

	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/pool"
)

// Kind is how the clients of one pool are kept on their servers. An exchange asks it twice. Its methods may be called on any
// loop at the same time; they allocate nothing and take no lock.
type Kind interface {
	// Find tells where a request belongs, before a server is chosen. from is whom it came from; not valid: unknown.
	Find(now clock.Instant, from netip.Addr, fields msg.Fields) Found
	// Keep notes that s has answered the request of f, and sets f.Out. It appends to dst the value of the Set-Cookie field that
	// the client is to get, if any.
	Keep(now clock.Instant, f *Found, s *pool.Server, dst []byte) []byte
}

// Found is what a request brought. The zero Found is that of a pool without affinity.
type Found struct {
	Server *pool.Server // whom it belongs to, whatever the server's state; nil: nobody
	// In is what was found and Out what became of it, as HAProxy's third and fourth letters tell it; 0: nothing to tell.
	In, Out byte

	// Key is what balance.ByKey chooses by; 0: the policy chooses.
	Key uint64

	stamp   stamp  // Cookie: that of a cookie with limits
	address uint64 // Source: a hash of it
	was     int    // Source: the number of the server that the table had; -1: none
}

// The letters of Found.In and Found.Out.
const (
	None    = 'N' // nothing was found; nothing was noted
	Invalid = 'I' // In: what came stands for no server
	Valid   = 'V' // In: a server that is up
	Down    = 'D' // In: a server that is not up
	Expired = 'E' // In: a server, but it was not used for too long
	Old     = 'O' // In: a server, but it was given too long ago
	New     = 'I' // Out: the client was given a server
	Updated = 'U' // Out: the client was given another server, or the same one with a new time
)

// belongsTo notes the server of a request.
func (f *Found) belongsTo(s *pool.Server) {
	f.Server, f.In = s, Valid
	if !s.Up() {
		f.In = Down
	}
}
