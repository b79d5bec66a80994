package balance

import (
	"math"

	"poise/internal/pool"
	"poise/internal/siphash"
)

// rendezvous finds the server of a client among some: weighted rendezvous hashing. Each server gets a number made from the
// client and itself, and the best number wins; so only the clients of a server that leaves move, and exactly they come back
// with it. Both hashes are keyed: nobody outside can choose clients that fall on one server. It has no state: every loop's gives
// the same answers. [Thaler and Ravishankar 1998; weights: Schindelhauer and Schomaker 2005]
type rendezvous struct {
	servers []*pool.Server
	seeds   []uint64  // what a server brings to the hash: made from its address, so that it outlasts rebuilds
	weights []float64 // nil: all equal
}

func newRendezvous(key siphash.Key, servers []*pool.Server) rendezvous {
	r := rendezvous{servers: servers, seeds: make([]uint64, len(servers))}
	for i, s := range servers {
		r.seeds[i] = siphash.Sum(key, []byte(s.Address))
	}
	weights, equal := weightsOf(servers)
	if !equal {
		r.weights = make([]float64, len(servers))
		for i, w := range weights {
			r.weights[i] = float64(w)
		}
	}
	return r
}

// pick returns the server that comes first in a client's own order, of those that q does not skip; client is a keyed hash.
func (r *rendezvous) pick(client uint64, q *pool.Query) *pool.Server {
	var best *pool.Server
	var most uint64
	score := math.Inf(-1)
	for i, s := range r.servers {
		if q.Skips(s) {
			continue
		}
		x := mix(client ^ r.seeds[i])
		if r.weights == nil {
			if best == nil || x > most {
				best, most = s, x
			}
			continue
		}
		if w := rank(x, r.weights[i]); w > score {
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

// mix is the finaliser of splitmix64: every bit of x reaches every bit of the result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
