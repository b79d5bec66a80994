package proxy

import (
	"time"

	"poise/internal/clock"
)

// paceWindow is over how long a body's rate is looked at.
const paceWindow = 30 * time.Second

// pace holds a client's body to a time between two pieces and to a least rate, so that neither silence nor a trickle holds a server.
type pace struct {
	idle time.Duration
	rate int // bytes a second, 0: any
	from clock.Instant
	got  int64
}

func newPace(now clock.Instant, idle time.Duration, rate int) pace {
	return pace{idle: idle, rate: rate, from: now}
}

// next is how long to wait for the next piece.
func (p *pace) next(now clock.Instant) time.Duration {
	d := p.idle
	if p.rate > 0 && p.got < p.least() {
		left := max(paceWindow-now.Sub(p.from), 1)
		if d == 0 || left < d {
			d = left
		}
	}
	return d
}

func (p *pace) least() int64 { return int64(p.rate) * int64(paceWindow/time.Second) }

// add counts a piece, and begins a new window when one is full in time or bytes.
func (p *pace) add(now clock.Instant, n int) {
	p.got += int64(n)
	if now.Sub(p.from) >= paceWindow && p.got >= p.least() {
		p.from, p.got = now, 0
	}
}
