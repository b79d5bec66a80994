package fiber

import (
	"time"

	"poise/internal/clock"
)

// timer is an entry of a loop's timer heap. It is embedded where it is used, and costs no allocation.
type timer struct {
	when  clock.Instant // when the entry fires; it may fire early for its owner, who then arms it again
	index int           // in the heap, plus one; 0: not armed
	owner expirer
}

// expirer is called when its timer has fired. The timer is no longer armed then.
type expirer interface{ expire(now clock.Instant) }

// timers is a binary heap. Deadlines move later on nearly every request, so moving later costs nothing: the entry stays, fires early
// and is armed anew by its owner.
type timers struct{ heap []*timer }

// by makes sure that t fires no later than when.
func (ts *timers) by(t *timer, when clock.Instant) {
	if t.index == 0 {
		t.when = when
		ts.heap = append(ts.heap, t)
		t.index = len(ts.heap)
		ts.up(t.index - 1)
		return
	}
	if when < t.when {
		t.when = when
		ts.up(t.index - 1)
	}
}

func (ts *timers) remove(t *timer) {
	if t.index == 0 {
		return
	}
	i, last := t.index-1, len(ts.heap)-1
	ts.swap(i, last)
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	t.index = 0
	if i < last {
		ts.down(i)
		ts.up(i)
	}
}

// next is when the first timer fires, or 0.
func (ts *timers) next() clock.Instant {
	if len(ts.heap) == 0 {
		return 0
	}
	return ts.heap[0].when
}

func (ts *timers) expire(now clock.Instant) {
	for len(ts.heap) > 0 && ts.heap[0].when <= now {
		t := ts.heap[0]
		ts.remove(t)
		t.owner.expire(now)
	}
}

func (ts *timers) swap(i, j int) {
	h := ts.heap
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (ts *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if ts.heap[parent].when <= ts.heap[i].when {
			return
		}
		ts.swap(i, parent)
		i = parent
	}
}

func (ts *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(ts.heap) {
			return
		}
		if child+1 < len(ts.heap) && ts.heap[child+1].when < ts.heap[child].when {
			child++
		}
		if ts.heap[i].when <= ts.heap[child].when {
			return
		}
		ts.swap(i, child)
		i = child
	}
}

// sleeper is a fiber in Sleep.
type sleeper struct {
	timer timer
	loop  *Loop
	f     *fiber
}

func (s *sleeper) expire(clock.Instant) { s.loop.wake(s.f) }

// Sleep parks the fiber for d, or until the loop stops.
func (l *Loop) Sleep(d time.Duration) {
	s := &sleeper{loop: l, f: l.current}
	s.timer.owner = s
	l.timers.by(&s.timer, l.now.Add(d))
	l.park()
}

// wakeSleepers ends every Sleep, and every Wait that no client's end has ended: the loop stops.
func (ts *timers) wakeSleepers() {
	for _, t := range append([]*timer(nil), ts.heap...) {
		switch owner := t.owner.(type) {
		case *sleeper:
			ts.remove(t)
			owner.expire(0)
		case *Wait:
			owner.Left(ErrStopped)
		}
	}
}

// Every calls f on the loop each d, outside any fiber: f must not block. It goes on until the loop ends.
func (l *Loop) Every(d time.Duration, f func()) {
	e := &every{loop: l, d: d, f: f}
	e.timer.owner = e
	l.timers.by(&e.timer, l.now.Add(d))
}

type every struct {
	timer timer
	loop  *Loop
	d     time.Duration
	f     func()
}

func (e *every) expire(now clock.Instant) {
	e.loop.timers.by(&e.timer, now.Add(e.d))
	e.loop.runPost(e.f)
}
