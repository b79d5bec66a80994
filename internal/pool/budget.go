package pool

import (
	"time"

	"poise/internal/clock"
)

// Budget bounds how often requests that were sent are sent again, so that repeats cannot turn a failure into an overload: each
// request of the pool earns a share of a repeat. The zero Budget allows none.
//
// Both figures are Finagle's and the Gateway API's in kind (GEP-3388: a share of 20 %, and a few a second in any case); Envoy's 20 % are of the
// requests under way instead.
type Budget struct {
	Share int // repeats for a hundred requests
	Floor int // repeats a second, in any case
}

// purse is one loop's part of a pool's budget. Only that loop touches it.
type purse struct {
	active int           // exchanges under way
	saved  int           // in thousandths of a repeat
	earned int           // in the present second, likewise
	before int           // in the second before
	floor  int           // what there is in each second, likewise
	second clock.Instant // when the present one began
	_      [128 - 6*8]byte
}

const (
	wholeRepeat = 1000
	// leastDepth is how many repeats may always be saved up: so many requests may be under way to a server that dies first thing in the morning.
	leastDepth = 10 * wholeRepeat
)

// Enter counts an exchange of the pool that begins on a loop; Leave must follow.
func (p *Pool) Enter(now clock.Instant, loop int) {
	u, set := &p.purses[loop], p.settings.Load()
	u.active++
	u.tick(now, set.floor)
	u.earn(set.earns)
}

// Leave ends what Enter began.
func (p *Pool) Leave(loop int) { p.purses[loop].active-- }

// MayRepeat tells whether the loop's part of the budget has a repeat to give.
func (p *Pool) MayRepeat(now clock.Instant, loop int) bool {
	u, set := &p.purses[loop], p.settings.Load()
	u.tick(now, set.floor)
	return u.saved >= wholeRepeat && set.budget != (Budget{}) // what was saved of a budget that is gone is void
}

// SpendRepeat takes it out.
func (p *Pool) SpendRepeat(now clock.Instant, loop int) bool {
	if !p.MayRepeat(now, loop) {
		return false
	}
	p.purses[loop].saved -= wholeRepeat
	return true
}

// tick makes up, for each second that is over, what is missing to the floor.
func (u *purse) tick(now clock.Instant, floor int) {
	u.floor = floor
	over := int(now.Sub(u.second) / time.Second)
	if over < 1 {
		return
	}
	missing := max(0, floor-u.earned) + (min(over, 1000)-1)*floor // a thousand seconds are as good as more
	u.second, u.before = u.second.Add(time.Duration(over)*time.Second), u.earned
	if over > 1 {
		u.before = 0
	}
	u.earned = 0
	u.saved = min(u.saved, u.depth()) // a great load that is over leaves nothing behind
	u.save(missing)
}

func (u *purse) earn(n int) {
	u.earned += n
	u.save(n)
}

func (u *purse) save(n int) { u.saved = max(u.saved, min(u.saved+n, u.depth())) }

// depth is how much can be saved: as many repeats as there are exchanges under way, so that if all their servers die all can be repeated, once; or a second's
// earnings, since a server that fails at once gets many requests before it is out; or a second's floor.
func (u *purse) depth() int { return max(leastDepth, u.active*wholeRepeat, u.before, u.floor) }
