// Package relay passes bytes on between two connections, both ways, until both sides have said that they send nothing more, or one of them breaks.
//
// What a side sends goes on in the order in which it came; its end is passed on too, and the other way goes on for a while. A side that reads slowly stops the
// reading on the other. While nothing moves, a relay has no fiber and no buffer. The package never looks at what it passes on, and never closes a
// connection: whoever started the relay does that in Done. Start reading at Relay, then way.go.
package relay

import (
	"errors"
	"io"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
)

// HalfIdle is how long nothing may move once one side has said that it sends nothing more: most never hear of the other's end then.
// [HAProxy: timeout client-fin, which its manual advises beside timeout tunnel; 60 s is its timeouts' usual value]
const HalfIdle = 60 * time.Second

// Side is one of a relay's two connections.
type Side uint8

// The sides. Nobody is to blame for an end in good order, and for one that Poise brings about.
const (
	Nobody Side = iota
	First
	Second
)

// ErrIdle is why a relay ends in which nothing has moved for too long.
var ErrIdle = errors.New("nothing was sent for too long")

// errOver interrupts what waits on a relay's connections when it ends.
var errOver = errors.New("the relay is over")

// errPanicked is why a relay ends whose code has panicked.
var errPanicked = errors.New("a fiber of the relay has panicked")

// Relay is bytes on their way between two connections of one loop. Its fields are set before Start and not changed.
//
//	         bytes, an end, a break             nothing more to pass on
//	waits ---------------------------> passes ---------------------------> waits
//	                                     | an end, or the other side takes nothing more
//	                                     v
//	                                   over; when both ways are, or one has ended the whole: Done
//
// Each way is in one of these states; one that waits has its connection Await.
type Relay struct {
	// The connections are the relay's from Start to Done.
	First, Second *fiber.Conn
	// Idle is how long neither side may send, or take, anything; 0: for ever.
	Idle time.Duration
	// HalfIdle is the same once one side has ended; 0: HalfIdle.
	HalfIdle time.Duration
	// Done is called once, in a fiber, when the relay has ended. It closes the connections.
	Done func()

	ways    [2]way
	moved   clock.Instant // when something was last passed on
	limit   time.Duration // Idle, or HalfIdle
	directs int           // ways that go through the kernel
	stopped bool
	done    bool
	end     End
}

// End is how a relay has ended.
type End struct {
	// By is who ended it otherwise than in good order, or by taking or sending nothing for too long; Err is how. Both are zero after an end in good order.
	By  Side
	Err error
	// Broken tells that the side's connection broke, so that the other's should not end as if all had been said.
	Broken bool
}

// EndBy is the end that a side brings about by err: with what it sends, or by what it does not take.
func EndBy(s Side, taking bool, err error) End {
	switch {
	case errors.Is(err, fiber.ErrStopped):
		return End{Err: err}
	case taking && errors.Is(err, os.ErrDeadlineExceeded):
		return End{By: s, Err: ErrIdle}
	}
	// Behind a filter, an end of the socket alone is how many leave: all that was said is passed on. But it may be no end of what was to be said.
	return End{By: s, Err: err, Broken: taking || !errors.Is(err, io.ErrUnexpectedEOF)}
}

// Start passes on what is unread, and then all that comes. It is called in a fiber of the connections' loop, and does not wait.
func (r *Relay) Start() {
	r.moved, r.limit = r.First.Loop().Now(), r.Idle
	if r.HalfIdle == 0 {
		r.HalfIdle = HalfIdle
	}
	r.ways[0] = way{r: r, from: r.First, to: r.Second}
	r.ways[1] = way{r: r, from: r.Second, to: r.First}
	for i := range r.ways {
		w := &r.ways[i]
		w.from.ReadBy(0)
		w.from.WriteBy(0)
		w.from.StallAfter(r.limit)
		w.from.Receive(fiber.Heads)
		w.from.GuardReset(w.to)
	}
	for i := range r.ways {
		r.ways[i].wait()
	}
}

// End is how the relay has ended; it is zero before Done.
func (r *Relay) End() End { return r.end }

// Sent is how many bytes of each side were passed on.
func (r *Relay) Sent() (first, second int64) { return r.ways[0].sent, r.ways[1].sent }

// idleBy is when the relay has been idle for too long; 0: never.
func (r *Relay) idleBy() clock.Instant {
	if r.limit == 0 {
		return 0
	}
	return r.moved.Add(r.limit)
}

// isIdle tells whether the relay has been idle for too long. What is on its way is no idleness: that a side takes nothing is found by its send.
func (r *Relay) isIdle() bool {
	by := r.idleBy()
	return by != 0 && r.First.Loop().Now() >= by && !r.ways[0].sending && !r.ways[1].sending
}

// halve begins the time in which the way that is left must move something.
func (r *Relay) halve() {
	r.moved = r.First.Loop().Now()
	if r.limit == 0 || r.limit > r.HalfIdle {
		r.limit = r.HalfIdle
	}
	for i := range r.ways {
		if w := &r.ways[i]; !w.over {
			w.to.StallAfter(r.limit)
			w.from.IdleBy(r.idleBy())
		}
	}
}

// stop ends both ways, at the instance of one of them.
func (r *Relay) stop(by *way, e End) {
	if r.stopped {
		return
	}
	r.stopped = true
	if r.end == (End{}) {
		r.end = e
	}
	for i := range r.ways {
		if w := &r.ways[i]; w != by && w.running {
			r.First.Interrupt(errOver)
			r.Second.Interrupt(errOver)
		}
	}
}

// settle calls Done when there is nothing left to do.
func (r *Relay) settle() {
	a, b := &r.ways[0], &r.ways[1]
	if r.done || a.running || b.running || !(r.stopped || (a.over && b.over)) {
		return
	}
	r.done = true
	r.First.Guard(nil)
	r.Second.Guard(nil)
	r.Done()
}

// side is the side of a connection.
func (r *Relay) side(c *fiber.Conn) Side {
	if c == r.First {
		return First
	}
	return Second
}
