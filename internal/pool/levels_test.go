package pool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// inTiers are servers that stand in tiers in order: "4" is four of tier 0, "2 3" two of tier 0 and three of tier 1, "+1" a backup. Their names are those of
// their tiers and a number: "0.1" is the second of tier 0.
func inTiers(words string) []ServerSpec {
	var list []ServerSpec
	for tier, word := range strings.Fields(words) {
		var n int
		number, backup := strings.CutPrefix(word, "+")
		_, _ = fmt.Sscan(number, &n)
		for i := range n {
			list = append(list, ServerSpec{Address: fmt.Sprintf("%d.%d", tier, i), Weight: 1, Tier: tier, Backup: backup})
		}
	}
	return list
}

// sick has the servers with these names fail their probes, and all others pass them.
func (p *Pool) sick(now clock.Instant, names ...string) []Event {
	for _, s := range p.Servers() {
		r := ok
		if slices.Contains(names, s.Name) {
			r = fail
		}
		p.Probed(now, s, r)
	}
	return p.Tick(now.Add(RebuildEvery))
}

// firsts are the names of the first n servers of a tier.
func firsts(tier, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%d.%d", tier, i))
	}
	return names
}

// shares tells of a pool's levels in few words.
func (p *Pool) shares() string {
	var parts []string
	for _, l := range p.Levels() {
		parts = append(parts, l.String())
	}
	return strings.Join(parts, ", ")
}

func probedOnce() *health.Settings { return &health.Settings{Fall: 1, Rise: 1} }

func newTiers(words string, failOpen int) *Pool {
	return New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: inTiers(words), Health: probedOnce(), FailOpen: failOpen})
}

// The first rows are those of Envoy's documentation of priority levels.
func TestTierShares(t *testing.T) {
	tests := []struct {
		name, servers string
		down          []int // of each tier
		failOpen      int
		want          string
	}{
		{"all are up", "100 100", []int{0, 0}, -1, "tier 0: 100 %, tier 1: 0 %"},
		{"72 % are up", "100 100", []int{28, 0}, -1, "tier 0: 100 %, tier 1: 0 %"},
		{"71 % are up", "100 100", []int{29, 0}, -1, "tier 0: 99 %, tier 1: 1 %"},
		{"70 % are up", "100 100", []int{30, 0}, -1, "tier 0: 98 %, tier 1: 2 %"},
		{"half are up", "100 100", []int{50, 0}, -1, "tier 0: 70 %, tier 1: 30 %"},
		{"a quarter is up", "100 100", []int{75, 0}, -1, "tier 0: 35 %, tier 1: 65 %"},
		{"none is up", "100 100", []int{100, 0}, -1, "tier 0: 0 %, tier 1: 100 %"},
		{"both do not suffice", "100 100", []int{75, 75}, -1, "tier 0: 50 %, tier 1: 50 %"},
		{"a sum below 100", "100 100", []int{95, 75}, -1, "tier 0: 17 %, tier 1: 83 %"},
		{"three", "100 100 100", []int{75, 75, 0}, -1, "tier 0: 35 %, tier 1: 35 %, tier 2: 30 %"},
		{"three that do not suffice", "100 100 100", []int{80, 80, 80}, -1, "tier 0: 34 %, tier 1: 33 %, tier 2: 33 %"},
		{"one of very many is not nothing", "200", []int{199}, -1, "tier 0: 100 %"},
		{"five of seven are just enough", "7 1", []int{2, 0}, -1, "tier 0: 100 %, tier 1: 0 %"},
		{"a tier that is left out", "4 0 4", []int{2, 0, 0}, -1, "tier 0: 70 %, tier 2: 30 %"},
		{"backups are no tier", "4 +2", []int{3, 0}, -1, "tier 0: 100 %, backup: 0 %"},
		{"backups while no other is up", "4 2 +2", []int{4, 2, 0}, -1, "tier 0: 0 %, tier 1: 0 %, backup: 100 %"},
		{"open, none is up", "4 4", []int{4, 4}, 0, "tier 0: 100 %, tier 1: 0 %"},
		{"open, the second tier is up", "4 4", []int{4, 0}, 50, "tier 0: 0 %, tier 1: 100 %"},
		{"open, half of each is up", "4 4", []int{3, 3}, 50, "tier 0: 50 %, tier 1: 50 %"},
		{"open, the backups are up", "2 +2", []int{2, 0}, 50, "tier 0: 0 %, backup: 100 %"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newTiers(tt.servers, tt.failOpen)
			var down []string
			for tier, n := range tt.down {
				down = append(down, firsts(tier, n)...)
			}
			p.sick(start, down...)
			if got := p.shares(); got != tt.want {
				t.Errorf("shares = %s, want %s", got, tt.want)
			}
		})
	}
}

