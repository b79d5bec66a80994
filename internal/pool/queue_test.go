package pool

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
)

// crowd is a pool with a queue, and the requests that are in it or at its servers.
type crowd struct {
	*Pool
	t    *testing.T
	now  clock.Instant
	told map[string]bool
	w    map[string]*Waiter
	q    map[string]*Query
	l    map[string]*Lease
}

func newCrowd(t *testing.T, servers string, spec Spec) *crowd {
	t.Helper()
	spec.Name, spec.Policy, spec.Servers, spec.Loops = "app", &inOrder{}, specs(servers), 2
	for i := range spec.Servers {
		spec.Servers[i].MaxRequests = 1
	}
	return &crowd{Pool: New(start, spec), t: t, now: start, told: map[string]bool{}, w: map[string]*Waiter{}, q: map[string]*Query{}, l: map[string]*Lease{}}
}

// ask has a request come; it returns the server that it gets, or its place in the queue, or what is wrong.
func (c *crowd) ask(who string, q Query) string {
	c.q[who] = &q
	lease, err := c.Acquire(c.now, c.q[who])
	switch {
	case err == nil:
		c.l[who] = &lease
		return lease.Server().Name
	case err != ErrFull:
		return err.Error()
	}
	c.w[who] = &Waiter{}
	switch place := c.Join(c.w[who], c.q[who], func() { c.told[who] = true }); place {
	case 0:
		return "full"
	default:
		return "waits at " + string(rune('0'+place))
	}
}

// got is what a request has that was told so; "" when it still waits.
func (c *crowd) got(who string) string {
	if !c.told[who] {
		return ""
	}
	lease, ok := c.Withdraw(c.w[who])
	if !ok {
		return "nothing"
	}
	c.l[who] = &lease
	return lease.Server().Name
}

func (c *crowd) want(what, got, want string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestQueueIsInOrder(t *testing.T) {
	c := newCrowd(t, "a", Spec{Queue: Queue{Length: 2}})
	c.want("the first", c.ask("1", Query{}), "a")
	c.want("the second", c.ask("2", Query{}), "waits at 1")
	c.want("the third", c.ask("3", Query{}), "waits at 2")
	c.want("the fourth", c.ask("4", Query{}), "full")
	c.want("the second, as the first is at work", c.got("2"), "")
	c.l["1"].End()
	c.want("the third, as the first has ended", c.got("3"), "")
	c.want("the second", c.got("2"), "a")
	c.want("another, while the third waits", c.ask("5", Query{}), "waits at 2")
	c.l["2"].End()
	c.want("the third", c.got("3"), "a")
	c.Withdraw(c.w["5"])
	c.l["3"].End()
	if n := c.Waiting(); n != 0 {
		t.Errorf("%d wait at the end, want none", n)
	}
	if n := c.Servers()[0].InFlight(); n != 0 {
		t.Errorf("%d in flight at the end, want none", n)
	}
}

// Who is given a slot and leaves at the same time passes it on.
func TestQueueWithdrawnLeaseIsPassedOn(t *testing.T) {
	c := newCrowd(t, "a", Spec{Queue: Queue{Length: 9}})
	c.ask("1", Query{})
	c.ask("2", Query{})
	c.ask("3", Query{})
	c.l["1"].End()
	lease, ok := c.Withdraw(c.w["2"])
	if !ok {
		t.Fatal("the second has no lease, want one")
	}
	c.want("the third, before", c.got("3"), "")
	lease.End()
	c.want("the third", c.got("3"), "a")
}

// One that must not go to the server that is free does not keep the others from it.
func TestQueuePassesOver(t *testing.T) {
	c := newCrowd(t, "a b", Spec{Queue: Queue{Length: 9}})
	a, b := c.server(t, "a"), c.server(t, "b")
	c.ask("1", Query{})
	c.ask("2", Query{})
	tried := Query{}
	tried.Tried.Add(b)
	c.want("one that has tried b", c.ask("not b", tried), "waits at 1")
	c.want("one that belongs to a", c.ask("a's", Query{Prefer: a}), "waits at 2")
	c.want("any", c.ask("any", Query{}), "waits at 3")
	c.l["2"].End() // b
	c.want("the one that has tried b", c.got("not b"), "")
	c.want("the one that belongs to a", c.got("a's"), "")
	c.want("any", c.got("any"), "b")
	c.l["1"].End()
	c.want("the one that has tried b", c.got("not b"), "a")
	c.l["not b"].End()
	c.want("the one that belongs to a", c.got("a's"), "a")
}

func TestQueueLearnsOfServers(t *testing.T) {
	c := newCrowd(t, "a", Spec{Queue: Queue{Length: 9}, Health: &health.Settings{Fall: 1, Rise: 1}, FailOpen: -1})
	c.Probed(c.now, c.server(t, "a"), ok)
	c.ask("1", Query{})
	c.ask("2", Query{})
	more := append(specs("a b"), ServerSpec{})[:2]
	more[0].MaxRequests = 1
	c.Update(c.now, more)
	c.Probed(c.now.Add(time.Second), c.server(t, "b"), ok)
	c.want("the one that waits, as a server is added", c.got("2"), "b")
	c.Update(c.now, more[:1])
	c.ask("3", Query{})
	c.Probed(c.now.Add(2*time.Second), c.server(t, "a"), fail)
	c.Tick(c.now.Add(3 * time.Second))
	c.want("the one that waits, as no server is left", c.got("3"), "nothing")
}

func TestQueueOfAPoolsLimit(t *testing.T) {
	c := &crowd{t: t, now: start, told: map[string]bool{}, w: map[string]*Waiter{}, q: map[string]*Query{}, l: map[string]*Lease{}}
	c.Pool = New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), MaxRequests: 2, Queue: Queue{Length: 1}})
	c.want("the first", c.ask("1", Query{}), "a")
	c.want("the second", c.ask("2", Query{}), "a")
	c.want("the third", c.ask("3", Query{}), "waits at 1")
	c.l["1"].End()
	c.want("the third", c.got("3"), "a")
	tried := Query{}
	tried.Tried.Add(c.Servers()[0])
	tried.Tried.Add(c.Servers()[1])
	c.l["2"].End()
	c.want("one that has tried all", c.ask("4", tried), ErrNoServer.Error())
	c.want("another", c.ask("5", Query{}), "a")
}

