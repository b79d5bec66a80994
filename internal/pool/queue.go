package pool

import (
	"sync"
	"sync/atomic"
	"time"
)

// Queue bounds the requests that wait while a pool's servers have all that they may have. The zero Queue lets none wait.
type Queue struct {
	Length  int           // how many may wait
	Timeout time.Duration // for how long; the exchange looks after it
}

// Waiter is a request in its pool's queue. It belongs to one exchange; while it waits, whoever ends a lease may hand it one.
type Waiter struct {
	query *Query
	tell  func()

	// Guarded by the queue's mu.
	lease      Lease
	waits      bool
	prev, next *Waiter
}

// queue is the requests that wait for a server, in the order of their coming. The mutex is taken only while somebody waits: whoever joins first
// says so in waiting and then looks for a slot, whoever ends a lease first gives the slot back and then looks at waiting. So one of the two always sees the
// other, and no slot is free while somebody waits for it.
type queue struct {
	waiting  atomic.Int32 // how many wait, or are about to
	expected atomic.Int64 // how many more may come to need a server, whatever becomes of the pool

	mu          sync.Mutex // guards the list, its waiters, and the picker of the view that has no loop
	first, last *Waiter
	choosy      int // of those that have joined since the list was empty, the ones that may want a certain server
}

// Waiting is how many requests wait for a server.
func (p *Pool) Waiting() int { return int(p.queue.waiting.Load()) }

// Expect counts requests that will need a server once something else is decided, n more or fewer.
func (p *Pool) Expect(n int) { p.queue.expected.Add(int64(n)) }

// Expected is how many those are.
func (p *Pool) Expected() int { return int(p.queue.expected.Load()) }

// Join has a request wait for which Acquire has returned ErrFull. tell is called once, when there is a lease for it or nothing to wait for any more: on any
// goroutine and under the queue's mutex, so it must not wait. place is its place in the queue, from 1; 0: the queue is full. Withdraw must follow a place.
func (p *Pool) Join(w *Waiter, q *Query, tell func()) (place int) {
	u := &p.queue
	u.mu.Lock()
	defer u.mu.Unlock()
	place = int(u.waiting.Add(1))
	// Without a word a slot may have become free that nobody was there to be handed to. Those who wait already are not asked whether they want one unless there
	// is one: under overload that would be a walk along the whole queue for each request that is refused.
	lease, err := p.take(q, p.loops)
	if err == nil && u.first != nil {
		lease.giveBack()
		p.handOver(false)
		lease, err = p.take(q, p.loops)
	}
	room := place <= p.settings.Load().queue.Length
	switch {
	case err == nil, room && p.none(q) == ErrNoServer: // then there is nothing to wait for
		u.waiting.Add(-1)
		*w = Waiter{lease: lease}
		tell()
		return place
	case !room:
		u.waiting.Add(-1)
		return 0
	}
	*w = Waiter{query: q, tell: tell, waits: true, prev: u.last}
	if u.last != nil {
		u.last.next = w
	} else {
		u.first = w
	}
	u.last = w
	if q.Prefer != nil {
		u.choosy++
	}
	return place
}

// Withdraw ends a wait, and returns the lease that w was given, if it was given one.
func (p *Pool) Withdraw(w *Waiter) (Lease, bool) {
	u := &p.queue
	u.mu.Lock()
	defer u.mu.Unlock()
	if w.waits {
		p.unlink(w)
	}
	lease := w.lease
	*w = Waiter{}
	return lease, lease.server != nil
}

func (p *Pool) unlink(w *Waiter) {
	u := &p.queue
	u.waiting.Add(-1)
	w.waits = false
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		u.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		u.last = w.prev
	}
	w.prev, w.next = nil, nil
	if u.first == nil {
		u.choosy = 0
	}
}

// released tells the queue that there may be a slot: one, or many and perhaps less to wait for.
func (p *Pool) released(one bool) {
	if p.queue.waiting.Load() == 0 {
		return
	}
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.handOver(one)
}

// handOver gives free slots, or just one, to those who wait, the first first. One that waits for a certain server is passed over while that one is full. The
// queue's mu is held.
func (p *Pool) handOver(one bool) {
	u := &p.queue
	for w := u.first; w != nil; {
		next := w.next
		lease, err := p.take(w.query, p.loops)
		switch {
		case err == nil, p.none(w.query) == ErrNoServer: // then it is told that there is nothing to wait for
			p.unlink(w)
			w.lease = lease
			w.tell()
			if one && err == nil {
				return // so that no more of the queue is looked at than has to be
			}
		case u.choosy == 0 && w.query.Tried.Len() == 0:
			return // what this one cannot have, none can
		}
		w = next
	}
}
