package fiber

import "poise/internal/clock"

// Place is where one fiber at a time waits for what others of its loop bring about. It is used again and again, and costs no allocation. All of its methods
// are called on the loop.
type Place struct {
	loop  *Loop
	f     *fiber
	timer timer
	end   clock.Instant // of the wait; 0: none
}

// Init makes the place one of l's. It comes first, once.
func (p *Place) Init(l *Loop) {
	p.loop = l
	p.timer.owner = p
}

// Park parks the calling fiber until Wake is called, or until by (zero: never). Its caller looks what has come, and waits again if it must.
func (p *Place) Park(by clock.Instant) {
	l := p.loop
	p.f = l.current
	p.By(by)
	l.park()
}

// By changes until when the fiber waits, if one does.
func (p *Place) By(by clock.Instant) {
	p.end = by
	if p.f != nil && by != 0 {
		p.loop.timers.by(&p.timer, by)
	}
}

// Wake has the fiber go on that waits here, if one does.
func (p *Place) Wake() {
	if f := p.f; f != nil {
		p.f, p.end = nil, 0
		p.loop.wake(f)
	}
}

// Leave takes back the timer. Nobody may wait.
func (p *Place) Leave() { p.loop.timers.remove(&p.timer) }

// expire is the timer's, which may fire before its time: a deadline that has moved later leaves it where it was.
func (p *Place) expire(now clock.Instant) {
	switch {
	case p.f == nil || p.end == 0:
	case p.end > now:
		p.loop.timers.by(&p.timer, p.end)
	default:
		p.Wake()
	}
}
