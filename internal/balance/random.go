package balance

import (
	"sync/atomic"

	"poise/internal/pool"
)

// random takes a server by chance, in proportion to its weight.
type random struct {
	seed   uint64
	builds atomic.Uint64 // a number of its own for each picker, so that no two draw the same sequence
}

// Random returns the policy random. The same seed gives the same choices.
func Random(seed uint64) pool.Policy { return &random{seed: seed} }

func (p *random) Build(servers []*pool.Server, _ int) pool.Picker {
	return &randomPicker{weighted: newWeighted(servers), rng: newRNG(p.seed, p.builds.Add(1))}
}

type randomPicker struct {
	weighted
	rng rng
	_   line
}

func (r *randomPicker) Pick(q *pool.Query) *pool.Server {
	if i := r.draw(&r.rng, q); i >= 0 {
		return r.servers[i]
	}
	return nil
}

// weighted draws servers in proportion to their weights in constant time: the alias method, in whole numbers so that it is
// exact. [Walker 1977; Vose 1991]
type weighted struct {
	servers []*pool.Server
	weights []uint64
	total   uint64
	// Column i of the alias table belongs to server i below split[i], and above it, up to total, to alias[i]. Both are nil
	// when all weights are equal.
	split []uint64
	alias []int
}

func newWeighted(servers []*pool.Server) weighted {
	n := len(servers)
	w := weighted{servers: servers, weights: make([]uint64, n)}
	weights, equal := weightsOf(servers)
	for i, x := range weights {
		w.weights[i] = uint64(x)
		w.total += uint64(x)
	}
	if equal {
		return w
	}
	w.split, w.alias = make([]uint64, n), make([]int, n)
	var small, large []int
	for i := range servers {
		w.split[i] = w.weights[i] * uint64(n)
		if w.split[i] < w.total {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	// Each column that is too short is filled up from one that is too tall. What is left over is exactly full.
	for len(small) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		w.alias[s] = l
		w.split[l] -= w.total - w.split[s]
		if w.split[l] < w.total {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return w
}

// draws bounds how often draw tries its luck before it looks at what is left: nearly all are full, or weights are lopsided.
const draws = 8

// draw returns the index of a server that q does not skip, or -1.
func (w *weighted) draw(r *rng, q *pool.Query) int {
	n := uint64(len(w.servers))
	for range draws {
		i := int(r.below(n))
		if w.split != nil && r.below(w.total) >= w.split[i] {
			i = w.alias[i]
		}
		if !q.Skips(w.servers[i]) {
			return i
		}
	}
	best, sum := -1, uint64(0)
	for i, s := range w.servers {
		if q.Skips(s) {
			continue
		}
		if sum += w.weights[i]; r.below(sum) < w.weights[i] { // so that each is left in proportion to its weight
			best = i
		}
	}
	return best
}
