package probe

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"poise/internal/health"
	"poise/internal/pool"
)

type result struct {
	server *pool.Server
	health.Result
	at time.Time
}

// startFake returns probers whose check is f, and what they report.
func startFake(t *testing.T, s Settings, f check) (*Probers, chan result) {
	t.Helper()
	results := make(chan result, 1000)
	p, err := New(s, func(s *pool.Server, r health.Result) { results <- result{s, r, time.Now()} })
	if err != nil {
		t.Fatal(err)
	}
	p.ask = f.question
	return p, results
}

func servers(n int) []*pool.Server {
	list := make([]*pool.Server, n)
	for i := range list {
		list[i] = &pool.Server{Pool: "app", Name: fmt.Sprint("s", i), Address: fmt.Sprintf("10.0.0.%d:80", i)}
	}
	return list
}

func passing(context.Context, target) error { return nil }

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, results := startFake(t, Settings{Health: health.Settings{Interval: 10 * time.Second}}, func(context.Context, target) error {
			time.Sleep(300 * time.Millisecond) // counts into the interval
			return nil
		})
		began := time.Now()
		p.Set(servers(1))
		last := (<-results).at
		if got := last.Sub(began); got != 300*time.Millisecond {
			t.Errorf("first result after %v, want 300ms: at once", got)
		}
		paces := map[time.Duration]bool{}
		for range 50 {
			at := (<-results).at
			pace := at.Sub(last)
			if pace < 9*time.Second || pace > 11*time.Second {
				t.Errorf("pace = %v, want 10s ± 10 %%", pace)
			}
			paces[pace], last = true, at
		}
		if len(paces) < 10 {
			t.Errorf("50 pauses have %d lengths, want them to vary", len(paces))
		}
		p.Close()
	})
}

// The first round is made at once; the second one is spread over the interval, and so are those that follow.
func TestRoundsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, interval = 100, 10 * time.Second
		p, results := startFake(t, Settings{Health: health.Settings{Interval: interval}}, passing)
		began := time.Now()
		p.Set(servers(n))
		time.Sleep(5 * interval)
		p.Close()
		close(results)
		var first, most int
		counts, rounds := [50]int{}, map[*pool.Server]int{} // by second
		for r := range results {
			at := r.at.Sub(began)
			if at == 0 {
				first++
			} else {
				counts[min(int(at/time.Second), len(counts)-1)]++
			}
			if rounds[r.server]++; rounds[r.server] == 2 {
				place := 0
				fmt.Sscanf(r.server.Name, "s%d", &place)
				want := interval * time.Duration(place+1) / n
				if at < want*9/10 || at > want*11/10 {
					t.Errorf("second probe of %d after %v, want %v ± 10 %%", place, at, want)
				}
			}
		}
		for _, c := range counts[:45] {
			most = max(most, c)
		}
		if first != n || most > 3*n/10 {
			t.Errorf("at once: %d, then up to %d a second; want %d, and not many more than %d: %v", first, most, n, n/10, counts)
		}
	})
}

// After each result the pace is asked for.
func TestPaceFollowsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paces := []time.Duration{time.Second, 4 * time.Second, time.Second}
		n := 0
		pace := func(*pool.Server) time.Duration { n++; return paces[n-1] }
		p, results := startFake(t, Settings{Health: health.Settings{Interval: time.Minute}, Pace: pace}, passing)
		p.Set(servers(1))
		last := (<-results).at
		for _, want := range paces[:2] {
			at := (<-results).at
			if got := at.Sub(last); got < want*9/10 || got > want*11/10 {
				t.Errorf("pause = %v, want %v ± 10 %%", got, want)
			}
			last = at
		}
		p.Close()
	})
}

// A pause that is under way ends at once where the pace has become shorter, and only there.
func TestHasten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pace atomic.Int64
		pace.Store(int64(time.Hour))
		probing := false // Hasten comes while a probe runs
		var p *Probers
		list := servers(2)
		p, results := startFake(t, Settings{Pace: func(*pool.Server) time.Duration { return time.Duration(pace.Load()) }}, func(context.Context, target) error {
			if probing {
				p.Hasten(list[0])
			}
			return nil
		})
		p.Set(list[:1])
		<-results
		step := func(what string, want int) {
			t.Helper()
			p.Hasten(list[0])
			if got := collect(results)[list[0]]; got != want {
				t.Errorf("%s: %d probes at once, want %d", what, got, want)
			}
		}
		step("the same pace", 0)
		pace.Store(int64(2 * time.Hour))
		step("a longer pace", 0)
		probing = true
		pace.Store(int64(time.Minute))
		step("a shorter pace", 1)
		step("the same pace after it", 0)
		began := time.Now()
		if got := (<-results).at.Sub(began); got < 54*time.Second || got > 66*time.Second {
			t.Errorf("the next probe after %v, want 1m ± 10 %%", got)
		}
		p.Hasten(list[1]) // is not probed
		(*Probers)(nil).Hasten(list[0])
		p.Close()
		step("after Close", 0)
	})
}

func TestDefaultPaceIsThatOfHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, results := startFake(t, Settings{}, passing)
		p.Set(servers(1))
		first, second := (<-results).at, (<-results).at
		if got := second.Sub(first); got < 1800*time.Millisecond || got > 2200*time.Millisecond {
			t.Errorf("pace = %v, want 2s ± 10 %%", got)
		}
		p.Close()
	})
}

func TestResults(t *testing.T) {
	for _, test := range []struct {
		name  string
		check check
		want  health.Result
	}{
		{"passes", passing, health.Result{OK: true}},
		{"fails", func(context.Context, target) error { return errors.New("status 503") }, health.Result{Reason: "status 503"}},
		{"hangs", hang, health.Result{Reason: "no answer within 1s", Duration: time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, results := startFake(t, Settings{}, test.check)
				list := servers(1)
				p.Set(list)
				got := <-results
				if got.Result != test.want || got.server != list[0] {
					t.Errorf("result = %+v of %v, want %+v of %v", got.Result, got.server.Name, test.want, list[0].Name)
				}
				synctest.Wait()
				passed, failed := p.Counts(list[0])
				if passed+failed != 1 || (passed == 1) != test.want.OK {
					t.Errorf("Counts() = %d, %d, want one, passed: %v", passed, failed, test.want.OK)
				}
				p.Close()
			})
		})
	}
}

func hang(ctx context.Context, _ target) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestCapOnConcurrentProbes: 200 servers that hang are asked 64 at a time, and the pools share that number.
func TestCapOnConcurrentProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		counting := func(ctx context.Context, _ target) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			return hang(ctx, target{})
		}
		slots := NewSlots(MaxInFlight)
		settings := Settings{Slots: slots, Health: health.Settings{Interval: time.Hour}}
		a, resultsA := startFake(t, settings, counting)
		b, resultsB := startFake(t, settings, counting)
		began := time.Now()
		a.Set(servers(100))
		b.Set(servers(100))
		synctest.Wait()
		if got := now.Load(); got != MaxInFlight {
			t.Errorf("probes in flight at start = %d, want %d", got, MaxInFlight)
		}
		for range 100 {
			<-resultsA
			<-resultsB
		}
		if got := most.Load(); got != MaxInFlight {
			t.Errorf("most probes in flight = %d, want %d", got, MaxInFlight)
		}
		if got := time.Since(began); got != 4*time.Second {
			t.Errorf("200 hanging servers took %v, want 4s: 64 a second", got)
		}
		a.Close()
		b.Close()
	})
}

func TestSetFollowsMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, results := startFake(t, Settings{}, passing)
		list := servers(3)
		p.Set(list[:2])
		seen := collect(results)
		if seen[list[0]] != 1 || seen[list[1]] != 1 || len(seen) != 2 {
			t.Errorf("first round = %v, want one probe of each of two", seen)
		}
		p.Set(list[1:]) // 0 leaves, 1 stays, 2 comes
		seen = collect(results)
		if seen[list[2]] != 1 || len(seen) != 1 {
			t.Errorf("after the change = %v, want one probe of the new one", seen)
		}
		time.Sleep(3 * time.Second)
		seen = collect(results)
		if seen[list[0]] != 0 || seen[list[1]] != 1 || seen[list[2]] != 1 {
			t.Errorf("next round = %v, want one of each of the two that are there", seen)
		}
		p.Set(list[:1]) // 0 is back
		if seen = collect(results); seen[list[0]] != 1 || len(seen) != 1 {
			t.Errorf("after the return = %v, want one probe of it at once", seen)
		}
		p.Close()
		p.Set(list)
		if seen = collect(results); len(seen) != 0 {
			t.Errorf("after Close = %v, want nothing", seen)
		}
	})
}

// collect counts the results that are there when nothing moves.
func collect(results chan result) map[*pool.Server]int {
	synctest.Wait()
	seen := map[*pool.Server]int{}
	for {
		select {
		case r := <-results:
			seen[r.server]++
		default:
			return seen
		}
	}
}

func TestCloseWaitsAndReportsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		p, results := startFake(t, Settings{}, func(ctx context.Context, _ target) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return ctx.Err()
		})
		p.Set(servers(1))
		synctest.Wait()
		p.Close()
		if !ended {
			t.Error("Close() returned before the probe ended")
		}
		if seen := collect(results); len(seen) != 0 {
			t.Errorf("reported = %v, want nothing of a probe that was cut short", seen)
		}
	})
}
