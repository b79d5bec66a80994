package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"poise/internal/pool"
)

// newServers makes servers a, b, c and so on with these weights.
func newServers(weights ...int) []*pool.Server {
	specs := make([]pool.ServerSpec, len(weights))
	for i, w := range weights {
		specs[i] = pool.ServerSpec{Name: serverName(i), Address: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), Weight: w}
	}
	return pool.New(1, pool.Spec{Name: "app", Policy: RoundRobin(), Servers: specs}).Servers()
}

func serverName(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return fmt.Sprint("s", i)
}

// equal is n weights of 1.
func equal(n int) []int {
	w := make([]int, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

// hold takes n leases on s.
func hold(p *pool.Pool, s *pool.Server, n int) {
	for range n {
		if _, err := p.Acquire(1, &pool.Query{Prefer: s}); err != nil {
			panic(err)
		}
	}
}

func picks(p pool.Picker, q *pool.Query, n int) string {
	var list []string
	for range n {
		s := p.Pick(q)
		if s == nil {
			return strings.Join(append(list, "none"), " ")
		}
		list = append(list, s.Name)
	}
	return strings.Join(list, " ")
}

func count(p pool.Picker, q *pool.Query, n int) map[string]int {
	counts := map[string]int{}
	for range n {
		counts[p.Pick(q).Name]++
	}
	return counts
}

// checkShares compares counts with shares in proportion to the servers' weights by Pearson's chi-square test. The bound is
// beyond what chance gives once in a million for these degrees of freedom.
func checkShares(t *testing.T, what string, counts map[string]int, servers []*pool.Server) {
	t.Helper()
	n, total := 0, 0
	for _, c := range counts {
		n += c
	}
	for _, s := range servers {
		total += s.Weight()
	}
	chi := 0.0
	for _, s := range servers {
		want := float64(n) * float64(s.Weight()) / float64(total)
		d := float64(counts[s.Name]) - want
		chi += d * d / want
	}
	k := float64(len(servers) - 1)
	if bound := k + 8*math.Sqrt(2*k) + 12; chi > bound {
		t.Errorf("%s: chi-square = %.1f over %.0f degrees of freedom, want at most %.1f; counts %v", what, chi, k, bound, counts)
	}
}

// policies are all policies with fixed seeds.
func policies() map[string]pool.Policy {
	return map[string]pool.Policy{
		"round_robin":             RoundRobin(),
		"least_requests":          LeastRequests(0, 1),
		"least_requests of two":   LeastRequests(2, 1),
		"least_requests of three": LeastRequests(3, 1),
		"least_requests of all":   LeastRequests(-1, 1),
		"random":                  Random(1),
		"ip_hash":                 IPHash([2]uint64{1, 2}),
	}
}

func TestByName(t *testing.T) {
	for _, name := range Names() {
		p, ok := ByName(name)
		if !ok || p.Build(newServers(1), 0).Pick(&pool.Query{}) == nil {
			t.Errorf("ByName(%q) = %v, %v, want a policy that picks", name, p, ok)
		}
	}
	if p, ok := ByName("fastest"); ok {
		t.Errorf(`ByName("fastest") = %v, true, want false`, p)
	}
}

func TestOneServer(t *testing.T) {
	for name, policy := range policies() {
		p := policy.Build(newServers(3), 0)
		if got, want := picks(p, &pool.Query{}, 3), "a a a"; got != want {
			t.Errorf("%s: picks = %s, want %s", name, got, want)
		}
	}
}

// TestTried retries until nothing is left: every server must come exactly once.
func TestTried(t *testing.T) {
	for name, policy := range policies() {
		for _, weights := range [][]int{equal(1), equal(5), equal(8), {1, 256, 1}, {5, 1, 1}, {256, 255, 254, 253, 1, 1}} {
			servers := newServers(weights...)
			p := policy.Build(servers, 0)
			for range 20 {
				q := &pool.Query{Client: netip.MustParseAddr("192.0.2.1")}
				for range servers {
					s := p.Pick(q)
					if s == nil || q.Tried.Has(s) {
						t.Fatalf("%s %v: Pick after %d tries = %v, want an untried server", name, weights, q.Tried.Len(), s)
					}
					q.Tried.Add(s)
				}
				if s := p.Pick(q); s != nil {
					t.Fatalf("%s %v: Pick with all tried = %s, want nil", name, weights, s.Name)
				}
			}
		}
	}
}

// TestSharesFollowWeights is of idle pools, where no policy has a reason to depart from the weights.
func TestSharesFollowWeights(t *testing.T) {
	for name, policy := range policies() {
		for _, weights := range [][]int{equal(3), equal(16), equal(40), {5, 1, 1}, {1, 2, 3, 4}, {100, 1}, {7, 200, 13, 256, 1, 1, 90}} {
			servers := newServers(weights...)
			p := policy.Build(servers, 0)
			counts := map[string]int{}
			random := rand.New(rand.NewPCG(3, 4))
			for range 30_000 {
				q := pool.Query{Client: randomClient(random)}
				counts[p.Pick(&q).Name]++
			}
			checkShares(t, fmt.Sprint(name, weights), counts, servers)
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for name, policy := range policies() {
		for _, weights := range [][]int{equal(4), {5, 1, 1}, equal(40)} {
			p := policy.Build(newServers(weights...), 0)
			q := &pool.Query{Client: netip.MustParseAddr("2001:db8::1")}
			q.Tried.Add(p.Pick(q))
			if got := testing.AllocsPerRun(200, func() { p.Pick(q) }); got != 0 {
				t.Errorf("%s %v: allocations of Pick = %v, want 0", name, weights, got)
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for name, policy := range policies() {
		for _, n := range []int{2, 16, 100, 1000} {
			p := policy.Build(newServers(equal(n)...), 0)
			q := &pool.Query{Client: netip.MustParseAddr("192.0.2.1")}
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(name, " ", "_"), n), func(b *testing.B) {
				for b.Loop() {
					p.Pick(q)
				}
			})
		}
	}
}
