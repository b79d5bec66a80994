package pool

import (
	"slices"
	"sync"
	"sync/atomic"
)

// connections counts the open connections to a server, idle ones too, and bounds them. It is exact: who opens one says so before, and says that it has
// ended once its socket is closed. So it counts always, not only where there is a limit: one that a reload sets holds for what is open then.
//
// Idle connections belong to loops, so a loop that has none may find that others have them all. It waits then, in the order of its coming, and has another
// loop close one. The mutex is taken only while somebody waits, as in queue: whoever joins first says so in waiting and then looks for room, and for idle
// connections; whoever has closed one first gives its room back and then looks at waiting; and whoever keeps one first has it among its idle ones, where
// who joins has it looked for, and asks Crowded in the same turn.
//
// That somebody closes one for each that waits follows from the limit on requests, which is no higher: of those that have a slot, the ones that wait have no
// connection, so at least as many connections are idle or being closed.
type connections struct {
	limit atomic.Int32 // 0: any number

	_       [64]byte
	open    atomic.Int64
	waiting atomic.Int32 // how many wait, or are about to
	_       [64]byte

	mu      sync.Mutex // guards dialers and their fields
	dialers []*Dialer
}

// Dialer is who waits until another connection to a server may be opened.
type Dialer struct {
	tell          func()
	waits, served bool
}

// Opens counts a connection that is about to be opened. It reports false where there may be no more, or others wait for one: then AwaitRoom waits. Closed
// must follow, once.
func (s *Server) Opens() bool {
	c := &s.conns
	limit := c.limit.Load()
	if limit == 0 {
		c.open.Add(1)
		return true
	}
	return c.waiting.Load() == 0 && enter(&c.open, int64(limit))
}

// Closed says that a connection's socket is closed, or was never made.
func (s *Server) Closed() {
	c := &s.conns
	c.open.Add(-1)
	if c.waiting.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handOver()
}

// AwaitRoom has d wait for what Opens has refused. tell is called once, when the connection is counted: on any goroutine and under a mutex, so it must not
// wait. Who calls it has a connection closed where one is idle, as long as the server is Crowded. LeaveRoom must follow.
func (s *Server) AwaitRoom(d *Dialer, tell func()) {
	c := &s.conns
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.Add(1)
	*d = Dialer{tell: tell, waits: true}
	c.dialers = append(c.dialers, d)
	c.handOver()
}

// LeaveRoom ends a wait. It tells whether a connection was counted for d, as by Opens.
func (s *Server) LeaveRoom(d *Dialer) bool {
	c := &s.conns
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.waits {
		c.remove(slices.Index(c.dialers, d))
	}
	return d.served
}

func (c *connections) remove(i int) {
	c.dialers[i].waits = false
	c.dialers = slices.Delete(c.dialers, i, i+1)
	c.waiting.Add(-1)
}

// handOver gives room to those who wait, the first first. mu is held.
func (c *connections) handOver() {
	for len(c.dialers) > 0 {
		if limit := c.limit.Load(); limit == 0 {
			c.open.Add(1)
		} else if !enter(&c.open, int64(limit)) {
			return
		}
		d := c.dialers[0]
		c.remove(0)
		d.served = true
		d.tell()
	}
}

// setLimit is for a new list of servers.
func (c *connections) setLimit(n int) {
	c.limit.Store(int32(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handOver()
}

// Crowded tells whether an idle connection should rather be closed: somebody waits for its room, or more are open than may be.
func (s *Server) Crowded() bool {
	c := &s.conns
	limit := c.limit.Load()
	return limit > 0 && (c.waiting.Load() > 0 || c.open.Load() > int64(limit))
}

// Surplus is how many connections fewer there should be for all who wait to have one.
func (s *Server) Surplus() int {
	c := &s.conns
	if limit := c.limit.Load(); limit > 0 {
		return max(0, int(c.open.Load())+int(c.waiting.Load())-int(limit))
	}
	return 0
}

// Connections is how many connections to the server are open, idle ones too; probes have their own.
func (s *Server) Connections() int { return int(s.conns.open.Load()) }

// MaxConnections is how many there may be; 0: any number.
func (s *Server) MaxConnections() int { return int(s.conns.limit.Load()) }
