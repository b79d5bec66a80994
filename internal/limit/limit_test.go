package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/clock"
)

const start = clock.Instant(time.Hour)

func TestRate(t *testing.T) {
	r := NewRate(10, time.Second, 3, 100)
	take := func(after time.Duration, want Taken) {
		t.Helper()
		if got := r.Take(start.Add(after), 7); got != want {
			t.Errorf("Take after %v = %+v, want %+v", after, got, want)
		}
	}
	const ms = time.Millisecond
	take(0, Taken{OK: true, Left: 2, Full: 100 * ms})
	take(0, Taken{OK: true, Left: 1, Full: 200 * ms})
	take(0, Taken{OK: true, Left: 0, Full: 300 * ms})
	take(0, Taken{Wait: 100 * ms, Full: 300 * ms})
	take(50*ms, Taken{Wait: 50 * ms, Full: 250 * ms})
	take(100*ms, Taken{OK: true, Full: 300 * ms})
	take(150*ms, Taken{Wait: 50 * ms, Full: 250 * ms})
	take(time.Second, Taken{OK: true, Left: 2, Full: 100 * ms})
	if got := r.Take(start.Add(time.Second), 8); !got.OK || got.Left != 2 {
		t.Errorf("another key's Take = %+v, want its own bucket", got)
	}
}

// TestRateHolds: over a long time as many requests pass as the rate says, whatever it is.
func TestRateHolds(t *testing.T) {
	for _, tt := range []struct {
		requests int
		per      time.Duration
		burst    int
	}{
		{1, time.Second, 1}, {7, time.Second, 2}, {300, time.Second, 50}, {1_000_000, time.Second, 1000}, {3, time.Hour, 5}, {100, 24 * time.Hour, 100}, {1000, time.Millisecond, 5},
	} {
		r := NewRate(tt.requests, tt.per, tt.burst, 8)
		n, now := 0, start
		end := start.Add(50 * tt.per)
		for step := tt.per / time.Duration(3*tt.requests); now < end && n < 200_000; now = now.Add(max(step, 1)) {
			if r.Take(now, 1).OK {
				n++
			}
		}
		want := float64(tt.requests) * float64(now.Sub(start)) / float64(tt.per)
		if got := float64(n - tt.burst); got < 0.999*want-2 || got > 1.001*want+2 {
			t.Errorf("%d in %v: %d pass in %v after a burst of %d, want %.0f", tt.requests, tt.per, n, now.Sub(start), tt.burst, want)
		}
	}
}

// TestRateAfterLong: after any time a bucket is full again, also once the count of time has begun anew.
func TestRateAfterLong(t *testing.T) {
	r := NewRate(1_000_000, time.Second, 10, 8)
	random := rand.New(rand.NewPCG(1, 2))
	now, limited := start, 0
	for range 100_000 {
		now = now.Add(time.Duration(random.Int64N(int64(10 * time.Minute))))
		if got := r.Take(now, 1); !got.OK {
			limited++
		}
	}
	if limited > 1 { // one in ten million meets a time of long ago that looks like one to come
		t.Errorf("%d of 100,000 requests are limited that came minutes apart", limited)
	}
}

// TestRX9RateTableIsBounded: a million keys take no more memory than the table has, and who asks much is still limited among them.
func TestRX9RateTableIsBounded(t *testing.T) {
	r := NewRate(10, time.Second, 10, 100_000)
	passed := 0
	for i := range uint64(1_000_000) {
		key := (i + 1) * 0x9e3779b97f4a7c15
		r.Take(start, key)
		if i%10_000 == 0 && r.Take(start, 42).OK {
			passed++
		}
	}
	if len(r.sets) != 100_000/ways {
		t.Errorf("the table has %d sets", len(r.sets))
	}
	if passed != 10 {
		t.Errorf("%d requests of one key pass amid a million others, want its burst of 10", passed)
	}
}

// TestRateIsExact: of what loops take at once from the same buckets not one is too much or too little.
func TestRateIsExact(t *testing.T) {
	for range 200 {
		r := NewRate(1, time.Hour, 100, 64)
		var passed [5]atomic.Int64
		var loops sync.WaitGroup
		for range 4 {
			loops.Go(func() {
				for range 150 {
					for key := range passed {
						if r.Take(start, uint64(key+1)).OK {
							passed[key].Add(1)
						}
					}
				}
			})
		}
		loops.Wait()
		for key := range passed {
			if n := passed[key].Load(); n != 100 {
				t.Fatalf("%d requests of key %d pass, want 100", n, key)
			}
		}
	}
}

func TestInFlight(t *testing.T) {
	f := NewInFlight(2, 8)
	for n := range 3 {
		if entered := f.Enter(1); entered != (n < 2) {
			t.Errorf("request %d of one key enters: %v", n+1, entered)
		}
	}
	f.Leave(1)
	if !f.Enter(1) {
		t.Error("the place of one that has left is not free")
	}
	for key := range uint64(7) {
		if !f.Enter(key + 2) {
			t.Errorf("key %d does not enter", key+2)
		}
	}
	if f.Enter(100) {
		t.Error("a key enters for which there is no room")
	}
	f.Leave(5)
	if !f.Enter(100) || f.Enter(101) {
		t.Error("not one key takes the place of one that has left")
	}
}

// TestInFlightIsExact: never more than so many at once, and none is left in the end.
func TestInFlightIsExact(t *testing.T) {
	f := NewInFlight(3, 16)
	var inside [4]atomic.Int64
	var entered atomic.Int64
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for i := range 50_000 {
				key := i % len(inside)
				for range 2 {
					if f.Enter(uint64(key + 1)) {
						if n := inside[key].Add(1); n > 3 {
							t.Errorf("%d are inside", n)
						}
						entered.Add(1)
						inside[key].Add(-1)
						f.Leave(uint64(key + 1))
					}
				}
			}
		})
	}
	loops.Wait()
	for i := range f.sets {
		for j := range f.sets[i] {
			if w := f.sets[i][j].Load(); f.value(w) != 0 {
				t.Errorf("%d are left", f.value(w))
			}
		}
	}
	if entered.Load() < 100_000 {
		t.Errorf("only %d have entered", entered.Load())
	}
}

func TestLimitsDoNotAllocate(t *testing.T) {
	r, f := NewRate(1000, time.Second, 10, 100), NewInFlight(3, 100)
	now := start
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		r.Take(now, 3)
		if f.Enter(3) {
			f.Leave(3)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkRate(b *testing.B) {
	r := NewRate(1_000_000, time.Second, 10, 100_000)
	now := start
	for b.Loop() {
		now += 1000
		r.Take(now, 0x9e3779b97f4a7c15)
	}
}
