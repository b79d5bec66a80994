package pool_test

import (
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/pool"
)

func hedging(h pool.Hedge) *pool.Pool {
	return pool.New(1, pool.Spec{
		Name: "app", Policy: balance.RoundRobin(), Hedge: h, Loops: 2,
		Servers: []pool.ServerSpec{{Address: "10.0.0.1:80", Weight: 1}, {Address: "10.0.0.2:80", Weight: 1}},
	})
}

func TestHedgeAfterTheQuantile(t *testing.T) {
	for _, test := range []struct {
		name      string
		hedge     pool.Hedge
		took      func(i int) time.Duration
		least, to time.Duration
	}{
		{"nineteen of twenty are quick", pool.Hedge{Quantile: 95}, func(i int) time.Duration {
			if i%25 == 0 {
				return time.Second
			}
			return time.Duration(i%25) * 100 * time.Microsecond
		}, 2300 * time.Microsecond, 2700 * time.Microsecond},
		{"half", pool.Hedge{Quantile: 50}, func(i int) time.Duration { return time.Duration(i%100) * time.Millisecond }, 49 * time.Millisecond, 56 * time.Millisecond},
		{"never sooner", pool.Hedge{Quantile: 95, Least: 10 * time.Millisecond}, func(int) time.Duration { return time.Microsecond }, 10 * time.Millisecond, 10 * time.Millisecond},
		{"no time at all", pool.Hedge{Quantile: 95}, func(int) time.Duration { return 0 }, time.Microsecond, time.Microsecond},
		{"hours", pool.Hedge{Quantile: 95}, func(int) time.Duration { return 10 * time.Hour }, 134 * time.Second, 135 * time.Second},
		{"not asked for", pool.Hedge{}, func(int) time.Duration { return time.Second }, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := hedging(test.hedge)
			for i := range 63 {
				p.Answered(0, test.took(i))
			}
			if got := p.HedgeAfter(0); got != 0 {
				t.Errorf("HedgeAfter = %v after 63 answers, want 0: too few", got)
			}
			for i := range 10_000 {
				p.Answered(0, test.took(i))
			}
			if got := p.HedgeAfter(0); got < test.least || got > test.to {
				t.Errorf("HedgeAfter = %v, want %v to %v", got, test.least, test.to)
			}
			if got := p.HedgeAfter(1); got != 0 {
				t.Errorf("HedgeAfter = %v on a loop without answers, want 0", got)
			}
		})
	}
}

// Old answers are forgotten: after a few thousand new ones nothing is left of them.
func TestHedgeAfterFollows(t *testing.T) {
	p := hedging(pool.Hedge{Quantile: 95})
	for range 100_000 {
		p.Answered(0, 100*time.Millisecond)
	}
	for range 10_000 {
		p.Answered(0, time.Millisecond)
	}
	if got := p.HedgeAfter(0); got > 1200*time.Microsecond {
		t.Errorf("HedgeAfter = %v, want a millisecond, as all of the last 10,000 answers took", got)
	}
}

// What was learnt while a pool hedged is void while it does not.
func TestHedgeEndsByReload(t *testing.T) {
	p := hedging(pool.Hedge{Quantile: 95})
	for range 100 {
		p.Answered(0, time.Millisecond)
	}
	if got := p.HedgeAfter(0); got == 0 {
		t.Fatal("HedgeAfter = 0 after 100 answers")
	}
	p.Configure(2, pool.Spec{Name: "app", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Address: "10.0.0.1:80", Weight: 1}}})
	if got := p.HedgeAfter(0); got != 0 {
		t.Errorf("HedgeAfter = %v without hedging, want 0", got)
	}
}
