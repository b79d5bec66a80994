package balance

import (
	"testing"

	"poise/internal/pool"
	"poise/internal/siphash"
)

func TestByKeyLeavesOthersToThePolicy(t *testing.T) {
	servers := newServers(equal(3)...)
	p := ByKey(siphash.Key{1, 2}, RoundRobin()).Build(servers, 0)
	same, seen := p.Pick(&pool.Query{Key: 7}), map[*pool.Server]bool{}
	for range 3 {
		seen[p.Pick(&pool.Query{})] = true
		if got := p.Pick(&pool.Query{Key: 7}); got != same {
			t.Errorf("Pick(key 7) = %s, want %s as before", got.Name, same.Name)
		}
	}
	if len(seen) != 3 {
		t.Errorf("queries without a key went to %d of 3 servers, want all in turn", len(seen))
	}
}

// TestByKeyOwnOrder: where a key's server was tried, the one follows that would have it without that server.
func TestByKeyOwnOrder(t *testing.T) {
	policy, servers := ByKey(siphash.Key{1, 2}, RoundRobin()), newServers(1, 2, 1, 1)
	all := policy.Build(servers, 0)
	for key := range uint64(500) {
		q := pool.Query{Key: siphash.Sum(siphash.Key{5, 6}, []byte{byte(key), byte(key >> 8)})}
		first := all.Pick(&q)
		var rest []*pool.Server
		for _, s := range servers {
			if s != first {
				rest = append(rest, s)
			}
		}
		want := policy.Build(rest, 0).Pick(&q)
		if q.Tried.Add(first); all.Pick(&q) != want {
			t.Fatalf("after %s key %d goes to %s, want %s", first.Name, key, all.Pick(&q).Name, want.Name)
		}
	}
}

// TestByKeyMovesLittle adds a server to ten: what moves, about an eleventh, moves there.
func TestByKeyMovesLittle(t *testing.T) {
	const n = 20_000
	policy, servers := ByKey(siphash.Key{1, 2}, RoundRobin()), newServers(equal(11)...)
	before, after := policy.Build(servers[:10], 0), policy.Build(servers, 0)
	moved := 0
	for key := range uint64(n) {
		q := pool.Query{Key: mix(key + 1)}
		if was, is := before.Pick(&q), after.Pick(&q); was != is {
			moved++
			if is != servers[10] {
				t.Fatalf("key %d moved from %s to %s, want the new server or none", key, was.Name, is.Name)
			}
		}
	}
	if moved < n/11*9/10 || moved > n/11*11/10 {
		t.Errorf("%d of %d keys moved to the eleventh server, want about %d", moved, n, n/11)
	}
}

func BenchmarkByKey(b *testing.B) {
	for name, weights := range map[string][]int{"equal": equal(10), "weighted": {1, 2, 3, 1, 2, 3, 1, 2, 3, 1}} {
		b.Run(name, func(b *testing.B) {
			p := ByKey(siphash.Key{1, 2}, RoundRobin()).Build(newServers(weights...), 0)
			q := &pool.Query{}
			for b.Loop() {
				q.Key += 12345
				p.Pick(q)
			}
		})
	}
}
