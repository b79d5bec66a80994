package stats

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/encode"
	"poise/internal/fault"
)

func TestExchangeCounts(t *testing.T) {
	var l Loop
	l.Start(1)
	l.Start(1)
	l.Exchange(&Outcome{
		Listener: 0, Route: 1, Pool: 2, Status: 200, Duration: 20 * time.Millisecond, In: 10, Out: 1000, Retries: 1, Cut: true,
	})
	l.Exchange(&Outcome{Listener: 0, Route: -1, Pool: -1, Status: 404, In: 5, Out: 50, Rejected: true})
	l.Exchange(&Outcome{Listener: 0, Route: -1, Pool: -1, Status: 418, Rejected: true, ClientAborted: true})
	got := l.Snapshot()
	wantListener := Listener{Codes: Codes{2: 1, 4: 2}, In: 15, Out: 1050, ClientAborts: 1}
	wantListener.Rejected[rejectionOf(404)] = 1
	wantListener.Rejected[len(rejections)] = 1
	wantRoute := Route{Codes: Codes{2: 1}, In: 10, Out: 1000, InFlight: 1, Cut: 1}
	wantRoute.Durations.Buckets[2], wantRoute.Durations.Sum = 1, 20*time.Millisecond
	want := Snapshot{
		Listeners: []Listener{wantListener}, Routes: []Route{{}, wantRoute},
		Pools: []Pool{{}, {}, {Codes: Codes{2: 1}, Retries: 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Snapshot() differs (-want +got):\n%s", diff)
	}
}

func TestServerCounts(t *testing.T) {
	var l Loop
	l.Attempt(&Attempt{Server: 1, Status: 503, Duration: time.Minute, In: 7, Out: 8})
	l.Attempt(&Attempt{Server: 1, Duration: time.Millisecond, Out: 8})
	l.Attempt(&Attempt{Server: -1, Status: 200})
	l.Failed(1, fault.Timeout)
	l.Failed(-1, fault.Timeout)
	l.Failed(1, fault.Kind(200)) // no such kind: not counted
	l.ServerOpened(1)
	l.ServerOpened(1)
	l.ServerClosed(1)
	l.ServerReused(1)
	l.Unavailable(0)
	l.ClientOpened(0)
	l.ClientOpened(0)
	l.ClientClosed(0)
	l.ClientRefused(0)
	l.s.Panics++
	l.AcceptPaused()
	l.s.LongTurns++
	server := Server{Codes: Codes{5: 1}, In: 7, Out: 16, Opened: 2, Reused: 1, Connections: 1}
	server.Failures[fault.Timeout] = 1
	server.Durations.Buckets[len(bounds)], server.Durations.Buckets[0], server.Durations.Sum = 1, 1, time.Minute+time.Millisecond
	want := Snapshot{
		Listeners: []Listener{{Opened: 2, Connections: 1, Refused: 1}}, Pools: []Pool{{Unavailable: 1}},
		Servers: []Server{{}, server}, Panics: 1, AcceptPauses: 1, LongTurns: 1,
	}
	if diff := cmp.Diff(want, l.Snapshot()); diff != "" {
		t.Errorf("Snapshot() differs (-want +got):\n%s", diff)
	}
}

func TestClassOf(t *testing.T) {
	for status, want := range map[int]int{100: 1, 200: 2, 299: 2, 399: 3, 499: 4, 599: 5, 0: 0, 99: 0, 600: 0, 999: 0, -1: 0, -200: 0} {
		if got := classOf(status); got != want {
			t.Errorf("classOf(%d) = %d, want %d", status, got, want)
		}
	}
}

func TestHistogramBounds(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want int
	}{
		{0, 0},
		{5 * time.Millisecond, 0}, // a bound belongs to its bucket, as Prometheus' le says
		{5*time.Millisecond + 1, 1},
		{time.Second, 9},
		{10 * time.Second, 13},
		{10*time.Second + 1, 14},
	} {
		var h, want Histogram
		h.observe(test.d)
		want.Buckets[test.want], want.Sum = 1, test.d
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("observe(%v) differs (-want +got):\n%s", test.d, diff)
		}
	}
}

func TestSnapshotIsACopy(t *testing.T) {
	var l Loop
	l.Start(0)
	s := l.Snapshot()
	l.Start(0)
	if got := s.Routes[0].InFlight; got != 1 {
		t.Errorf("in flight in an old snapshot = %d, want 1", got)
	}
}

func TestAddSumsEveryField(t *testing.T) {
	var a, b Loop
	for range 3 {
		everything(&b)
	}
	everything(&a)
	everything(&a)
	var sum Snapshot
	for _, l := range []*Loop{&a, &b} {
		s := l.Snapshot()
		sum.Add(&s)
	}
	var all Loop
	for range 5 {
		everything(&all)
	}
	if diff := cmp.Diff(all.Snapshot(), sum); diff != "" {
		t.Errorf("the sum of two loops differs from one that did it all (-want +got):\n%s", diff)
	}
}

// everything moves every counter there is.
func everything(l *Loop) {
	for i, status := range append(rejections[:], 100, 302, 0, 418) {
		l.Start(3)
		l.Exchange(&Outcome{
			Listener: 1, Route: 3, Pool: 2, Status: status, Duration: 3 * time.Second, In: 1, Out: 2, Retries: 1, Unpaid: true,
			Rejected: true, Cut: true, ClientAborted: true, Refused: fault.Rule(i % fault.Rules),
		})
		l.Attempt(&Attempt{Server: 40, Status: status, Duration: time.Millisecond, In: 1, Out: 2})
	}
	for kind := range kinds {
		l.Failed(40, fault.Kind(kind))
	}
	l.Compressed(3, encode.Brotli, 100, 10)
	l.NotCompressed(3)
	for i := range copyEnds {
		l.Mirrored(3, i)
	}
	l.Start(3)
	l.Unavailable(2)
	l.Queued(2, false, false)
	l.Queued(2, false, true)
	l.Queued(2, true, false)
	l.ClientOpened(1)
	l.ClientOpened(1)
	l.ClientClosed(1)
	l.ClientRefused(1)
	l.ServerOpened(40)
	l.ServerOpened(40)
	l.ServerReused(40)
	l.ServerClosed(40)
	l.s.Panics++
	l.AcceptPaused()
	l.s.LongTurns++
}

func TestCountingAllocatesNothing(t *testing.T) {
	var l Loop
	everything(&l)
	o := Outcome{Listener: 1, Route: 3, Pool: 2, Status: 502, Rejected: true}
	a := Attempt{Server: 40, Status: 200}
	if got := testing.AllocsPerRun(100, func() {
		l.Start(3)
		l.Exchange(&o)
		l.Attempt(&a)
		l.Failed(40, fault.Reset)
		l.ServerReused(40)
	}); got != 0 {
		t.Errorf("allocations per exchange = %v, want 0", got)
	}
}

func BenchmarkExchange(b *testing.B) {
	var l Loop
	b.ReportAllocs()
	for b.Loop() {
		l.Start(1)
		l.Exchange(&Outcome{Route: 1, Status: 200, Duration: time.Millisecond, In: 100, Out: 200})
		l.Attempt(&Attempt{Server: 3, Status: 200, Duration: time.Millisecond, In: 100, Out: 200})
	}
}
