package balance

import (
	"poise/internal/pool"
	"poise/internal/siphash"
)

// byKey sends requests that have a key where the key says, while that server is usable, and lets another policy choose for the
// others.
type byKey struct {
	key       siphash.Key
	otherwise pool.Policy
}

// ByKey returns a policy that keeps a Query's Key on one server, and leaves queries without one to otherwise. Balancers with the
// same key send a Query's Key to the same server.
func ByKey(key siphash.Key, otherwise pool.Policy) pool.Policy { return &byKey{key, otherwise} }

func (p *byKey) Build(servers []*pool.Server, loop int) pool.Picker {
	return &byKeyPicker{newRendezvous(p.key, servers), p.otherwise.Build(servers, loop)}
}

// Key is q's own, or else the other policy's, if that has one.
func (p *byKey) Key(q *pool.Query) uint64 {
	if k, ok := p.otherwise.(pool.Keyed); q.Key == 0 && ok {
		return k.Key(q)
	}
	return q.Key
}

type byKeyPicker struct {
	servers   rendezvous
	otherwise pool.Picker
}

func (p *byKeyPicker) Pick(q *pool.Query) *pool.Server {
	if q.Key != 0 {
		return p.servers.pick(q.Key, q)
	}
	return p.otherwise.Pick(q)
}
