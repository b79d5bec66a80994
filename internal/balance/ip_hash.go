package balance

import (
	"net/netip"

	"poise/internal/pool"
	"poise/internal/siphash"
)

// ipHash keeps a client's address on one server while that is usable.
type ipHash struct{ key siphash.Key }

// IPHash returns the policy ip_hash. Balancers with the same key send a client to the same server.
func IPHash(key siphash.Key) pool.Policy { return &ipHash{key} }

func (p *ipHash) Build(servers []*pool.Server, _ int) pool.Picker {
	return &ipHashPicker{p.key, newRendezvous(p.key, servers)}
}

// Key is the hash of the client's address.
func (p *ipHash) Key(q *pool.Query) uint64 { return clientHash(p.key, q.Client) }

type ipHashPicker struct {
	key     siphash.Key
	servers rendezvous
}

func (h *ipHashPicker) Pick(q *pool.Query) *pool.Server {
	return h.servers.pick(clientHash(h.key, q.Client), q)
}

// clientHash hashes the whole address; an IPv4 address and its IPv6-mapped form are one client. Clients without an address
// all count as one.
func clientHash(key siphash.Key, client netip.Addr) uint64 {
	b := client.As16() // maps IPv4, drops the zone
	return siphash.Sum(key, b[:])
}
