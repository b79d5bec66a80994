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

// ErrNoServer is why Acquire has none to give: none is usable, none has a weight, or all are in Query.Tried. ErrFull: there are some, but they, or the pool,
// have all the requests that they may have.
var (
	ErrNoServer = errors.New("no usable server is left")
	ErrFull     = errors.New("all usable servers are full")
)

// ServerSpec describes a server.
type ServerSpec struct {
	Name    string // for log, metrics and commands; empty: Address
	Address string // "ip:port" or "unix:/path"
	Weight  int    // the share of requests; 0: no new clients. The configuration's default is 1; it is not applied here
	Backup  bool   // used only when no other server is usable
	Tier    int    // from 0 to MaxTier; requests go to lower ones as far as those are healthy. Of a backup it says nothing
	Zone    string // that it is in; see Spec.Zone
	// MaxRequests is how many requests it may have in flight; 0: any number.
	MaxRequests int
	// MaxConnections is how many connections to it may be open; 0: any number.
	MaxConnections int
}

// requests is how many requests the server may have in flight: each takes a connection. Where a connection carries several at once, this is the place to
// count with that.
func (s *ServerSpec) requests() int {
	if s.MaxRequests == 0 || (s.MaxConnections > 0 && s.MaxConnections < s.MaxRequests) {
		return s.MaxConnections
	}
	return s.MaxRequests
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
	Hedge   Hedge
	// MaxRequests is how many requests all servers together may have in flight; 0: any number. What is above waits in Queue.
	MaxRequests int
	Adapt       Adapt // a limit that finds itself, beside it
	Queue       Queue
	SlowStart   time.Duration // how long a server that comes back or is added takes to get its whole share
	// FailOpen is the share of the servers, in hundredths, that is up, or less, for those that are down to get requests too. Below 0: they never do.
	FailOpen int
	// Zone is the zone that Poise is in: of a tier, its servers come before those elsewhere. Empty: zones make no difference.
	Zone   string
	Notify func()               // asks for a Tick soon; called on loops, so it must not wait. nil: nobody
	Loops  int                  // the number of loops; at least 1 is taken
	NextID func(ServerSpec) int // numbers new servers; nil: 0, 1, 2 and so on within this pool. Called under the pool's mutex
}

// Pool is a named group of servers.
type Pool struct {
	Name string
	ID   int

	loops  int
	nextID func(ServerSpec) int
	notify func()

	purses []purse // by loop, as the next
	recent []recent
	turns  []turn // by loop, and one for the queue

	settings atomic.Pointer[settings]
	members  atomic.Pointer[membership]
	view     atomic.Pointer[view]
	limit    atomic.Int64 // of requests in flight; 0: none
	bounded  atomic.Bool  // the pool or a server has a limit
	queue    queue

	// mu guards changes: every server's machine, the replacing of settings, members and view, and the fields below. Requests
	// never take it.
	mu       sync.Mutex
	built    clock.Instant // when the view was built
	dirty    bool          // the view is outdated and its rebuild was put off
	started  bool          // the first round of probes is over
	adaption adaption
	queued   bool          // there was a limit once, so that requests could wait
	swept    clock.Instant // when outliers were last looked for
	spill    string        // what was last said of where requests go

	_        [64]byte
	inFlight atomic.Int64 // counted only where the pool has a limit
	_        [64]byte
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
	p.purses, p.recent, p.turns = make([]purse, p.loops), make([]recent, p.loops), newTurns(p.loops+1)
	for i := range p.purses {
		p.purses[i].second = now
		if spec.Budget != (Budget{}) {
			p.purses[i].floor = spec.Budget.Floor * wholeRepeat / p.loops
			p.purses[i].save(max(leastDepth, p.purses[i].floor))
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
// backup or of weight 0: its client has been there before. The error is ErrNoServer, or ErrFull: then Join waits.
func (p *Pool) Acquire(_ clock.Instant, q *Query) (Lease, error) {
	if p.bounded.Load() {
		if p.queue.waiting.Load() > 0 {
			return Lease{}, p.none(q) // who waits comes first
		}
		return p.take(q, q.Loop)
	}
	s := q.Prefer
	if !p.insists(q) {
		if s = p.view.Load().pick(q, q.Loop); s == nil {
			return Lease{}, ErrNoServer
		}
	}
	s.inFlight.Add(1)
	return Lease{server: s}, nil
}

// insists tells whether q is for one server, and that is usable.
func (p *Pool) insists(q *Query) bool {
	s := q.Prefer
	return s != nil && s.owner == p && s.Up() && !q.Tried.Has(s)
}

// take is Acquire within the limits. picker is the number of a loop, or of the picker that belongs to the queue.
func (p *Pool) take(q *Query, picker int) (Lease, error) {
	l := Lease{}
	if limit := p.limit.Load(); limit > 0 {
		if !enter(&p.inFlight, limit) {
			return Lease{}, ErrFull
		}
		l.counted = true
	}
	if l.server = p.takeServer(q, picker); l.server != nil {
		return l, nil
	}
	if l.counted {
		p.inFlight.Add(-1)
		if picker < p.loops { // else the caller is just handing over
			p.released(true)
		}
	}
	return Lease{}, p.none(q)
}

// none tells why q gets no server although it may have a slot of the pool.
func (p *Pool) none(q *Query) error {
	if p.insists(q) || p.view.Load().has(q) {
		return ErrFull
	}
	return ErrNoServer
}

// patience bounds how often a server is chosen anew whose last slot another loop has just taken: who has bad luck joins the queue, which is exact.
const patience = 16

func (p *Pool) takeServer(q *Query, picker int) *Server {
	if p.insists(q) {
		if q.Prefer.enter() {
			return q.Prefer
		}
		return nil
	}
	v := p.view.Load()
	for range patience {
		s := v.pick(q, picker)
		if s == nil {
			return nil
		}
		if s.enter() {
			return s
		}
	}
	return nil
}

// enter takes one of limit slots. It never counts one that it does not get: others would take a free slot for a taken one.
func enter(inFlight *atomic.Int64, limit int64) bool {
	for {
		n := inFlight.Load()
		if n >= limit {
			return false
		}
		if inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Patience is how long a request may wait in the queue.
func (p *Pool) Patience() time.Duration { return p.settings.Load().queue.Timeout }

// Servers returns all servers in the order of the configuration. The slice is shared: it must not be changed.
func (p *Pool) Servers() []*Server { return p.members.Load().servers }

// Members returns Servers and the list's generation, which differs from every earlier list's.
func (p *Pool) Members() (servers []*Server, generation uint64) {
	m := p.members.Load()
	return m.servers, m.generation
}

// Generation is the generation of the present list of servers; see Members.
func (p *Pool) Generation() uint64 { return p.members.Load().generation }

// Usable returns how many servers requests go to as things are.
func (p *Pool) Usable() int { return p.view.Load().size() }

// Opened tells whether servers that are down get requests, since too few are up.
func (p *Pool) Opened() bool { return p.view.Load().opened }