// random is a driver of random events on a crowd.
type random struct {
	*rand.Rand
	p       *Pool
	leases  []Lease
	waiters []*told
}

// told is one that waits.
type told struct {
	Waiter
	q  Query
	ch chan struct{}
}

func (r *random) come() {
	q := Query{Loop: r.IntN(2)}
	servers := r.p.Servers()
	for range r.IntN(3) {
		q.Tried.Add(servers[r.IntN(len(servers))])
	}
	if r.IntN(4) == 0 {
		q.Prefer = servers[r.IntN(len(servers))]
	}
	lease, err := r.p.Acquire(start, &q)
	switch err {
	case nil:
		r.leases = append(r.leases, lease)
	case ErrFull:
		w := &told{q: q, ch: make(chan struct{}, 1)}
		if r.p.Join(&w.Waiter, &w.q, func() { w.ch <- struct{}{} }) > 0 {
			r.waiters = append(r.waiters, w)
		}
	}
}

func (r *random) end() {
	if n := len(r.leases); n > 0 {
		i := r.IntN(n)
		r.leases[i].End()
		r.leases[i] = r.leases[n-1]
		r.leases = r.leases[:n-1]
	}
}

// collect takes what was given to those who wait; some give up.
func (r *random) collect() {
	left := r.waiters[:0]
	for _, w := range r.waiters {
		select {
		case <-w.ch:
		default:
			if r.IntN(10) > 0 {
				left = append(left, w)
				continue
			}
		}
		if lease, ok := r.p.Withdraw(&w.Waiter); ok {
			r.leases = append(r.leases, lease)
		}
	}
	r.waiters = left
}

// change changes the pool: limits, servers, health.
func (r *random) change(at clock.Instant) {
	list := specs("a b c:2 +d e")
	list = list[:1+r.IntN(len(list))]
	for i := range list {
		list[i].MaxRequests = min(r.IntN(12), 1+r.IntN(3)) // 0: none
		list[i].Tier = r.IntN(2)
	}
	if r.IntN(2) == 0 {
		r.p.Update(at, list)
		return
	}
	for _, s := range r.p.Servers() {
		r.p.Probed(at, s, health.Result{OK: r.IntN(3) > 0, Duration: ms})
	}
	r.p.Tick(at)
}

