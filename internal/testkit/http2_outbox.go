package testkit

import (
	"os"
	"sync"
	"time"
)

// outbox takes text as a socket does: it is sent before who writes goes on; what the other side does not take then waits, up to a bound.
type outbox struct {
	feed func(b []byte) // sends, and waits until that is done

	mu       sync.Mutex // guards the fields below
	changed  *sync.Cond
	waiting  [][]byte
	size     int
	busy     bool
	stuck    bool // feed waits for the other side
	deadline time.Time
}

// mostWaiting is about what two sockets of the system hold.
const mostWaiting = 4 << 20

func (x *outbox) init(feed func(b []byte)) {
	x.feed = feed
	x.changed = sync.NewCond(&x.mu)
}

// write takes b, in one piece if there is room.
func (x *outbox) write(b []byte) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(b) > 0 {
		for x.size >= mostWaiting {
			if !x.deadline.IsZero() && !time.Now().Before(x.deadline) {
				return n, os.ErrDeadlineExceeded
			}
			x.changed.Wait()
		}
		k := min(len(b), mostWaiting-x.size)
		x.waiting = append(x.waiting, append([]byte(nil), b[:k]...))
		x.size += k
		n += k
		b = b[k:]
		if !x.busy {
			x.busy = true
			go x.run()
		}
	}
	for x.busy && !x.stuck {
		x.changed.Wait()
	}
	return n, nil
}

// setStuck is told when feed begins and ends to wait.
func (x *outbox) setStuck(stuck bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stuck = stuck
	x.changed.Broadcast()
}

func (x *outbox) run() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.waiting) > 0 {
		b := x.waiting[0]
		x.waiting = x.waiting[1:]
		x.mu.Unlock()
		x.feed(b)
		x.mu.Lock()
		x.size -= len(b)
		x.changed.Broadcast()
	}
	x.busy = false
	x.changed.Broadcast()
}

// idle tells whether all is sent.
func (x *outbox) idle() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.busy
}

// drained waits until all is sent, or can be no more.
func (x *outbox) drained() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.busy {
		x.changed.Wait()
	}
}

// writeBy sets the time after which a wait for room fails; zero: none.
func (x *outbox) writeBy(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deadline = t
	broadcastAt(x.changed, t)
}
