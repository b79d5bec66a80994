package affinity

import (
	"net/netip"
	"sync/atomic"

	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/siphash"
)

// SourceSettings say which addresses are one client.
type SourceSettings struct {
	Key  siphash.Key // of the addresses' hash; a secret, so that nobody can choose addresses that push others out of the table
	IPv6 int         // how many leading bits of an IPv6 address count; 0: all 128
}

// Source is a Kind: a table remembers which server an address was sent to.
type Source struct {
	SourceSettings
	table   *Table
	pool    *pool.Pool
	servers atomic.Pointer[numbered]
}

// NewSource returns the affinity of pool p by what t remembers. The table may have been another's of the pool before, with the same
// settings.
func NewSource(s SourceSettings, t *Table, p *pool.Pool) *Source {
	if s.IPv6 <= 0 || s.IPv6 > 128 {
		s.IPv6 = 128
	}
	return &Source{SourceSettings: s, table: t, pool: p}
}

// Find looks the address up. A request without one belongs nowhere.
func (s *Source) Find(now clock.Instant, from netip.Addr, _ msg.Fields) Found {
	if !from.IsValid() {
		return Found{}
	}
	f := Found{In: None, Out: None, address: siphash.Address(s.Key, from, s.IPv6)}
	var expired bool
	f.was, expired = s.table.get(now, f.address)
	switch {
	case f.was < 0:
	case expired:
		f.In = Expired
	default:
		f.In = Invalid
		if server := s.server(f.was); server != nil {
			f.belongsTo(server)
		}
	}
	return f
}

// Keep remembers the server. The client is told nothing.
func (s *Source) Keep(now clock.Instant, f *Found, server *pool.Server, dst []byte) []byte {
	if f.In == 0 || !s.table.put(now, f.address, f.was, server.ID) {
		return dst
	}
	switch f.Server {
	case server:
	case nil:
		f.Out = New
	default:
		f.Out = Updated
	}
	return dst
}

// numbered is a pool's servers by number. It is immutable, and replaced when the pool's list of servers is.
type numbered struct {
	generation uint64
	servers    map[int]*pool.Server
}

// server returns the pool's server of that number, or nil.
func (s *Source) server(id int) *pool.Server {
	x := s.servers.Load()
	if x == nil || x.generation != s.pool.Generation() {
		x = s.refresh()
	}
	return x.servers[id]
}

func (s *Source) refresh() *numbered {
	servers, generation := s.pool.Members()
	x := &numbered{generation, make(map[int]*pool.Server, len(servers))}
	for _, server := range servers {
		x.servers[server.ID] = server
	}
	s.servers.Store(x)
	return x
}
