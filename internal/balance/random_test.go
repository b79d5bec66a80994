package balance

import (
	"testing"

	"poise/internal/pool"
)

// TestWeightedIsExact adds up the alias table: each server must hold its weight's part of it, to the last unit.
func TestWeightedIsExact(t *testing.T) {
	for _, weights := range [][]int{{5, 1, 1}, {100, 1}, {1, 2, 3, 4}, {7, 200, 13, 256, 1, 1, 90}} {
		servers := newServers(weights...)
		w := newWeighted(servers)
		held := make([]uint64, len(servers))
		for i := range servers {
			split := min(w.split[i], w.total)
			held[i] += split
			if split < w.total {
				held[w.alias[i]] += w.total - split
			}
		}
		for i, h := range held {
			if want := w.weights[i] * uint64(len(servers)); h != want {
				t.Errorf("weights %v: server %d holds %d, want %d", weights, i, h, want)
			}
		}
	}
}

// TestDrawOfWhatIsLeft checks shares when the heaviest server was tried, so that most draws fail.
func TestDrawOfWhatIsLeft(t *testing.T) {
	servers := newServers(256, 2, 1)
	q := &pool.Query{}
	q.Tried.Add(servers[0])
	counts := count(Random(5).Build(servers, 0), q, 30_000)
	checkShares(t, "heaviest tried", counts, servers[1:])
}

func TestRandomLoopsDiffer(t *testing.T) {
	policy, servers := Random(1), newServers(equal(8)...)
	one, two := picks(policy.Build(servers, 0), &pool.Query{}, 32), picks(policy.Build(servers, 1), &pool.Query{}, 32)
	if one == two {
		t.Errorf("two loops draw the same sequence %s", one)
	}
	if again := picks(Random(1).Build(servers, 0), &pool.Query{}, 32); again != one {
		t.Errorf("the same seed draws %s, want %s", again, one)
	}
}
