package pool

import (
	"testing"
	"time"

	"poise/internal/clock"
)

func budgeted(b Budget, loops int) *Pool {
	return New(start, Spec{Name: "p", Policy: &inOrder{}, Budget: b, Loops: loops})
}

// spend takes repeats until there are none, at most n.
func spend(p *Pool, now clock.Instant, loop, n int) (got int) {
	for got < n && p.SpendRepeat(now, loop) {
		got++
	}
	return got
}

// Of many requests that all fail, a fifth is repeated, and the few more that are always saved up.
func TestBudgetIsAShareOfTheRequests(t *testing.T) {
	p := budgeted(Budget{Share: 20}, 1)
	got := 0
	for range 10_000 {
		p.Enter(start, 0)
		got += spend(p, start, 0, 1)
		p.Leave(0)
	}
	if got < 2000 || got > 2010 {
		t.Errorf("%d repeats for 10000 requests, want 2000 to 2010", got)
	}
}

// A quiet pool saves up ten; a busy one as many as it has exchanges under way.
func TestBudgetSavesForAServerThatDies(t *testing.T) {
	p := budgeted(Budget{Share: 20}, 1)
	if got := spend(p, start, 0, 1000); got != 10 {
		t.Errorf("a new pool has %d repeats, want 10", got)
	}
	for range 1000 {
		p.Enter(start, 0)
		p.Leave(0)
	}
	if got := spend(p, start, 0, 1000); got != 10 {
		t.Errorf("a pool at rest has %d repeats, want 10", got)
	}
	for range 100 {
		p.Enter(start, 0) // and they stay
	}
	for range 1000 {
		p.Enter(start, 0)
		p.Leave(0)
	}
	if got := spend(p, start, 0, 1000); got < 100 || got > 101 {
		t.Errorf("a pool with 100 exchanges under way has %d repeats, want 100", got)
	}
}

// A busy pool saves up what a second's requests earn, however few are under way at a time.
func TestBudgetSavesASecondsEarnings(t *testing.T) {
	p := budgeted(Budget{Share: 20}, 1)
	now := start
	for range 3000 { // a thousand a second
		now = now.Add(time.Millisecond)
		p.Enter(now, 0)
		p.Leave(0)
	}
	if got := spend(p, now, 0, 10_000); got < 198 || got > 202 {
		t.Errorf("a pool with 1000 requests a second has %d repeats, want 200", got)
	}
	if got := spend(p, now.Add(time.Minute), 0, 10_000); got != 0 {
		t.Errorf("after a minute of rest it has %d more, want none", got)
	}
}

// What a great load has saved up is gone some time after it.
func TestBudgetForgetsAGreatLoad(t *testing.T) {
	p := budgeted(Budget{Share: 20}, 1)
	for range 5000 {
		p.Enter(start, 0)
	}
	for range 30_000 {
		p.Enter(start, 0)
		p.Leave(0)
	}
	for range 5000 {
		p.Leave(0)
	}
	if got := spend(p, start.Add(time.Hour), 0, 10_000); got != 10 {
		t.Errorf("an hour after a load of 5000 there are %d repeats, want 10", got)
	}
}

// Some repeats a second are there in any case, over all loops together; those that requests have earned count.
func TestBudgetFloor(t *testing.T) {
	p := budgeted(Budget{Share: 20, Floor: 4}, 2)
	for loop := range 2 {
		spend(p, start, loop, 1000)
	}
	now, got := start, 0
	for range 10 {
		now = now.Add(time.Second)
		for loop := range 2 {
			got += spend(p, now, loop, 1000)
		}
	}
	if got != 40 {
		t.Errorf("%d repeats in ten seconds, want 40", got)
	}
	for range 10 {
		for range 10 { // two repeats' worth, which is this loop's floor
			p.Enter(now, 0)
			p.Leave(0)
		}
		now = now.Add(time.Second)
		got += spend(p, now, 0, 1000)
	}
	if got < 58 || got > 62 {
		t.Errorf("%d repeats in all, want about 60: the floor is none on top", got)
	}
}

// A floor of more than what is always saved up holds as well.
func TestBudgetLargeFloor(t *testing.T) {
	p := budgeted(Budget{Share: 20, Floor: 500}, 2)
	for second := range 3 {
		for loop := range 2 {
			if got := spend(p, start.Add(time.Duration(second)*time.Second), loop, 1000); got != 250 {
				t.Errorf("loop %d had %d repeats in second %d, want its half of 500", loop, got, second)
			}
		}
	}
	p.Configure(start.Add(3*time.Second), Spec{Name: "p", Policy: &inOrder{}, Budget: Budget{Floor: 900}, Loops: 2})
	if got := spend(p, start.Add(3*time.Second), 0, 1000); got != 450 {
		t.Errorf("%d repeats with another floor, want half of 900", got)
	}
}

func TestBudgetOfNone(t *testing.T) {
	p := budgeted(Budget{}, 1)
	if got := spend(p, start.Add(time.Hour), 0, 1000); got != 0 {
		t.Errorf("a pool without a budget has %d repeats, want none", got)
	}
}
