package fiber

import (
	"log/slog"
	"time"

	"poise/internal/clock"
)

// LongTurn is how long a turn may last before the watchdog reports it: everybody else on the loop waits that long.
const LongTurn = 50 * time.Millisecond

// Watchdog looks at loops from outside, and logs each turn that lasts too long, with the connection whose fiber ran.
type Watchdog struct {
	loops []*Loop
	log   *slog.Logger
	quit  chan struct{}
	done  chan struct{}
}

// Watch starts a watchdog; Close ends it.
func Watch(loops []*Loop, log *slog.Logger) *Watchdog {
	w := &Watchdog{loops: loops, log: log, quit: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Close ends the watchdog and waits for it.
func (w *Watchdog) Close() {
	close(w.quit)
	<-w.done
}

func (w *Watchdog) run() {
	defer close(w.done)
	tick := time.NewTicker(LongTurn / 4)
	defer tick.Stop()
	reported := make([]int64, len(w.loops)) // the turn that was reported last
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
		for i, l := range w.loops {
			turn := l.turn.Load()
			if turn == 0 || turn == reported[i] || clock.Now().Sub(clock.Instant(turn)) < LongTurn {
				continue
			}
			reported[i] = turn
			took := clock.Now().Sub(clock.Instant(turn))
			w.log.Warn("a loop's turn takes long: its other connections wait", "loop", l.Index, "for", took, "ran", l.running.Load().describe())
			l.Post(func() { l.count.LongTurns++ })
		}
	}
}

// describe says what the fiber serves. It reads only what never changes after the fiber was made or the connection opened.
func (f *fiber) describe() string {
	if f == nil {
		return "no fiber"
	}
	if c := f.conn.Load(); c != nil {
		return "the connection of " + c.peer.String()
	}
	return "a fiber without a connection"
}