// What a person has taken out, or gives no weight, is not missed: else maintenance would spill.
func TestTierSharesOfWhatTakesClients(t *testing.T) {
	const all, spilt = "tier 0: 100 %, tier 1: 0 %", "tier 0: 70 %, tier 1: 30 %"
	tests := []struct {
		name, want string
		change     func(p *Pool, a, b *Server)
	}{
		{"in maintenance", all, func(p *Pool, a, b *Server) { p.Order(start, a, Maint, 0); p.Order(start, b, Maint, 0) }},
		{"draining", all, func(p *Pool, a, b *Server) { p.Order(start, a, Draining, 0); p.Order(start, b, Draining, 0) }},
		{"without weight", all, func(p *Pool, a, b *Server) { p.Reweigh(start, a, 0); p.Reweigh(start, b, 0) }},
		{"down", spilt, func(p *Pool, _, _ *Server) { p.sick(start.Add(time.Second), "0.0", "0.1") }},
		{"ejected", spilt, func(p *Pool, a, b *Server) {
			a.tally.failures.Store(5)
			b.tally.failures.Store(5)
			p.Tick(start.Add(time.Second))
			p.Tick(start.Add(2 * time.Second))
		}},
		{"new, and not probed yet", all, func(p *Pool, _, _ *Server) { p.Update(start, inTiers("8 1")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eject := Eject{Failures: 5, Time: time.Minute, MaxTime: time.Minute, MaxShare: 100}
			p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: inTiers("4 1"), Health: probedOnce(), Eject: eject, FailOpen: -1})
			p.sick(start)
			tt.change(p, p.server(t, "0.0"), p.server(t, "0.1"))
			if got := p.shares(); got != tt.want {
				t.Errorf("shares = %s, want %s", got, tt.want)
			}
		})
	}
}

// levelOf is the number of the level that a request goes to.
func levelOf(t *testing.T, p *Pool, q *Query) int {
	t.Helper()
	l, err := p.Acquire(start, q)
	if err != nil {
		t.Fatalf("Acquire() = %v, want a server", err)
	}
	defer l.End()
	return p.levelWith(l.Server())
}

func (p *Pool) levelWith(s *Server) int {
	return slices.IndexFunc(p.view.Load().levels, func(l level) bool { return slices.Contains(l.servers, s) })
}

// However tiers do, of any hundred requests of a loop each level gets its share, and of any fewer nearly so.
func TestSharesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	spilled := 0
	for round := range 300 {
		p := New(start, Spec{
			Name: "app", Policy: &inOrder{}, Loops: 3, Health: probedOnce(), FailOpen: -1,
			Servers: inTiers(fmt.Sprint(1+r.IntN(9), 1+r.IntN(9), 1+r.IntN(9), 1+r.IntN(9))),
		})
		var down []string
		for _, s := range p.Servers() {
			if r.IntN(100) < 70 {
				down = append(down, s.Name)
			}
		}
		p.sick(start, down...)
		levels := p.view.Load().levels
		if len(levels) == 0 {
			continue
		}
		if len(levels) > 1 && levels[1].share > 0 {
			spilled++
		}
		q := &Query{Loop: r.IntN(3)}
		for range r.IntN(100) {
			levelOf(t, p, q)
		}
		counts := make([]int, len(levels))
		for n := 1; n <= 100; n++ {
			counts[levelOf(t, p, q)]++
			for i, l := range levels {
				if far := counts[i]*100 - l.share*n; far > 200 || far < -200 || n == 100 && far != 0 {
					t.Fatalf("round %d: level %d had %d of %d requests, want %d %%", round, i, counts[i], n, l.share)
				}
			}
		}
	}
	if spilled < 100 {
		t.Errorf("only %d of 300 pools spilled: the test tests nothing", spilled)
	}
}

// A pool that is often rebuilt, as while its servers warm up, goes on in its cycle: else a quiet loop would never spill.
func TestSharesOutlastRebuilds(t *testing.T) {
	p := newTiers("2 2", -1)
	p.sick(start, "0.0")
	var counts [2]int
	for range 100 {
		counts[levelOf(t, p, &Query{})]++
		p.Update(start, inTiers("2 2"))
	}
	if counts != [2]int{70, 30} {
		t.Errorf("requests = %v, want 70 and 30", counts)
	}
}

// byNumber is a policy that goes by keys.
type byNumber struct{ inOrder }

func (*byNumber) Key(q *Query) uint64 { return q.Key }

