package pool

import (
	"testing"
	"time"

	"poise/internal/health"
)

// A slot may become free without a word, just when somebody comes: who waits already comes first.
func TestQueueSilentSlotIsNotForTheLast(t *testing.T) {
	for _, tt := range []struct {
		length int
		want   string
	}{{2, "waits at 2"}, {1, "full"}} {
		c := newCrowd(t, "a", Spec{Queue: Queue{Length: tt.length}})
		c.ask("1", Query{})
		c.want("the second", c.ask("2", Query{}), "waits at 1")
		c.l["1"].giveBack()
		c.want("the third", c.ask("3", Query{}), tt.want)
		c.want("the second", c.got("2"), "a")
	}
}

// One that wants a free server that nobody else waits for gets it, be the queue full or not.
func TestQueueFreeServerBesideTheQueue(t *testing.T) {
	for _, length := range []int{1, 2} {
		c := newCrowd(t, "a b", Spec{Queue: Queue{Length: length}})
		a, b := c.server(t, "a"), c.server(t, "b")
		c.ask("1", Query{Prefer: a})
		c.want("one for a", c.ask("2", Query{Prefer: a}), "waits at 1")
		c.want("one for b", c.ask("3", Query{Prefer: b}), "waits at 2")
		c.want("one for b", c.got("3"), "b")
		c.want("one for a", c.got("2"), "")
		if n := c.Waiting(); n != 1 {
			t.Errorf("%d wait, want one", n)
		}
	}
}

// The last server may go down just when somebody comes to wait for it.
func TestQueueNothingToWaitFor(t *testing.T) {
	c := newCrowd(t, "a", Spec{Queue: Queue{Length: 9}, Health: &health.Settings{Fall: 1, Rise: 1}, FailOpen: -1})
	c.Probed(c.now, c.server(t, "a"), ok)
	c.ask("1", Query{})
	c.q["2"], c.w["2"] = &Query{}, &Waiter{}
	if _, err := c.Acquire(c.now, c.q["2"]); err != ErrFull {
		t.Fatalf("Acquire: %v, want ErrFull", err)
	}
	c.Probed(c.now.Add(time.Second), c.server(t, "a"), fail)
	c.Tick(c.now.Add(2 * time.Second))
	if place := c.Join(c.w["2"], c.q["2"], func() { c.told["2"] = true }); place != 1 {
		t.Errorf("place %d, want 1: what it is told is not that the queue is full", place)
	}
	c.want("the second", c.got("2"), "nothing")
	if n := c.Waiting(); n != 0 {
		t.Errorf("%d wait, want none", n)
	}
}

// TestQueueCostsTheSameWhateverItsLength compares a long queue of those that want a certain server with a short one, while requests are refused and others
// end: under overload there is no time to go along the queue for each.
func TestQueueCostsTheSameWhateverItsLength(t *testing.T) {
	short, long := time.Duration(1<<62), time.Duration(0)
	for range 5 { // the best of some: other work may disturb any of them
		short = min(short, overloaded(t, 10))
		l := overloaded(t, 10_000)
		if long == 0 || l < long {
			long = l
		}
	}
	if long > 30*short {
		t.Errorf("with 10,000 in the queue the same takes %v, with 10 %v", long, short)
	}
}

// overloaded is how long some events take while so many wait.
func overloaded(t *testing.T, length int) time.Duration {
	t.Helper()
	spec := Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Queue: Queue{Length: length}}
	for i := range spec.Servers {
		spec.Servers[i].MaxRequests = 1
	}
	p := New(start, spec)
	var leases []Lease
	var waiting []*Waiter
	n := 0
	next := func() (*Waiter, *Query) { n++; return &Waiter{}, &Query{Prefer: p.Servers()[n%2]} }
	join := func() bool {
		w, q := next()
		if lease, err := p.Acquire(start, q); err == nil {
			leases = append(leases, lease)
			return true
		}
		if p.Join(w, q, func() {}) == 0 {
			return false
		}
		waiting = append(waiting, w)
		return true
	}
	for range 2 + length {
		if !join() {
			t.Fatal("the queue is full too early")
		}
	}
	began := time.Now()
	for i := range 200 {
		n = i
		if join() {
			t.Fatal("the queue has room, want none")
		}
		leases[0].End()
		lease, ok := p.Withdraw(waiting[0])
		if !ok {
			t.Fatal("the first in the queue has no lease, though one has ended")
		}
		leases, waiting = append(leases[1:], lease), waiting[1:]
		n = i
		join()
	}
	return time.Since(began)
}
