package balance

import (
	"sync/atomic"

	"poise/internal/pool"
)

// leastRequests takes the server with the fewest requests in flight in relation to its weight. One balancer sees the exact
// counts, so looking at all servers is best while that is cheap; above, the better of two random ones is nearly as good, and
// loops that decide at the same moment do not all fall on the same server. [Mitzenmacher 2001; HAProxy `balance leastconn`]
type leastRequests struct {
	choices int
	seed    uint64
	builds  atomic.Uint64
}

// fullScan is up to how many servers all are looked at by default.
const fullScan = 16

// LeastRequests returns the policy least_requests. choices is how many random servers are compared; 0: all up to 16 servers
// and two above; negative: always all. seed is for breaking ties: the same seed gives the same choices.
func LeastRequests(choices int, seed uint64) pool.Policy {
	return &leastRequests{choices: choices, seed: seed}
}

func (p *leastRequests) Build(servers []*pool.Server, _ int) pool.Picker {
	b := leastPicker{weighted: newWeighted(servers), rng: newRNG(p.seed, p.builds.Add(1)), choices: p.choices}
	if b.choices == 0 && len(servers) > fullScan {
		b.choices = 2
	}
	if b.choices <= 0 || b.choices >= len(servers) {
		b.choices = 0
	}
	return &b
}

type leastPicker struct {
	weighted
	choices int // 0: all
	rng     rng
	_       line
}

func (l *leastPicker) Pick(q *pool.Query) *pool.Server {
	var best int
	if l.choices == 0 {
		best = l.scan(q)
	} else {
		best = l.sample(q)
	}
	if best < 0 {
		return nil
	}
	return l.servers[best]
}

// scan looks at all. Of those that share the least load each wins in proportion to its weight, so that a pool with little
// to do spreads it as a busy one would.
func (l *leastPicker) scan(q *pool.Query) int {
	best := -1
	var least, ties uint64 // the load of best, times its weight; the weights of all that have this load
	for i, s := range l.servers {
		if q.Skips(s) {
			continue
		}
		load, w := load(s), l.weights[i]
		if best >= 0 {
			mine, its := load*l.weights[best], least*w
			if mine > its {
				continue
			}
			if mine == its {
				ties += w
				if l.rng.below(ties) < w {
					best, least = i, load
				}
				continue
			}
		}
		best, least, ties = i, load, w
	}
	return best
}

// sample draws servers by weight and takes the least loaded. The same server drawn twice is drawn again, a few times.
func (l *leastPicker) sample(q *pool.Query) int {
	best := l.draw(&l.rng, q)
	if best < 0 {
		return -1
	}
	least := load(l.servers[best])
	for range l.choices - 1 {
		i := l.draw(&l.rng, q)
		for range draws {
			if i != best {
				break
			}
			i = l.draw(&l.rng, q)
		}
		if i < 0 {
			break // the first is the only one that is not full
		}
		if x := load(l.servers[i]); x*l.weights[best] < least*l.weights[i] {
			best, least = i, x
		}
	}
	return best
}

// load is what a server would have in flight with this request; 0 for an idle one, so that all idle servers are alike
// whatever their weights. [HAProxy, lb_fwlc.c]
func load(s *pool.Server) uint64 {
	if n := s.InFlight(); n > 0 {
		return uint64(n) + 1
	}
	return 0
}
