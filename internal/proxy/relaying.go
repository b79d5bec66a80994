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
	of       relay.Side
	src      source
	piece    piece
	sent     int64
}

// relayStreams is a fiber's work until both sides have ended. It reports whether the client's connection goes on.
func (e *serving) relayStreams() bool {
	t := &relaying{e: e, idle: e.s.x.Route.Timeouts.RelayIdle, moved: e.now()}
	t.up = way{from: e.c, to: e.u, of: relay.First}
	t.down = way{from: e.u, to: e.c, of: relay.Second}
	e.p.stats.UpgradeBegun(e.s.x.Route.ID)
	e.c.begin(false)
	e.u.begin(false)
	for _, w := range []*way{&t.up, &t.down} {
		w.to.WriteBy(0)
		w.to.StallAfter(t.idle)
	}
	e.s.task.Start(e.p.loop, t.passUp)
	t.pass(&t.down)
	e.s.task.Wait()
	e.s.x.Status = e.s.tell.Status
	return e.endUpgrade(t.end, t.up.sent, t.down.sent)
}

// passUp is the second fiber. If it panics, the first must not wait for ever.
func (t *relaying) passUp() {
	finished := false
	defer func() {
		if !finished {
			t.stop(relay.Nobody, errPanicked)
		}
	}()
	t.pass(&t.up)
	finished = true
}

// pass is one direction's fiber.
func (t *relaying) pass(w *way) {
	for !t.over {
		w.from.ReadBy(t.idleBy())
		err := w.from.Next()
		switch {
		case t.over:
			return
		case err == nil:
		case errors.Is(err, io.EOF):
			if t.idle == 0 || t.idle > relay.HalfIdle {
				t.idle = relay.HalfIdle
			}
			t.moved = t.e.now()
			t.wakeOther(w)
			if err := w.to.CloseWrite(); err != nil {
				t.stop(other(w.of), err)
			}
			return
		case errors.Is(err, os.ErrDeadlineExceeded) && t.e.now() < t.idleBy():
			continue // the other direction has moved something meanwhile
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.stop(relay.Nobody, relay.ErrIdle)
			return
		default:
			t.stop(w.of, err)
			return
		}
		b := w.from.Buffered()
		w.src.own(b)
		w.piece = piece{from: &w.src}
		if _, err := w.to.send(&w.piece); err != nil {
			t.stop(other(w.of), err)
			return
		}
		w.from.Discard(len(b))
		w.sent += int64(len(b))
		t.moved = t.e.now()
	}
}

func other(s relay.Side) relay.Side {
	if s == relay.First {
		return relay.Second
	}
	return relay.First
}

// wakeOther has the other direction wait no longer than is allowed now.
func (t *relaying) wakeOther(w *way) {
	o := &t.up
	if w == o {
		o = &t.down
	}
	o.from.ReadBy(t.idleBy())
}

func (t *relaying) idleBy() clock.Instant {
	if t.idle == 0 {
		return 0
	}
	return t.moved.Add(t.idle)
}

var errPanicked = errors.New("the relay has panicked")

var errRelayOver = errors.New("the relay is over")

// stop ends both directions.
func (t *relaying) stop(by relay.Side, err error) {
	if t.over {
		return
	}
	t.over = true
	t.end = relay.End{By: by, Err: err, Broken: by != relay.Nobody}
	t.e.c.Interrupt(errRelayOver)
	t.e.u.Interrupt(errRelayOver)
}
