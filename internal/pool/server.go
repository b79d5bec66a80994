package pool

import (
	"strings"
	"sync/atomic"

	"poise/internal/clock"
	"poise/internal/health"
)

// Server is one address of a pool. It outlasts pickers and reloads: whoever holds one may go on using it after it was
// removed from its pool.
type Server struct {
	// Pool, Name and Address never change. Name is the one of configuration, log and metrics; Address is what is dialled:
	// "ip:port" or "unix:/path".
	Pool, Name, Address string
	// ID is a small number that no other server has that shares the numbering of Spec.NextID: an index for per-loop state.
	ID int

	owner  *Pool
	weight atomic.Int32
	share  atomic.Int32 // of its weight that counts at present, in hundredths
	limit  atomic.Int32 // requests that it may have in flight by configuration; 0: any number
	most   atomic.Int32 // as many at present; closed: none
	backup atomic.Bool
	tier   atomic.Int32
	zone   atomic.Pointer[string]
	state  atomic.Uint32 // health.State with the agent's word, published by the owner
	gone   atomic.Bool   // removed from the pool
	silent atomic.Bool   // its last request had no answer, or nothing is known of one since its probes began to fail
	trial  atomic.Bool   // it is down, and gets one request at a time
	rest   atomic.Int64  // how long it is to rest from the next Tick on, after a trial without an answer; 0: it need not
	order  atomic.Uint32 // Order, of a person
	// agentOrder is what the agent wants likewise.
	agentOrder atomic.Uint32

	// machine, agent, misheard, before, condition and since are guarded by the owner's mutex.
	machine   health.Machine
	agent     health.Agent
	misheard  []string                                     // the words of the agent's last answer that meant nothing
	before    struct{ ended, failed, timed, waited int64 } // the tally at the last sweep
	condition string                                       // as it was last noted
	since     clock.Instant                                // of it

	restsUntil clock.Instant // 0: it does not rest; guarded likewise

	configured int           // the weight that the last list of servers has; guarded likewise
	orderEnds  clock.Instant // when Draining becomes Maint; 0: never. Guarded likewise
	warming    clock.Instant // when it came back or was added; 0: its share is whole; guarded likewise

	reported clock.Instant // when it was last said that it would be ejected; guarded likewise

	ejections [len(causeNames)]atomic.Uint64

	conns connections

	// What loops write for every request has cache lines of its own, so that the reads above stay cheap.
	_        [64]byte
	inFlight atomic.Int64
	tally    tally
	_        [64]byte
}

// InFlight is the number of leases that have not ended.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// Full tells whether the server has all the requests that it may have.
func (s *Server) Full() bool {
	most := s.most.Load()
	return most != 0 && s.inFlight.Load() >= int64(most)
}

// enter takes a slot, if there is one.
func (s *Server) enter() bool {
	if most := s.most.Load(); most != 0 {
		return enter(&s.inFlight, int64(most))
	}
	s.inFlight.Add(1)
	return true
}

// MaxRequests is how many requests the server may have in flight, for its own limit or that of its connections; 0: any number.
func (s *Server) MaxRequests() int { return int(s.limit.Load()) }

// Ejections is how often the server was ejected, for each cause.
func (s *Server) Ejections(c Cause) uint64 { return s.ejections[c].Load() }

// State is the state that health and agent make together.
func (s *Server) State() health.State { return health.State(s.state.Load()) }

// Up tells whether the server may get requests, be it of clients that are tied to it only.
func (s *Server) Up() bool { return s.State() == health.Up && !s.gone.Load() && s.Order() != Maint }

// takes tells whether the server gets new clients, as far as weights and orders go.
func (s *Server) takes() bool { return s.Weight() > 0 && s.Order() == Ready }

// Removed tells whether the server has left its pool. Leases on it may still be running.
func (s *Server) Removed() bool { return s.gone.Load() }

// Weight is the server's share of requests in relation to the others'; 0: it gets no new clients.
func (s *Server) Weight() int { return int(s.weight.Load()) }

// Share is the weight in hundredths, as far as it counts at present: a server that has just come back gets less than its share, and its agent
// may ask for less or more.
func (s *Server) Share() int { return s.Weight() * int(s.share.Load()) }

// Backup tells whether the server is used only when no other one is usable.
func (s *Server) Backup() bool { return s.backup.Load() }

// Tier is the server's tier, from 0; a backup is in none.
func (s *Server) Tier() int { return int(s.tier.Load()) }

// rank is the place of its tier in the order in which requests turn to servers.
func (s *Server) rank() int {
	if s.Backup() {
		return backups
	}
	return s.Tier()
}

// Zone is the zone that the server is in; empty: it is in none.
func (s *Server) Zone() string { return *s.zone.Load() }

// Host is the host that s is configured by: a name, or its address.
func (s *Server) Host() string {
	if strings.HasPrefix(s.Address, "unix:") {
		return "localhost"
	}
	name, _, _ := strings.Cut(s.Name, "/") // app.example.com:443/10.0.0.1 is one address of a name
	for _, text := range []string{name, s.Address} {
		if i := strings.LastIndexByte(text, ':'); i > 0 {
			return strings.TrimSuffix(strings.TrimPrefix(text[:i], "["), "]")
		}
	}
	return s.Address
}
