// Package balance holds the policies: the rules by which a pool chooses among its usable servers, one file each.
//
// A policy only builds pickers. A picker never looks at health or weight 0 (pool leaves such servers out), takes no lock and
// allocates nothing; what it remembers from pick to pick belongs to one loop. The scans are linear in the number of servers
// where that is exact and cheap, and constant above. Start reading at roundRobin, the shortest; weighted is what the random
// ones share.
package balance

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"poise/internal/pool"
	"poise/internal/siphash"
)

// Names returns the names that ByName knows, the default first.
func Names() []string { return []string{"least_requests", "round_robin", "random", "ip_hash"} }

// ByName returns the policy of that name with its defaults.
func ByName(name string) (pool.Policy, bool) {
	switch name {
	case "least_requests":
		return LeastRequests(0, rand.Uint64()), true
	case "round_robin":
		return RoundRobin(), true
	case "random":
		return Random(rand.Uint64()), true
	case "ip_hash":
		return IPHash(siphash.Key{rand.Uint64(), rand.Uint64()}), true
	}
	return nil, false
}

// line is the padding that keeps the state of two loops' pickers off each other's cache lines (two, as neighbours are
// fetched in pairs).
type line [128]byte

// rng is a small generator of random numbers that belongs to one picker.
type rng struct{ rand.PCG }

func newRNG(seed, stream uint64) rng { return rng{*rand.NewPCG(seed, stream)} }

// below returns a number in [0, n). Its bias is below n/2^64.
func (r *rng) below(n uint64) uint64 {
	hi, _ := bits.Mul64(r.Uint64(), n)
	return hi
}

// weightsOf returns the servers' weights as they count at present, at least 1 each, divided by what they have in common; and whether all are equal.
func weightsOf(servers []*pool.Server) (weights []int, equal bool) {
	weights = make([]int, len(servers))
	common := 0
	for i, s := range servers {
		weights[i] = max(s.Share(), 1)
		common = gcd(weights[i], common)
	}
	for i := range weights {
		weights[i] /= common
	}
	return weights, len(weights) == 0 || slices.Max(weights) == 1
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
