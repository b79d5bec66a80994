package fiber

import (
	"io"
	"os"

	"poise/internal/clock"
)

// Wait is one wait of a fiber for what another goroutine tells it. It is used once.
type Wait struct {
	loop  *Loop
	f     *fiber
	timer timer
	told  bool
	stays bool // the client's FIN does not end it
	err   error
}

// NewWait returns a wait that the calling fiber can begin with Until.
func (l *Loop) NewWait() *Wait {
	w := &Wait{loop: l}
	w.timer.owner = w
	return w
}

// Tell ends the wait, be it before Until or after the wait is over. It is safe from any goroutine and never waits.
func (w *Wait) Tell() { w.loop.Post(w.tell) }

func (w *Wait) tell() {
	w.told = true
	w.wake()
}

// Until parks the fiber until Tell was called: then it returns nil. It returns os.ErrDeadlineExceeded after by (zero: never), what broke client when that
// leaves, io.EOF too, or ErrStopped.
func (w *Wait) Until(by clock.Instant, client Client) error {
	l := w.loop
	if by != 0 {
		l.timers.by(&w.timer, by)
	}
	if client != nil {
		client.Guard(w)
	}
	for !w.told && w.err == nil {
		w.f = l.current
		l.park()
	}
	if client != nil {
		client.Guard(nil)
	}
	l.timers.remove(&w.timer)
	if w.told {
		return nil
	}
	return w.err
}

// UntilReset is Until, but goes on when client, which may be nil, has only closed its sending half.
func (w *Wait) UntilReset(by clock.Instant, client Client) error {
	w.stays = true
	return w.Until(by, client)
}

// Left is Guarded's: it ends the wait with err.
func (w *Wait) Left(err error) {
	if w.stays && err == io.EOF {
		return
	}
	if w.err == nil {
		w.err = err
	}
	w.wake()
}

func (w *Wait) expire(clock.Instant) { w.Left(os.ErrDeadlineExceeded) }

func (w *Wait) wake() {
	if f := w.f; f != nil {
		w.f = nil
		w.loop.wake(f)
	}
}
