package balance

import (
	"sync/atomic"

	"poise/internal/pool"
)

// roundRobin takes the servers in turn, by nginx's smooth weighted rule: at every pick each server's balance grows by its
// weight, the largest balance wins, and the winner pays the sum of all weights. Weights 5, 1, 1 give a a b a c a a: exact over
// a cycle, and without bursts. [nginx, ngx_http_upstream_round_robin.c]
type roundRobin struct {
	// builds makes each picker start at a different server, so that loops do not march in step and a pool that is rebuilt
	// often does not begin with the same server each time.
	builds atomic.Uint64
}

// RoundRobin returns the policy round_robin.
func RoundRobin() pool.Policy { return &roundRobin{} }

// maxCycleWork bounds servers times picks in a cycle that is computed ahead. It is reached by 1000 servers of unlike
// weights around 1, or by 64 of weights around 256; past it the rule is followed pick by pick.
const maxCycleWork = 1 << 20

func (p *roundRobin) Build(servers []*pool.Server, _ int) pool.Picker {
	start := int((p.builds.Add(1) - 1) % uint64(len(servers)))
	weights, equal := weightsOf(servers)
	if equal {
		return &cyclePicker{cycle: servers, next: start}
	}
	s := &smoothPicker{servers: servers, weights: weights, balance: make([]int, len(servers))}
	total := 0
	for _, w := range weights {
		total += w
	}
	var none pool.Query
	if total*len(servers) > maxCycleWork {
		for range start {
			s.Pick(&none)
		}
		return s
	}
	c := &cyclePicker{cycle: make([]*pool.Server, total), next: start}
	for i := range c.cycle {
		c.cycle[i] = s.Pick(&none)
	}
	return c
}

// cyclePicker walks a cycle that was computed ahead.
type cyclePicker struct {
	cycle []*pool.Server
	next  int
	_     line
}

func (c *cyclePicker) Pick(q *pool.Query) *pool.Server {
	for range c.cycle {
		s := c.cycle[c.next]
		if c.next++; c.next == len(c.cycle) {
			c.next = 0
		}
		if !q.Skips(s) {
			return s
		}
	}
	return nil
}

// smoothPicker follows the rule as it goes. Tried servers sit a pick out, as in nginx.
type smoothPicker struct {
	servers []*pool.Server
	weights []int
	balance []int
}

func (c *smoothPicker) Pick(q *pool.Query) *pool.Server {
	best, total := -1, 0
	for i, s := range c.servers {
		if q.Skips(s) {
			continue
		}
		c.balance[i] += c.weights[i]
		total += c.weights[i]
		if best < 0 || c.balance[i] > c.balance[best] {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	c.balance[best] -= total
	return c.servers[best]
}
