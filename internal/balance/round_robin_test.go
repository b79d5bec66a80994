package balance

import (
	"fmt"
	"math"
	"testing"

	"poise/internal/pool"
)

func TestRoundRobinOrder(t *testing.T) {
	tests := []struct {
		name    string
		weights []int
		want    string
	}{
		{"equal", equal(3), "a b c a b c"},
		{"equal but not 1", []int{7, 7}, "a b a b"},
		{"nginx's example", []int{5, 1, 1}, "a a b a c a a a a b a c a a"},
		{"with a common divisor", []int{50, 10, 10}, "a a b a c a a"},
		{"two to one", []int{2, 1}, "a b a a b a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := RoundRobin().Build(newServers(tt.weights...), 0)
			if got := picks(p, &pool.Query{}, (len(tt.want)+1)/2); got != tt.want {
				t.Errorf("picks = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRoundRobinLoopsStartApart(t *testing.T) {
	policy, servers := RoundRobin(), newServers(1, 1, 1)
	for loop, want := range []string{"a b c a", "b c a b", "c a b c", "a b c a"} {
		if got := picks(policy.Build(servers, loop), &pool.Query{}, 4); got != want {
			t.Errorf("picks of loop %d = %s, want %s", loop, got, want)
		}
	}
}

func TestRoundRobinWeightedLoopsStartApart(t *testing.T) {
	policy, servers := RoundRobin(), newServers(5, 1, 1)
	for loop, want := range []string{"a a b a c a a", "a b a c a a a", "b a c a a a a"} {
		if got := picks(policy.Build(servers, loop), &pool.Query{}, 7); got != want {
			t.Errorf("picks of loop %d = %s, want %s", loop, got, want)
		}
	}
}

// A view that is built anew again and again, with few requests in between, loads no server more than its share: not the first ones, and not those at which a
// loop's pickers would begin by turns. The share of each loop counts, since others may have nothing to do.
func TestRoundRobinGoesOnOverRebuilds(t *testing.T) {
	for name, weights := range map[string][]int{"2": equal(2), "3": equal(3), "4": equal(4), "5 1 1": {5, 1, 1}, "9 10 1": {9, 10, 1}} {
		servers := newServers(weights...)
		for _, pickers := range []int{1, 2, 3, 5} { // of loops, and one of a queue
			for _, levels := range []int{1, 2} {
				for _, requests := range []int{1, 3} {
					const builds = 2000
					policy, counts := RoundRobin(), make([]map[string]int, pickers)
					for loop := range counts {
						counts[loop] = map[string]int{}
					}
					for range builds {
						for loop := range counts {
							p := policy.Build(servers, loop)
							for range requests {
								counts[loop][p.Pick(&pool.Query{}).Name]++
							}
							for range levels - 1 {
								policy.Build(servers, loop)
							}
						}
					}
					for loop := range counts {
						what := fmt.Sprintf("weights %s, loop %d of %d, %d levels, %d requests between two builds", name, loop, pickers, levels, requests)
						checkEven(t, what, counts[loop], servers, builds*requests, 0.03)
					}
				}
			}
		}
	}
}

// The same where no cycle is computed ahead: then by chance, for groups of servers that weigh alike.
func TestRoundRobinGoesOnOverRebuildsOfALargePool(t *testing.T) {
	var weights []int
	for i := range 210 {
		weights = append(weights, []int{11, 35, 60}[i%3])
	}
	servers, policy, counts := newServers(weights...), RoundRobin(), map[string]int{}
	const builds, requests = 400, 2
	for range builds {
		p, ok := policy.Build(servers, 0).(*smoothPicker)
		if !ok {
			t.Fatal("there is a cycle")
		}
		for range requests {
			s := p.Pick(&pool.Query{})
			counts[fmt.Sprint("those of weight ", s.Weight())]++
		}
	}
	for _, want := range []int{11, 35, 60} {
		what := fmt.Sprint("those of weight ", want)
		if got := float64(counts[what]) / (requests * builds) * 106; math.Abs(got-float64(want)) > 3 {
			t.Errorf("%s got a share of %.1f, want %d", what, got, want)
		}
	}
}

// checkEven compares counts with the servers' shares, exactly but for slack.
func checkEven(t *testing.T, what string, counts map[string]int, servers []*pool.Server, n int, slack float64) {
	t.Helper()
	total := 0
	for _, s := range servers {
		total += s.Weight()
	}
	for _, s := range servers {
		want := float64(n*s.Weight()) / float64(total)
		if got := float64(counts[s.Name]); math.Abs(got-want) > slack*want {
			t.Errorf("%s: %s got %.0f requests, want %.0f", what, s.Name, got, want)
		}
	}
}

// TestRoundRobinCycleIsTheRule compares the cycle computed ahead with the rule followed pick by pick, which pools too large
// for a cycle use; and checks that both are exact.
func TestRoundRobinCycleIsTheRule(t *testing.T) {
	for _, weights := range [][]int{{3, 2}, {5, 1, 1}, {1, 2, 3, 4, 5}, {256, 255, 1}} {
		servers := newServers(weights...)
		cycle, ok := RoundRobin().Build(servers, 0).(*cyclePicker)
		if !ok {
			t.Fatalf("weights %v have no cycle", weights)
		}
		w, _ := weightsOf(servers)
		rule := &smoothPicker{servers: servers, weights: w, balance: make([]int, len(w))}
		counts := map[string]int{}
		for i := range 2 * len(cycle.cycle) {
			got, want := cycle.Pick(&pool.Query{}), rule.Pick(&pool.Query{})
			if got != want {
				t.Fatalf("weights %v: pick %d = %s, want %s", weights, i, got.Name, want.Name)
			}
			counts[got.Name]++
		}
		for _, s := range servers {
			if counts[s.Name] != 2*s.Weight() {
				t.Errorf("weights %v: %s was picked %d times in two cycles, want %d", weights, s.Name, counts[s.Name], 2*s.Weight())
			}
		}
	}
}

func TestRoundRobinLargePoolFollowsTheRule(t *testing.T) {
	weights := make([]int, 200)
	for i := range weights {
		weights[i] = i + 50
	}
	servers := newServers(weights...)
	policy := RoundRobin()
	p, ok := policy.Build(servers, 0).(*smoothPicker)
	if !ok {
		t.Fatal("200 servers of unlike weights have a cycle")
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	counts := count(p, &pool.Query{}, total)
	for _, s := range servers {
		if counts[s.Name] != s.Weight() {
			t.Errorf("%s was picked %d times in a cycle, want %d", s.Name, counts[s.Name], s.Weight())
		}
	}
	if a, b := policy.Build(servers, 1).Pick(&pool.Query{}), policy.Build(servers, 2).Pick(&pool.Query{}); a == b {
		t.Errorf("two loops both begin with %s", a.Name)
	}
}

func TestRoundRobinSkipsTried(t *testing.T) {
	servers := newServers(1, 1, 1)
	p := RoundRobin().Build(servers, 0)
	q := &pool.Query{}
	q.Tried.Add(servers[1])
	if got, want := picks(p, q, 4), "a c a c"; got != want {
		t.Errorf("picks = %s, want %s", got, want)
	}
}