func TestKeysStayInTheirLevel(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &byNumber{}, Servers: inTiers("100 100"), Health: probedOnce(), FailOpen: -1})
	r := rand.New(rand.NewPCG(3, 4))
	keys := make([]uint64, 10_000)
	for i := range keys {
		keys[i] = r.Uint64()
	}
	where := func() []int {
		list := make([]int, len(keys))
		for i, k := range keys {
			list[i] = levelOf(t, p, &Query{Key: k})
		}
		return list
	}
	p.sick(start, firsts(0, 50)...)
	before := where()
	if n := sum(before); n < 2800 || n > 3200 {
		t.Errorf("%d of 10000 keys go to the second tier, want 3000 or so", n)
	}
	if again := where(); !slices.Equal(before, again) {
		t.Error("keys have moved although nothing has changed")
	}
	p.sick(start.Add(time.Second), firsts(0, 60)...) // 56 % instead of 70 %
	moved := 0
	for i, level := range where() {
		switch {
		case level < before[i]:
			t.Fatal("a key has moved to the tier that takes less than before")
		case level > before[i]:
			moved++
		}
	}
	if moved < 1250 || moved > 1550 {
		t.Errorf("%d of 10000 keys have moved, want 1400 or so", moved)
	}
	if got, want := levelOf(t, p, &Query{Key: 1 << 63, Prefer: p.server(t, "1.0")}), 1; got != want {
		t.Errorf("a request that prefers a server goes to level %d, want that server's, %d", got, want)
	}
}

// A tier that has no room, or none that is untried, leaves a request to the others, be it its turn or not; only then it waits.
func TestFullTierSpillsBeforeTheQueue(t *testing.T) {
	c := newCrowd(t, "a b c +d", Spec{Queue: Queue{Length: 9}})
	list := specs("a b c +d")
	for i := range list {
		list[i].MaxRequests = 1
	}
	list[1].Tier, list[2].Tier = 1, 2
	c.Update(c.now, list)
	c.want("the first", c.ask("1", Query{}), "a")
	c.want("the second", c.ask("2", Query{}), "b")
	c.l["1"].End()
	c.want("the third", c.ask("3", Query{}), "a")
	tried := Query{}
	tried.Tried.Add(c.server(t, "c"))
	c.want("one that has tried c", c.ask("4", tried), "d")
	c.want("the fifth", c.ask("5", Query{}), "c")
	c.want("the sixth", c.ask("6", Query{}), "waits at 1")
	c.l["5"].End()
	c.want("the sixth", c.got("6"), "c")
}

func TestSpillIsTold(t *testing.T) {
	p := newTiers("2 2 +1", -1)
	at := start
	tests := []struct {
		down []string
		want string
	}{
		{nil, "-"},
		{[]string{"0.0"}, "tier 0: 70 %, tier 1: 30 %"},
		{[]string{"0.0"}, "-"},
		{[]string{"0.0", "0.1"}, "tier 1: 100 %"},
		{[]string{"0.0", "0.1", "1.0", "1.1"}, "backup: 100 %"},
		{[]string{"1.0"}, ""},
		{nil, "-"},
	}
	for i, tt := range tests {
		at = at.Add(time.Second)
		got := "-"
		for _, e := range p.sick(at, tt.down...) {
			if e.Spill != nil {
				got = e.Spill.Levels
			}
		}
		if got != tt.want {
			t.Errorf("step %d: told %q, want %q", i, got, tt.want)
		}
	}
}

func TestUpdateChangesTiers(t *testing.T) {
	p := newTiers("2", -1)
	p.sick(start)
	s := p.server(t, "0.1")
	list := inTiers("2")
	list[1].Tier = 3
	p.Update(start, list)
	if got, want := p.shares(), "tier 0: 100 %, tier 3: 0 %"; got != want || s.Tier() != 3 || p.server(t, "0.1") != s {
		t.Errorf("shares = %s and tier = %d, want %s and 3, and the same server", got, s.Tier(), want)
	}
}

func TestAcquireBesideOthersDoesNotAllocate(t *testing.T) {
	for _, policy := range []Policy{&inOrder{}, &byNumber{}} {
		p := New(start, Spec{Name: "app", Policy: policy, Servers: inTiers("2 2"), Health: probedOnce(), FailOpen: -1})
		p.sick(start, "0.0")
		q := &Query{Key: 1}
		got := testing.AllocsPerRun(1000, func() {
			q.Key += 1 << 60
			l, _ := p.Acquire(start, q)
			l.End()
		})
		if got != 0 {
			t.Errorf("allocations of Acquire and End with two tiers = %v, want 0", got)
		}
	}
}
