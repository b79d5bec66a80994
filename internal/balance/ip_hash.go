package balance

import (
	"math"
	"net/netip"

	"poise/internal/pool"
	"poise/internal/siphash"
)

// ipHash keeps a client's address on one server while that is usable: weighted rendezvous hashing. Each server gets a number
// made from the client and itself, and the best number wins; so only the clients of a server that leaves move, and exactly
// they come back with it. Both hashes are keyed: nobody outside can choose addresses that fall on one server.
// [Thaler and Ravishankar 1998; weights: Schindelhauer and Schomaker 2005]
type ipHash struct{ key siphash.Key }

// IPHash returns the policy ip_hash. Balancers with the same key send a client to the same server.
func IPHash(key siphash.Key) pool.Policy { return &ipHash{key} }

func (p *ipHash) Build(servers []*pool.Server, _ int) pool.Picker {
	h := &hashPicker{key: p.key, servers: servers, seeds: make([]uint64, len(servers))}
	for i, s := range servers {
		h.seeds[i] = siphash.Sum(p.key, []byte(s.Address))
	}
	weights, equal := weightsOf(servers)
	if !equal {
		h.weights = make([]float64, len(servers))
		for i, w := range weights {
			h.weights[i] = float64(w)
		}
	}
	return h
}

// hashPicker has no state: every loop's gives the same answers.
type hashPicker struct {
	key     siphash.Key
	servers []*pool.Server
	seeds   []uint64  // what a server brings to the hash: made from its address, so that it outlasts rebuilds
	weights []float64 // nil: all equal
}

func (h *hashPicker) Pick(q *pool.Query) *pool.Server {
	client := clientHash(h.key, q.Client)
	var best *pool.Server
	var most uint64
	score := math.Inf(-1)
	for i, s := range h.servers {
		if q.Skips(s) {
			continue
		}
		x := mix(client ^ h.seeds[i])
		if h.weights == nil {
			if best == nil || x > most {
				best, most = s, x
			}
			continue
		}
		if w := rank(x, h.weights[i]); w > score {
			best, score = s, w
		}
	}
	return best
}

// rank turns a hash into a number whose greatest is at a server with a chance in proportion to its weight.
func rank(x uint64, weight float64) float64 {
	u := (float64(x>>11) + 0.5) / (1 << 53) // in (0, 1)
	return -weight / math.Log(u)
}

// clientHash hashes the whole address; an IPv4 address and its IPv6-mapped form are one client. Clients without an address
// all count as one.
func clientHash(key siphash.Key, client netip.Addr) uint64 {
	b := client.As16() // maps IPv4, drops the zone
	return siphash.Sum(key, b[:])
}

// mix is the finaliser of splitmix64: every bit of x reaches every bit of the result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
