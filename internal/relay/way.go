package relay

import (
	"errors"
	"io"
	"os"
	"time"

	"poise/internal/fiber"
)

const (
	// bulkFrom is how much must have come without a pause for large receives, and a pipe, to cost less. Pieces of less than largePiece are no sign of much,
	// however quickly they follow each other.
	bulkFrom, largePiece = 64 << 10, 8 << 10
	// bulkPause is how long one that sends much may pause before the way waits without a fiber.
	bulkPause = 50 * time.Millisecond
	// turn is how much one way may move before others get their turn.
	turn = 1 << 20
	// mostPiped is as much as is asked of a pipe at a time; the pipe's size bounds it.
	mostPiped = 1 << 30
)

// way is one of the two directions.
type way struct {
	r        *Relay
	from, to *fiber.Conn
	pipe     *fiber.Pipe // while much comes
	row      int         // bytes in large pieces since the last pause
	turn     int
	sent     int64
	running  bool // a fiber is at work
	sending  bool
	over     bool
	large    bool // the last piece was large
}

// wait gives the way's fiber back until there is something to do.
func (w *way) wait() {
	by, now := w.r.idleBy(), w.from.Loop().Now()
	if by != 0 && by <= now { // something is on its way
		by = now.Add(w.r.limit)
	}
	w.from.Await(w, by)
}

// Gone is never called: what Await's connections come to is served.
func (w *way) Gone(*fiber.Conn, error) {}

// Serve passes on what has come, until nothing more is there.
func (w *way) Serve(*fiber.Conn) {
	r := w.r
	if r.done {
		return
	}
	if w.running = true; w.from.Loop().Now().Sub(r.moved) > bulkPause {
		w.row = 0
	}
	returned := false
	defer func() {
		w.running = false
		if !returned { // it panics: neither the other way nor the owner must wait for ever
			w.over = true
			r.stop(w, End{Err: errPanicked, Broken: true})
		}
		r.settle()
	}()
	waits := w.pass()
	w.calm()
	returned = true
	switch {
	case !waits || r.stopped:
		w.over = true
	default:
		w.running = false
		w.wait()
	}
}

// pass moves bytes until there are none for now: then the way waits for more, unless it has ended.
func (w *way) pass() (waits bool) {
	for !w.r.stopped {
		if err := w.next(); err != nil {
			return w.ended(err)
		}
		if !w.send() {
			return false
		}
		if w.turn >= turn {
			w.turn = 0
			w.from.Loop().Yield()
		}
	}
	return false
}

// next makes sure that there is something to send. Without much in a row it does not wait.
func (w *way) next() error {
	now := w.from.Loop().Now()
	if w.row < bulkFrom {
		w.from.ReadBy(now)
		return w.from.Next()
	}
	w.hurry()
	w.from.ReadBy(now.Add(bulkPause))
	if w.pipe != nil {
		return w.from.Fetch(w.pipe, mostPiped)
	}
	return w.from.Next()
}

// hurry prepares the way for much.
func (w *way) hurry() {
	w.from.Receive(fiber.Bodies)
	if w.pipe != nil || w.from.Filtered() || w.to.Filtered() || w.from.Unread() > 0 {
		return
	}
	if w.pipe = w.from.Loop().Pipe(); w.pipe == nil {
		return
	}
	if w.r.directs++; w.r.directs == 1 {
		w.from.Direct(true)
		w.to.Direct(true)
	}
}

// calm is the end of hurry.
func (w *way) calm() {
	if w.row >= bulkFrom || !w.large {
		w.row = 0
	}
	w.from.ReadBy(0)
	w.from.Receive(fiber.Heads)
	if w.pipe == nil {
		return
	}
	w.pipe.Free()
	w.pipe = nil
	if w.r.directs--; w.r.directs == 0 {
		w.from.Direct(false)
		w.to.Direct(false)
	}
}

// send sends what next has found, and reports whether the way goes on.
func (w *way) send() bool {
	b := w.from.Buffered()
	n := len(b)
	var err error
	if w.row < bulkFrom {
		w.from.Listen() // a reset is to be noticed while this lasts
	}
	w.sending = true
	if w.pipe != nil {
		n += w.pipe.Held()
		err = w.to.SendThrough(w.pipe, b)
	} else {
		err = w.to.Send(b)
	}
	w.sending = false
	w.from.Discard(len(b))
	if err != nil {
		w.refused(err)
		return false
	}
	w.sent += int64(n)
	w.row += n
	w.large = n >= largePiece
	w.turn += n
	w.r.moved = w.from.Loop().Now()
	return true
}

// ended is what follows when nothing can be read: waits tells that something may come yet.
func (w *way) ended(err error) (waits bool) {
	r := w.r
	switch {
	case r.stopped:
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !r.isIdle() {
			return true
		}
		r.stop(w, End{Err: ErrIdle})
	case errors.Is(err, io.EOF):
		w.over = true
		r.halve()
		_ = w.to.CloseWrite() // if the other side has broken, the other way finds that
	default:
		by := w.from
		if other := w.to.Broken(); other != nil && by.Broken() == nil && errors.Is(err, other) { // it is interrupted, since the other side has broken
			by = w.to
		}
		r.stop(w, EndBy(r.side(by), false, err))
	}
	return false
}

// refused is what follows when the other side takes nothing more.
func (w *way) refused(err error) {
	r := w.r
	switch broken := w.from.Broken(); {
	case r.stopped:
	case errors.Is(err, fiber.ErrStopped), errors.Is(err, os.ErrDeadlineExceeded):
		r.stop(w, EndBy(r.side(w.to), true, err))
	case broken != nil && errors.Is(err, broken): // it is interrupted, since where the bytes come from has broken
		r.stop(w, End{By: r.side(w.from), Err: err, Broken: true})
	default:
		// What the other side has sent before it closed may still be on its way to us: that way ends the relay.
		w.over = true
		r.end = End{By: r.side(w.to), Err: err, Broken: true}
		r.halve()
	}
}
