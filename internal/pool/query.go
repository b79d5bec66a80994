package pool

import "net/netip"

// Query carries the facts that a choice is made from. It carries no request, so that TCP can ask as well.
//
// It goes through an interface, so a Query in a local variable is moved to the heap: keep it in a struct that is reused.
type Query struct {
	Loop   int        // the loop that asks; picker state belongs to it
	Client netip.Addr // the zero value for clients without an IP address
	Key    uint64     // a hash of what the configuration names as key; 0: none
	Prefer *Server    // the server that affinity asks for, of this pool; nil: none
	Tried  Set        // servers that must not be chosen again
}

// Skips tells whether s cannot be chosen: it was tried, or has all the requests that it may have.
func (q *Query) Skips(s *Server) bool { return (q.Tried.n > 0 && q.Tried.Has(s)) || s.Full() }

// maxTried bounds Set. Attempts are bounded lower than that by the configuration.
const maxTried = 8

// Set is a small set of servers. The zero Set is empty.
type Set struct {
	n int
	s [maxTried]*Server
}

// Add puts s into the set, unless the set holds 8 servers already: then s is left out.
func (t *Set) Add(s *Server) {
	if t.n < maxTried && !t.Has(s) {
		t.s[t.n] = s
		t.n++
	}
}

// Has tells whether s is in the set.
func (t *Set) Has(s *Server) bool {
	for _, have := range t.s[:t.n] {
		if have == s {
			return true
		}
	}
	return false
}

// Len is the number of servers in the set.
func (t *Set) Len() int { return t.n }

// Picker chooses among the servers that it was built for. It belongs to one loop; it takes no lock, allocates nothing and
// never waits.
type Picker interface {
	// Pick returns a server that q does not skip, or nil when none is left.
	Pick(q *Query) *Server
}

// Policy builds pickers. Build may be called from any goroutine, but not from two at once for one pool.
type Policy interface {
	// Build returns loop's picker for servers: at least one, each usable and of weight 1 or more, in the order of the
	// configuration. The slice never changes.
	Build(servers []*Server, loop int) Picker
}

// Keyed is a policy that sends queries with the same key to the same server.
type Keyed interface {
	// Key returns a keyed hash of what q's server follows from; 0: of nothing.
	Key(q *Query) uint64
}
