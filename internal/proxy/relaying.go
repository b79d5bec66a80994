package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/relay"
)

// relaying passes bytes on both ways after an upgrade where a side is a stream, until both have ended: what relay.Relay does for two connections. It
// has two fibers, the exchange's own and the upload's.
type relaying struct {
	e     *serving
	idle  time.Duration
	moved clock.Instant // when something was last passed on
	over  bool
	end   relay.End
	up    way
	down  way
}

// way is one of its directions.
type way struct {
	from, to side
	of       relay.Side // from
	src      source
	piece    piece
	sent     int64
	sending  bool
	over     bool // from has said all
	cut      bool // to has not got all that came
}

// relayStreams is a fiber's work until both sides have ended. It reports whether the client's connection goes on.
func (e *serving) relayStreams() bool {
	t := &relaying{e: e, idle: e.s.x.Route.Timeouts.RelayIdle, moved: e.now()}
	t.up = way{from: e.c, to: e.u, of: relay.First}
	t.down = way{from: e.u, to: e.c, of: relay.Second}
	e.p.stats.UpgradeBegun(e.s.x.Route.ID)
	e.c.begin(false)
	e.u.begin(false)
	e.s.task.Start(e.p.loop, t.passUp)
	t.pass(&t.down)
	e.s.task.Wait()
	return e.endUpgrade(t.end, t.up.sent, t.down.sent)
}

// passUp is the second fiber. If it panics, the first must not wait for ever.
func (t *relaying) passUp() {
	finished := false
	defer func() {
		if !finished {
			t.stop(relay.End{Err: errPanicked, Broken: true})
		}
	}()
	t.pass(&t.up)
	finished = true
}

var errPanicked = errors.New("a fiber of the relay has panicked")

// pass is one direction's fiber.
func (t *relaying) pass(w *way) {
	for !t.over && !w.over {
		by, now := t.idleBy(), t.e.now()
		if by != 0 && by <= now { // something is on its way
			by = now.Add(t.idle)
		}
		w.from.ReadBy(by)
		if err := w.from.Next(); err != nil {
			t.ended(w, err)
			continue
		}
		b := w.from.Buffered()
		w.src.own(b)
		w.piece = piece{from: &w.src}
		w.to.WriteBy(0)
		w.to.StallAfter(t.idle)
		w.sending = true
		_, err := w.to.send(&w.piece)
		w.sending = false
		w.from.Discard(len(b))
		if err != nil {
			w.cut = true
			t.stop(relay.EndBy(t.other(w).of, true, err))
			continue
		}
		w.sent += int64(len(b))
		t.moved = t.e.now()
	}
	if !t.end.Broken && !w.cut {
		_ = w.to.CloseWrite() // if that side has broken, the other way finds it
	}
}

// ended is what follows when nothing comes.
func (t *relaying) ended(w *way, err error) {
	switch {
	case t.over:
	case errors.Is(err, os.ErrDeadlineExceeded):
		if t.e.now() >= t.idleBy() && !t.other(w).sending { // else the other way has moved something, or is about to
			t.stop(relay.End{Err: relay.ErrIdle})
		}
	case errors.Is(err, io.EOF):
		w.over = true
		t.moved = t.e.now()
		if t.idle == 0 || t.idle > relay.HalfIdle {
			t.idle = relay.HalfIdle
		}
		t.other(w).from.ReadBy(t.idleBy())
	default:
		t.stop(relay.EndBy(w.of, false, err))
	}
}

func (t *relaying) other(w *way) *way {
	if w == &t.up {
		return &t.down
	}
	return &t.up
}

// idleBy is when nothing has moved for too long; 0: never.
func (t *relaying) idleBy() clock.Instant {
	if t.idle == 0 {
		return 0
	}
	return t.moved.Add(t.idle)
}

var errRelayOver = errors.New("the relay is over")

// stop ends both directions. Where no side has broken, each still says to the other that there is no more.
func (t *relaying) stop(end relay.End) {
	if t.over {
		return
	}
	t.over, t.end = true, end
	for _, side := range []side{t.e.c, t.e.u} {
		if end.Broken {
			side.Interrupt(errRelayOver)
		} else {
			side.ReadBy(t.e.now())
		}
	}
}
