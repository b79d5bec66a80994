package balance

import (
	"math/bits"

	"poise/internal/pool"
)

// roundRobin takes the servers in turn, by nginx's smooth weighted rule: at every pick each server's balance grows by its
// weight, the largest balance wins, and the winner pays the sum of all weights. Weights 5, 1, 1 give a a b a c a a: exact over
// a cycle, and without bursts. [nginx, ngx_http_upstream_round_robin.c]
type roundRobin struct {
	builds []uint64 // of each loop's pickers; Build has it for itself
}

// RoundRobin returns the policy round_robin.
func RoundRobin() pool.Policy { return &roundRobin{} }

// maxCycleWork bounds servers times picks in a cycle that is computed ahead. It is reached by 1000 servers of unlike
// weights around 1, or by 64 of weights around 256; past it the rule is followed pick by pick.
const maxCycleWork = 1 << 20

func (p *roundRobin) Build(servers []*pool.Server, loop int) pool.Picker {
	nth := p.nth(loop)
	weights, equal := weightsOf(servers)
	if equal {
		return &cyclePicker{cycle: servers, next: begin(loop, nth, len(servers))}
	}
	s := &smoothPicker{servers: servers, weights: weights, balance: make([]int, len(servers))}
	total := 0
	for _, w := range weights {
		total += w
	}
	if total*len(servers) > maxCycleWork {
		s.mix(total, newRNG(nth, uint64(loop)))
		return s
	}
	c := &cyclePicker{cycle: make([]*pool.Server, total), next: begin(loop, nth, total)}
	var q pool.Query
	for i := range c.cycle {
		c.cycle[i] = s.Pick(&q)
	}
	return c
}

// nth is how many pickers were built for the loop before.
func (p *roundRobin) nth(loop int) uint64 {
	for len(p.builds) <= loop {
		p.builds = append(p.builds, 0)
	}
	p.builds[loop]++
	return p.builds[loop] - 1
}

// golden is the golden ratio's fraction of 2^64: of all steps around a circle the one whose stops lie most evenly, however many there have been.
const golden = 0x9e3779b97f4a7c15

// begin is the place in a cycle where the nth picker of a loop begins. Loops begin apart, so that they do not march in step. A loop whose pickers are built
// often begins at every place as often as at any other: else few requests between two builds would all go to the servers that come first.
func begin(loop int, nth uint64, cycle int) int {
	at, _ := bits.Mul64(nth*golden, uint64(cycle))
	return (loop + int(at)) % cycle
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

// mix brings the picker to some place in its cycle, without the work of all the picks before. Within a cycle a balance passes evenly over as many values as
// the total, so each begins with one of them; what they have to do with each other comes by some picks.
func (c *smoothPicker) mix(total int, r rng) {
	for i := range c.balance {
		c.balance[i] = int(r.below(uint64(total)))
	}
	var q pool.Query
	for range min(len(c.servers), maxCycleWork/len(c.servers)) {
		c.Pick(&q)
	}
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
