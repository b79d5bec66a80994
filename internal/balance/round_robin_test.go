package balance

import (
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
