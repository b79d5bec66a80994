package pool

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

const (
	start = clock.Instant(time.Minute)
	ms    = time.Millisecond
)

// inOrder is a policy that takes the first untried server, and counts what is built.
type inOrder struct{ builds int }

func (o *inOrder) Build(servers []*Server, _ int) Picker {
	o.builds++
	return first(servers)
}

type first []*Server

func (f first) Pick(q *Query) *Server {
	for _, s := range f {
		if !q.Skips(s) {
			return s
		}
	}
	return nil
}

// specs reads servers from words: "a" has weight 1, "b:3" weight 3; a "+" before it makes a backup.
func specs(words string) []ServerSpec {
	var list []ServerSpec
	for _, w := range strings.Fields(words) {
		s := ServerSpec{Weight: 1}
		w, s.Backup = strings.CutPrefix(w, "+")
		if name, weight, ok := strings.Cut(w, ":"); ok {
			w, s.Weight = name, int(weight[0]-'0')
		}
		s.Address = w
		list = append(list, s)
	}
	return list
}

func newPool(words string, h *health.Settings) (*Pool, *inOrder) {
	policy := &inOrder{}
	return New(start, Spec{Name: "app", Policy: policy, Servers: specs(words), Health: h, Loops: 2, FailOpen: -1}), policy
}

// pick acquires and ends a lease; the result is the server's name, or the error.
func pick(p *Pool, q *Query) string {
	l, err := p.Acquire(start, q)
	if err != nil {
		return err.Error()
	}
	defer l.End()
	return l.Server().Name
}

func names(servers []*Server) string {
	var list []string
	for _, s := range servers {
		list = append(list, s.Name)
	}
	return strings.Join(list, " ")
}

func (p *Pool) server(t *testing.T, name string) *Server {
	t.Helper()
	i := slices.IndexFunc(p.Servers(), func(s *Server) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no server %s in %s", name, names(p.Servers()))
	}
	return p.Servers()[i]
}

var (
	ok   = health.Result{OK: true, Reason: "status 200", Duration: ms}
	fail = health.Result{Reason: "refused", Duration: ms}
)

