package balance

import (
	"testing"

	"poise/internal/pool"
)

// loaded makes a pool of servers a, b, c and so on, with these weights and requests in flight.
func loaded(weights, inFlight []int) []*pool.Server {
	specs := make([]pool.ServerSpec, len(weights))
	for i, w := range weights {
		specs[i] = pool.ServerSpec{Name: serverName(i), Address: serverName(i), Weight: w}
	}
	p := pool.New(1, pool.Spec{Name: "app", Policy: RoundRobin(), Servers: specs})
	for i, s := range p.Servers() {
		hold(p, s, inFlight[i])
	}
	return p.Servers()
}

func TestLeastRequestsScan(t *testing.T) {
	tests := []struct {
		name              string
		weights, inFlight []int
		want              string
	}{
		{"fewest", []int{1, 1, 1}, []int{2, 1, 3}, "b"},
		{"idle", []int{1, 1, 1}, []int{2, 1, 0}, "c"},
		{"by weight", []int{4, 1}, []int{6, 2}, "a"},          // 7/4 < 3/1
		{"by weight, full", []int{4, 1}, []int{12, 2}, "b"},   // 13/4 > 3/1
		{"an idle light one", []int{10, 1}, []int{1, 0}, "b"}, // idle comes first
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := LeastRequests(0, 1).Build(loaded(tt.weights, tt.inFlight), 0)
			for range 20 {
				if got := picks(p, &pool.Query{}, 1); got != tt.want {
					t.Fatalf("Pick = %s, want %s", got, tt.want)
				}
			}
		})
	}
}

func TestLeastRequestsTiesAreEven(t *testing.T) {
	servers := loaded(equal(5), []int{1, 0, 0, 1, 0})
	counts := count(LeastRequests(0, 1).Build(servers, 0), &pool.Query{}, 30_000)
	checkShares(t, "three idle of five", counts, []*pool.Server{servers[1], servers[2], servers[4]})

	// The same with work: ten at each.
	servers = loaded([]int{2, 1}, []int{3, 1}) // 4/2 and 2/1
	counts = count(LeastRequests(0, 1).Build(servers, 0), &pool.Query{}, 30_000)
	checkShares(t, "same load in proportion", counts, servers)
}

// TestLeastRequestsChoices tells by the share of picks that avoid a busy half how many servers were compared.
func TestLeastRequestsChoices(t *testing.T) {
	tests := []struct {
		name             string
		choices, servers int
		busyPart         float64 // of picks: the busy half's share to the power of how many are compared
	}{
		{"all up to 16", 0, 16, 0},
		{"two above", 0, 40, 0.244},
		{"two as set", 2, 8, 0.214},
		{"three as set", 3, 40, 0.115},
		{"all as set", -1, 40, 0},
		{"more than there are", 99, 40, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inFlight := make([]int, tt.servers)
			for i := range inFlight {
				inFlight[i] = i % 2
			}
			servers := loaded(equal(tt.servers), inFlight)
			p := LeastRequests(tt.choices, 1).Build(servers, 0)
			busy := 0
			const n = 50_000
			for range n {
				busy += p.Pick(&pool.Query{}).InFlight()
			}
			if got := float64(busy) / n; got < tt.busyPart-0.01 || got > tt.busyPart+0.01 {
				t.Errorf("share of busy servers = %.3f, want %.3f", got, tt.busyPart)
			}
		})
	}
}

// TestLeastRequestsHoldsWeights keeps 130 requests in flight: they must lie as the weights say.
func TestLeastRequestsHoldsWeights(t *testing.T) {
	spec := pool.Spec{Name: "app", Policy: LeastRequests(0, 1), Servers: []pool.ServerSpec{
		{Address: "a", Weight: 10}, {Address: "b", Weight: 2}, {Address: "c", Weight: 1},
	}}
	p := pool.New(1, spec)
	for range 130 {
		if _, err := p.Acquire(1, &pool.Query{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{100, 20, 10} {
		if got := p.Servers()[i].InFlight(); got < want-1 || got > want+1 {
			t.Errorf("in flight at %s = %d, want %d", p.Servers()[i].Name, got, want)
		}
	}
}
