// Package fiber runs ordinary blocking code on per-core event loops.
//
// A Loop owns a thread, a driver (io_uring, epoll, or package net), timers, buffers and sockets. Code that serves a connection runs in a
// fiber: a coroutine that yields to its loop where it would block. Two fibers of one loop never run at once, so what
// belongs to a loop needs no lock.
//
// What must hold, everywhere in the program:
//   - A fiber never parks its goroutine by other means (a channel, a contended mutex, a file, DNS): its whole loop would stand still.
//     Offload is for that.
//   - No lock and no sync.Once is held across a call that may yield: the loop would hang for good.
//   - Nothing preempts a fiber. Long work yields by itself.
//   - runtime.Goexit (and so testing.T.FailNow) inside a fiber kills its loop.
//
// The package never reads or writes a protocol. Start reading at Loop, then Conn, then the driver interface.
package fiber

import (
	"iter"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"poise/internal/clock"
)

// fiber is a pooled coroutine. It belongs to the loop that made it: a coroutine is bound to the thread-lock state of its maker, and
// only the loop's goroutine, outside any fiber, resumes it.
type fiber struct {
	loop  *Loop
	next  func() (struct{}, bool)
	yield func(struct{}) bool
	fn    func()  // the job, or
	serve Handler // the job is serve.Serve(conn)
	// conn is closed if the job panics. Only the loop writes it; the watchdog reads it.
	conn atomic.Pointer[Conn]
	exit bool // the coroutine ends at its next resume; only for an idle fiber
}

func (l *Loop) newFiber() *fiber {
	f := &fiber{loop: l}
	// The stop function is dropped: a parked fiber is never stopped, it is woken with an error.
	f.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		f.yield = yield
		for !f.exit {
			f.run()
			f.fn, f.serve = nil, nil
			f.conn.Store(nil)
			l.idle = append(l.idle, f)
			l.active--
			yield(struct{}{})
		}
	})
	return f
}

func (f *fiber) run() {
	defer func() {
		if v := recover(); v != nil {
			f.loop.panicked(f, v, debug.Stack())
		}
	}()
	if f.serve != nil {
		f.serve.Serve(f.conn.Load())
		return
	}
	f.fn()
}

// take returns a pooled fiber, the one used last first: its stack is warm.
func (l *Loop) take() *fiber {
	l.active++
	if n := len(l.idle); n > 0 {
		f := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return f
	}
	return l.newFiber()
}

// Go starts f in a fiber of its own, at the latest in the loop's next turn. Call it on the loop.
func (l *Loop) Go(f func()) {
	b := l.take()
	b.fn = f
	l.wake(b)
}

func (l *Loop) serve(h Handler, c *Conn) {
	b := l.take()
	b.serve = h
	b.conn.Store(c)
	l.wake(b)
}

// park gives the loop back until somebody wakes the fiber.
func (l *Loop) park() {
	f := l.current
	if f == nil {
		panic("fiber: a blocking call outside a fiber")
	}
	l.current = nil
	f.yield(struct{}{})
}

// wake lets the fiber go on in this turn. It is called on the loop, from a fiber or not.
func (l *Loop) wake(f *fiber) { l.ready = append(l.ready, f) }

// Yield lets others of the loop run, and goes on in the next turn.
func (l *Loop) Yield() {
	l.yielded = append(l.yielded, l.current)
	l.park()
}

// Late is Yield before work that takes long: what others have sent goes out first.
func (l *Loop) Late() {
	l.late = true
	l.Yield()
}

// standing is a fiber that stands back, and until when at most.
type standing struct {
	f  *fiber
	by clock.Instant
}

// standBackMost is how long a fiber stands back at most.
const standBackMost = 2 * time.Millisecond

// StandBack lets all others run, also those who come meanwhile: the fiber goes on once a turn has had nothing to do, one fiber a turn, or after standBackMost.
func (l *Loop) StandBack() {
	l.back = append(l.back, standing{l.current, l.now.Add(standBackMost)})
	l.park()
}

// letOn ends the standing back of the first fiber if the turn was idle, and of those that have stood back long enough.
func (l *Loop) letOn(idle bool) {
	n := 0
	for n < len(l.back) && (idle && n == 0 || l.back[n].by <= l.now) {
		l.wake(l.back[n].f)
		n++
	}
	l.back = slices.Delete(l.back, 0, n)
	l.runReady()
}

// runReady resumes what was woken, in the order of waking, until nothing is left.
func (l *Loop) runReady() {
	for i := 0; i < len(l.ready); i++ { // grows while it runs
		f := l.ready[i]
		l.resumed++
		l.ready[i] = nil
		l.current = f
		l.running.Store(f)
		f.next()
		l.current = nil
	}
	l.ready = l.ready[:0]
}