// finish ends all, and looks for what is left.
func (r *random) finish(t *testing.T) {
	t.Helper()
	for _, w := range r.waiters {
		if lease, ok := r.p.Withdraw(&w.Waiter); ok {
			r.leases = append(r.leases, lease)
		}
	}
	for i := range r.leases {
		r.leases[i].End()
	}
}

func wantEmpty(t *testing.T, p *Pool, servers map[*Server]bool) {
	t.Helper()
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d wait at the end, want none", n)
	}
	if p.queue.first != nil || p.queue.last != nil {
		t.Error("the queue has waiters at the end, want none")
	}
	if n := p.inFlight.Load(); n != 0 {
		t.Errorf("the pool has %d in flight at the end, want none", n)
	}
	for s := range servers {
		if n := s.InFlight(); n != 0 {
			t.Errorf("%s has %d in flight at the end, want none", s.Name, n)
		}
	}
}

func newRandom(seed uint64, p *Pool) *random {
	return &random{Rand: rand.New(rand.NewPCG(seed, 1)), p: p}
}

func randomPool(limit int) *Pool {
	return New(start, Spec{
		Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Loops: 2, MaxRequests: limit, Queue: Queue{Length: 8}, FailOpen: -1,
		Health: &health.Settings{Fall: 1, Rise: 1}, SlowStart: 20 * ms,
	})
}

// TestNoSlotIsFreeWhileSomebodyWaits has a million random events, and looks after each one.
func TestNoSlotIsFreeWhileSomebodyWaits(t *testing.T) {
	const events = 1_000_000
	for _, limit := range []int{0, 3} {
		p, spilled := randomPool(limit), 0
		r := newRandom(7, p)
		all := map[*Server]bool{}
		now, waited := start, 0
		for i := range events / 2 {
			switch n := r.IntN(100); {
			case n < 45:
				r.come()
			case n < 90:
				r.end()
			case n < 99:
				r.collect()
			default:
				now = now.Add(10 * ms)
				r.change(now)
			}
			for _, s := range p.Servers() {
				all[s] = true
			}
			if p.view.Load().cycle != nil {
				spilled++
			}
			for w := p.queue.first; w != nil; w = w.next {
				waited++
				if s := freeFor(p, w.query); s != nil {
					t.Fatalf("event %d: a request waits while %s has %d of %d in flight", i, s.Name, s.InFlight(), s.most.Load())
				}
			}
		}
		r.finish(t)
		wantEmpty(t, p, all)
		if waited < events/10 {
			t.Errorf("only %d looks at one that waits: the test tests nothing", waited)
		}
		if spilled < events/100 {
			t.Errorf("only %d events while the pool spilled: the test tests nothing", spilled)
		}
	}
}

// freeFor is a server with a slot that q may have, in the plainest words.
func freeFor(p *Pool, q *Query) *Server {
	if limit := p.limit.Load(); limit > 0 && p.inFlight.Load() >= limit {
		return nil
	}
	if s := q.Prefer; s != nil && s.Up() && !q.Tried.Has(s) {
		if s.Full() {
			return nil
		}
		return s
	}
	for _, l := range p.view.Load().levels {
		for _, s := range l.servers {
			if !q.Tried.Has(s) && !s.Full() {
				return s
			}
		}
	}
	return nil
}

// TestQueueOverLoops has random events on several goroutines at once. Nobody who waits may be forgotten: when all have ended what they had, all are told.
func TestQueueOverLoops(t *testing.T) {
	p := randomPool(3)
	var mu sync.Mutex
	all := map[*Server]bool{}
	var loops sync.WaitGroup
	for loop := range 4 {
		loops.Go(func() {
			r := newRandom(uint64(loop), p)
			for range 50_000 {
				switch n := r.IntN(10); {
				case n < 4:
					r.come()
				case n < 8:
					r.end()
				default:
					r.collect()
				}
			}
			for len(r.leases)+len(r.waiters) > 0 { // no more come: as leases end, all who wait must get one
				r.end()
				r.collect()
				runtime.Gosched()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		loops.Wait()
	}()
	r, now := newRandom(99, p), start
	for changing := true; changing; {
		select {
		case <-done:
			changing = false
		case <-time.After(ms):
			now = now.Add(10 * ms)
			mu.Lock()
			r.change(now)
			for _, s := range p.Servers() {
				all[s] = true
			}
			mu.Unlock()
		}
	}
	wantEmpty(t, p, all)
}
