// Package pool holds groups of interchangeable servers, and hands out leases on them.
//
// A pool knows which of its servers are usable and keeps, for every loop, the picker that its policy built for just those.
// It never probes, dials or resolves names, and knows nothing of requests: probe results and new server lists come in as
// calls with the time. Start reading at Acquire; then view, which is what Acquire reads.
package pool

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// RebuildEvery is the least time between two rebuilds of the pickers that follow from health. Rebuilds cost work in
// proportion to servers times loops, and a flapping server must not cause it for every probe.
const RebuildEvery = 100 * time.Millisecond

// ErrNoServer is why Acquire has none to give: none is usable, none has a weight, or all are in Query.Tried.
var ErrNoServer = errors.New("no usable server is left")

// ServerSpec describes a server.
type ServerSpec struct {
	Name    string // for log, metrics and commands; empty: Address
	Address string // "ip:port" or "unix:/path"
	Weight  int    // the share of requests; 0: no new clients. The configuration's default is 1; it is not applied here
	Backup  bool   // used only when no other server is usable
}

// Spec describes a pool.
type Spec struct {
	Name    string
	ID      int // the number by which the statistics know the pool
	Policy  Policy
	Servers []ServerSpec
	Health  *health.Settings // nil: no probes, every server is up
	Budget  Budget           // of repeats
	Eject   Eject
	Notify  func()               // asks for a Tick soon; called on loops, so it must not wait. nil: nobody
	Loops   int                  // the number of loops; at least 1 is taken
	NextID  func(ServerSpec) int // numbers new servers; nil: 0, 1, 2 and so on within this pool. Called under the pool's mutex
}

// Pool is a named group of servers.
type Pool struct {
	Name string
	ID   int

	loops  int
	nextID func(ServerSpec) int
	notify func()
	purses []purse // by loop

	settings atomic.Pointer[settings]
	members  atomic.Pointer[membership]
	view     atomic.Pointer[view]

	// mu guards changes: every server's machine, the replacing of settings, members and view, and the fields below. Requests
	// never take it.
	mu      sync.Mutex
	built   clock.Instant // when the view was built
	dirty   bool          // the view is outdated and its rebuild was put off
	started bool          // the first round of probes is over
	swept   clock.Instant // when outliers were last looked for
}

// membership is an immutable list of the servers, with a number that grows when it is replaced.
type membership struct {
	generation uint64
	servers    []*Server
}

// New returns a pool whose servers are there from the start.
func New(now clock.Instant, spec Spec) *Pool {
	p := &Pool{Name: spec.Name, ID: spec.ID, loops: max(spec.Loops, 1), nextID: spec.NextID, notify: spec.Notify, swept: now}
	p.settings.Store(spec.settings())
	p.purses = make([]purse, p.loops)
	for i := range p.purses {
		p.purses[i].second = now
		if spec.Budget != (Budget{}) {
			p.purses[i].save(leastDepth)
		}
	}
	if p.nextID == nil {
		n := -1
		p.nextID = func(ServerSpec) int { n++; return n }
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members.Store(&membership{})
	p.replace(now, spec.Servers, true)
	p.started = p.known()
	p.rebuild(now)
	return p
}

// Acquire chooses a server for q and takes a lease on it. The server that q prefers wins while it is up and untried, be it a
// backup or of weight 0: its client has been there before. The error is ErrNoServer.
func (p *Pool) Acquire(_ clock.Instant, q *Query) (Lease, error) {
	s := q.Prefer
	if s == nil || s.owner != p || !s.Up() || q.Tried.Has(s) {
		if s = p.view.Load().pick(q); s == nil {
			return Lease{}, ErrNoServer
		}
	}
	s.inFlight.Add(1)
	return Lease{server: s}, nil
}

// Servers returns all servers in the order of the configuration. The slice is shared: it must not be changed.
func (p *Pool) Servers() []*Server { return p.members.Load().servers }

// Members returns Servers and the list's generation, which differs from every earlier list's.
func (p *Pool) Members() (servers []*Server, generation uint64) {
	m := p.members.Load()
	return m.servers, m.generation
}

// Generation is the generation of the present list of servers; see Members.
func (p *Pool) Generation() uint64 { return p.members.Load().generation }

// Usable returns how many servers requests go to as things are: primaries and backups.
func (p *Pool) Usable() (primaries, backups int) {
	v := p.view.Load()
	return v.primary.size, v.backup.size
}