func TestAcquireOrder(t *testing.T) {
	tests := []struct {
		name, servers, down, tried, prefer string
		want                               string
	}{
		{"first primary", "a b", "", "", "", "a"},
		{"a server that is down is left out", "a b", "a", "", "", "b"},
		{"a tried one too", "a b", "", "a", "", "b"},
		{"backup only when no primary is usable", "a +b", "a", "", "", "b"},
		{"backup when all primaries were tried", "a +b", "", "a", "", "b"},
		{"no backup while a primary is left", "+b a", "", "", "", "a"},
		{"weight 0 gets no new clients", "a:0 b", "", "", "", "b"},
		{"nothing up", "a b", "a b", "", "", ErrNoServer.Error()},
		{"nothing with a weight", "a:0", "", "", "", ErrNoServer.Error()},
		{"no servers at all", "", "", "", "", ErrNoServer.Error()},
		{"all tried", "a b +c", "c", "a b", "", ErrNoServer.Error()},
		{"the preferred one wins", "a b", "", "", "b", "b"},
		{"the preferred one wins as backup", "a +b", "", "", "b", "b"},
		{"the preferred one wins with weight 0", "a b:0", "", "", "b", "b"},
		{"not when it is down", "a b", "b", "", "b", "a"},
		{"not when it was tried", "a b", "", "b", "b", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := newPool(tt.servers, &health.Settings{Fall: 1, Rise: 1})
			for _, s := range p.Servers() {
				r := ok
				if slices.Contains(strings.Fields(tt.down), s.Name) {
					r = fail
				}
				p.Probed(start, s, r)
			}
			p.Tick(start.Add(time.Second))
			q := &Query{Loop: 1}
			for _, name := range strings.Fields(tt.tried) {
				q.Tried.Add(p.server(t, name))
			}
			if tt.prefer != "" {
				q.Prefer = p.server(t, tt.prefer)
			}
			if got := pick(p, q); got != tt.want {
				t.Errorf("Acquire = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHT7PreferredServerOfAnotherPool(t *testing.T) {
	p, _ := newPool("a b", nil)
	other, _ := newPool("b", nil)
	if got := pick(p, &Query{Prefer: other.server(t, "b")}); got != "a" {
		t.Errorf("Acquire with a foreign preference = %s, want a", got)
	}
}

func TestLease(t *testing.T) {
	p, _ := newPool("a", nil)
	s := p.server(t, "a")
	one, err1 := p.Acquire(start, &Query{})
	two, err2 := p.Acquire(start, &Query{})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if got := s.InFlight(); got != 2 {
		t.Errorf("InFlight() with two leases = %d, want 2", got)
	}
	one.End()
	one.End()
	if got := s.InFlight(); got != 1 || one.Server() != nil {
		t.Errorf("InFlight() after ending one lease twice = %d, want 1", got)
	}
	two.End()
	if got := s.InFlight(); got != 0 {
		t.Errorf("InFlight() at the end = %d, want 0", got)
	}
}

func TestUpdate(t *testing.T) {
	p, _ := newPool("a b:2 c", &health.Settings{})
	a, b, c := p.server(t, "a"), p.server(t, "b"), p.server(t, "c")
	for _, s := range p.Servers() {
		p.Probed(start, s, ok)
	}
	lease, _ := p.Acquire(start, &Query{Prefer: c})
	generation := p.Generation()

	added, removed := p.Update(start, specs("d b:5 +a b:7"))
	if names(added) != "d" || names(removed) != "c" || names(p.Servers()) != "d b a" {
		t.Errorf("Update = added %s, removed %s; Servers() = %s; want d, c; d b a", names(added), names(removed), names(p.Servers()))
	}
	if p.server(t, "a") != a || p.server(t, "b") != b {
		t.Error("Update made a new server of an old one")
	}
	if b.Weight() != 5 || !a.Backup() || !b.Up() {
		t.Errorf("after Update b has weight %d, up %v, a is backup %v; want 5, true, true", b.Weight(), b.Up(), a.Backup())
	}
	if got := p.server(t, "d").State(); got != health.Checking {
		t.Errorf("a server that was added is %v, want checking", got)
	}
	if p.Generation() == generation {
		t.Error("Generation() is the same after Update")
	}
	// Removed: its lease runs on, and nobody gets it any more.
	if c.InFlight() != 1 || c.Up() || !c.Removed() {
		t.Errorf("removed server: in flight %d, up %v, removed %v; want 1, false, true", c.InFlight(), c.Up(), c.Removed())
	}
	if got := pick(p, &Query{Prefer: c}); got != "b" {
		t.Errorf("Acquire that prefers a removed server = %s, want b", got)
	}
	for range health.DefaultFall {
		if e, changed := p.Probed(start, c, fail); changed {
			t.Errorf("a probe of a removed server changed it: %+v", e)
		}
	}
	lease.End()
	if c.InFlight() != 0 {
		t.Errorf("InFlight() of a removed server after its last lease = %d, want 0", c.InFlight())
	}
}

func TestUpdateNewNameIsNewServer(t *testing.T) {
	p, _ := newPool("a", nil)
	added, removed := p.Update(start, []ServerSpec{{Name: "x", Address: "a", Weight: 1}})
	if names(added) != "x" || names(removed) != "a" {
		t.Errorf("Update = added %s, removed %s; want x, a", names(added), names(removed))
	}
	if got := pick(p, &Query{}); got != "x" {
		t.Errorf("Acquire = %s, want x", got)
	}
}

func TestServerIDs(t *testing.T) {
	next := 10
	spec := Spec{Policy: &inOrder{}, Servers: specs("a b"), NextID: func(ServerSpec) int { next++; return next }}
	p := New(start, spec)
	p.Update(start, specs("b c"))
	for name, want := range map[string]int{"b": 12, "c": 13} {
		if got := p.server(t, name).ID; got != want {
			t.Errorf("ID of %s = %d, want %d", name, got, want)
		}
	}
	spec.NextID = nil
	if p := New(start, spec); p.server(t, "a").ID != 0 || p.server(t, "b").ID != 1 {
		t.Error("without NextID servers are not numbered from 0")
	}
}

func TestRebuildsAreSpaced(t *testing.T) {
	p, policy := newPool("a b c", &health.Settings{Fall: 1, Rise: 1})
	for _, s := range p.Servers() {
		p.Probed(start, s, ok)
	}
	a, b := p.server(t, "a"), p.server(t, "b")
	built := policy.builds
	check := func(when string, builds int, picked string) {
		t.Helper()
		if got := (policy.builds - built) / p.loops; got != builds || pick(p, &Query{}) != picked {
			t.Errorf("%s: %d rebuilds, Acquire = %s; want %d, %s", when, got, pick(p, &Query{}), builds, picked)
		}
	}
	now := start.Add(time.Second)
	p.Probed(now, a, fail)
	check("first change after quiet", 1, "b")
	p.Probed(now.Add(10*ms), b, fail)
	check("second change", 1, "b")
	p.Tick(now.Add(50 * ms))
	check("tick before its time", 1, "b")
	p.Tick(now.Add(100 * ms))
	check("tick", 2, "c")
	p.Tick(now.Add(time.Second))
	check("tick with nothing to do", 2, "c")
	for i := range 1000 { // a storm: a second of changes
		p.Probed(now.Add(time.Second+time.Duration(i)*ms), a, health.Result{OK: i%2 == 0})
	}
	if got := (policy.builds - built) / p.loops; got < 10 || got > 13 {
		t.Errorf("rebuilds after a second of changes = %d, want 12", got)
	}
}

func TestRebuildAtOnceWhenNothingWasUsable(t *testing.T) {
	p, _ := newPool("a b", &health.Settings{Fall: 1, Rise: 1})
	for _, s := range p.Servers() {
		p.Probed(start, s, fail)
	}
	p.Tick(start.Add(time.Second))
	if got := pick(p, &Query{}); got != ErrNoServer.Error() {
		t.Fatalf("Acquire with all down = %s, want %v", got, ErrNoServer)
	}
	p.Probed(start.Add(time.Second+ms), p.server(t, "b"), ok)
	if got := pick(p, &Query{}); got != "b" {
		t.Errorf("Acquire as the first server comes up = %s, want b", got)
	}
}

func TestFirstRound(t *testing.T) {
	p, _ := newPool("a b c", &health.Settings{Timeout: time.Second})
	if p.FirstRound() {
		t.Error("FirstRound() = true before any result")
	}
	p.Probed(start.Add(ms), p.server(t, "a"), ok)
	p.Probed(start.Add(2*ms), p.server(t, "b"), ok)
	if n := p.Usable(); n != 1 {
		t.Errorf("Usable() = %d within the first round, want 1", n)
	}
	if p.FirstRound() {
		t.Error("FirstRound() = true with a server left")
	}
	p.Probed(start.Add(3*ms), p.server(t, "c"), fail)
	if !p.FirstRound() {
		t.Error("FirstRound() = false after all results")
	}
	if n := p.Usable(); n != 2 {
		t.Errorf("Usable() = %d as the first round ends, want 2 without waiting", n)
	}
}

func TestOverdueFirstProbes(t *testing.T) {
	p, _ := newPool("a b", &health.Settings{Timeout: time.Second})
	if events := p.Tick(start.Add(time.Second - 1)); len(events) != 0 {
		t.Errorf("Tick before the timeout = %+v, want nothing", events)
	}
	events := p.Tick(start.Add(time.Second))
	if len(events) != 2 || events[0].Server.Name != "a" || events[0].To != health.Up {
		t.Errorf("Tick = %+v, want a and b up", events)
	}
	if got := pick(p, &Query{}); got != "a" || !p.FirstRound() {
		t.Errorf("Acquire = %s, want a", got)
	}
	later := start.Add(time.Minute)
	p.Update(later, specs("a b c"))
	events = p.Tick(later.Add(time.Second))
	if len(events) != 1 || events[0].Server.Name != "c" || events[0].To != health.Down {
		t.Errorf("Tick = %+v, want c down", events)
	}
}

func TestProbedEvent(t *testing.T) {
	p, _ := newPool("a", &health.Settings{})
	a := p.server(t, "a")
	e, changed := p.Probed(start, a, fail)
	if want := (health.Event{At: start, From: health.Checking, To: health.Down, Reason: "refused"}); !changed || e.Server != a || e.Event != want {
		t.Errorf("Probed = %+v, %v, want %+v", e, changed, want)
	}
	m := p.Health(a)
	if r, probed := m.Last(); !probed || r != fail || m.State() != health.Down {
		t.Errorf("Health(a) = %v after %+v, want down after %+v", m.State(), r, fail)
	}
}

func TestSet(t *testing.T) {
	var set Set
	servers := make([]Server, maxTried+1)
	for i := range servers {
		if set.Has(&servers[i]) {
			t.Fatalf("Has(%d) before Add", i)
		}
		set.Add(&servers[i])
		set.Add(&servers[i])
	}
	if set.Len() != maxTried || set.Has(&servers[maxTried]) || !set.Has(&servers[0]) {
		t.Errorf("Len() = %d, want %d", set.Len(), maxTried)
	}
}

func TestAcquireDoesNotAllocate(t *testing.T) {
	p, _ := newPool("a b", nil)
	q := &Query{}
	got := testing.AllocsPerRun(1000, func() {
		l, _ := p.Acquire(start, q)
		l.End()
	})
	if got != 0 {
		t.Errorf("allocations of Acquire and End = %v, want 0", got)
	}
}

// TestConcurrentChanges lets requests run on two loops while health and membership change; it is for the race detector, and
// for the count of leases.
func TestConcurrentChanges(t *testing.T) {
	p, _ := newPool("a b c", &health.Settings{Fall: 1, Rise: 1})
	all := slices.Clone(p.Servers())
	var loops sync.WaitGroup
	for loop := range p.loops {
		loops.Go(func() {
			for range 2000 {
				l, err := p.Acquire(start, &Query{Loop: loop})
				if err == nil && l.Server().Weight() < 0 {
					t.Error("negative weight")
				}
				l.End()
			}
		})
	}
	for i := range 500 {
		now := start.Add(time.Duration(i) * 40 * ms)
		for j, s := range p.Servers() {
			p.Probed(now, s, health.Result{OK: (i+j)%3 != 0})
		}
		added, _ := p.Update(now, specs([]string{"a b c", "b c", "a:2 +d"}[i%3]))
		all = append(all, added...)
		p.Tick(now)
	}
	loops.Wait()
	for _, s := range all {
		if got := s.InFlight(); got != 0 {
			t.Errorf("InFlight() of %s = %d at the end, want 0", s.Name, got)
		}
	}
}

func BenchmarkAcquire(b *testing.B) {
	p, _ := newPool("a b c", nil)
	q := &Query{}
	for b.Loop() {
		l, _ := p.Acquire(start, q)
		l.End()
	}
}
