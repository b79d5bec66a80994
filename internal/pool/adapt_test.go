package pool

import (
	"math"
	"testing"
	"time"
)

// simulated has a pool's servers take so many requests at once in a fixed time, and longer where there are more, as they would share their processors. A
// capacity below 0 is how many times as long they take however few there are. It returns the limits at the end of each second.
func simulated(t *testing.T, a Adapt, seconds int, offered, capacity func(second int) float64) []int {
	t.Helper()
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Adapt: a, Queue: Queue{Length: 100}})
	s := p.Servers()[0]
	var limits []int
	now := start
	for second := range seconds {
		for range 10 {
			now = now.Add(adaptEvery)
			inFlight := min(offered(second), float64(p.Limit()))
			took := 20_000 * max(1, inFlight/capacity(second))
			if c := capacity(second); c < 0 {
				took = 20_000 * -c // whatever is in flight
			}
			p.inFlight.Store(int64(inFlight))
			n := int64(inFlight * 100_000 / took)
			s.tally.timed.Add(n)
			s.tally.waited.Add(n * int64(took))
			if p.queue.waiting.Store(0); offered(second) > inFlight {
				p.queue.waiting.Store(1) // so many that somebody always waits
			}
			p.Tick(now)
		}
		limits = append(limits, p.Limit())
	}
	return limits
}

func always(x float64) func(int) float64 { return func(int) float64 { return x } }

func TestAdapt(t *testing.T) {
	usual := Adapt{Min: 10, Max: 1000, Tolerance: 1.5}
	for _, tt := range []struct {
		name              string
		offered, capacity func(int) float64
		seconds           int
		least, most       int // of the limit at the end
	}{
		{"little to do leaves the limit as it is", always(2), always(200), 60, adaptStart, adaptStart},
		{"as much as servers can do", always(190), always(200), 60, 190, 400},
		{"far more than they can do", always(5000), always(200), 60, 200, 420},
		{"for ten minutes", always(5000), always(200), 600, 200, 500},
		{"more than the greatest limit", always(5000), always(5000), 60, 1000, 1000},
		{"answers that take three times as long for good", always(5000), func(s int) float64 { return map[bool]float64{true: 200, false: -3}[s < 60] }, 180, 60, 1000},
		{"servers that get slower", always(5000), func(s int) float64 { return map[bool]float64{true: 200, false: 50}[s < 60] }, 90, 50, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := simulated(t, usual, tt.seconds, tt.offered, tt.capacity)
			if got := limits[len(limits)-1]; got < tt.least || got > tt.most {
				t.Errorf("limit = %d, want %d to %d; by seconds %v", got, tt.least, tt.most, limits)
			}
		})
	}
}

func TestAdaptWithinMaxRequests(t *testing.T) {
	spec := Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), Adapt: Adapt{Min: 10, Max: 1000, Tolerance: 1.5}, MaxRequests: 15}
	p := New(start, spec)
	if got := p.Limit(); got != 15 {
		t.Errorf("limit = %d, want that of max_requests, 15", got)
	}
	spec.MaxRequests = 0
	p.Configure(start.Add(time.Second), spec)
	if got := p.Limit(); got != adaptStart {
		t.Errorf("limit = %d, want the first, %d", got, adaptStart)
	}
	spec.Adapt = Adapt{}
	p.Configure(start.Add(2*time.Second), spec)
	if got := p.Limit(); got != 0 {
		t.Errorf("limit = %d, want none", got)
	}
	p.adaption.usual = 1000
	spec.Adapt = Adapt{Min: 30, Max: 1000, Tolerance: 1.5}
	p.Configure(start.Add(3*time.Second), spec)
	spec.Adapt = Adapt{}
	p.Configure(start.Add(4*time.Second), spec)
	spec.Adapt = Adapt{Min: 10, Max: 1000, Tolerance: 1.5}
	p.Configure(start.Add(5*time.Second), spec)
	if got := p.Limit(); got != adaptStart || p.adaption.usual != 0 {
		t.Errorf("limit = %d and usual time %.0f after a while without, want a new beginning", got, p.adaption.usual)
	}
}

// A window is a step towards what the gradient says, in the plainest words.
func TestAdaptWindow(t *testing.T) {
	a := adaption{limit: 100, usual: 1000}
	a.window(&Adapt{Min: 1, Max: 1000, Tolerance: 1}, 4000, true, true)
	if want := 100 + 0.2*(100*0.5+math.Sqrt(100)-100); math.Abs(a.limit-want) > 0.01 {
		t.Errorf("limit = %.2f, want %.2f", a.limit, want)
	}
	before := a.limit
	a.window(&Adapt{Min: 1, Max: 1000, Tolerance: 1}, 4000, true, false)
	if a.limit != before {
		t.Errorf("limit = %.2f after a window in which it was not used, want %.2f", a.limit, before)
	}
}

// New bounds hold at once, however little there is to do.
func TestAdaptBoundsChange(t *testing.T) {
	spec := Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), Adapt: Adapt{Min: 10, Max: 1000, Tolerance: 1.5}}
	p := New(start, spec)
	for _, tt := range []struct{ min, max, want int }{{5, 15, 15}, {40, 100, 40}, {1, 100, 40}} {
		spec.Adapt.Min, spec.Adapt.Max = tt.min, tt.max
		p.Configure(start, spec)
		if got := p.Limit(); got != tt.want {
			t.Errorf("limit = %d with %d to %d, want %d", got, tt.min, tt.max, tt.want)
		}
	}
}

// What a server has answered before it left is not taken for a change of the others' times.
func TestAdaptForgetsServersThatLeave(t *testing.T) {
	a := Adapt{Min: 10, Max: 1000, Tolerance: 1.5}
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a b"), Adapt: a})
	answer := func(s *Server, n int64, took time.Duration) {
		s.tally.timed.Add(n)
		s.tally.waited.Add(n * took.Microseconds())
	}
	now := start
	left, stays := p.Servers()[0], p.Servers()[1]
	answer(left, 1000, time.Millisecond)
	answer(stays, 20, 10*time.Millisecond)
	now = now.Add(adaptEvery)
	p.Tick(now)
	usual := p.adaption.usual
	p.Update(now, specs("b"))
	answer(stays, 1020, 10*time.Millisecond) // 20 more than those that are gone
	p.Tick(now.Add(adaptEvery))
	if got := p.adaption.usual; got > usual*1.02 {
		t.Errorf("usual time = %.0f µs after answers that took 10 ms, was %.0f: it grew by more than a window's step", got, usual)
	}
}

// A window is over after its time, and when there were answers enough.
func TestAdaptWindowIsOver(t *testing.T) {
	for _, tt := range []struct {
		name    string
		after   time.Duration
		answers int64
		took    time.Duration
		want    bool
	}{
		{"both", adaptEvery, adaptLeast, time.Millisecond, true},
		{"too soon", adaptEvery - 1, adaptLeast, time.Millisecond, false},
		{"too few", adaptEvery, adaptLeast - 1, time.Millisecond, false},
		{"in no time", adaptEvery, adaptLeast, 0, true},
	} {
		p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), Adapt: Adapt{Min: 1, Max: 1000, Tolerance: 1.5}})
		p.adaption.since = start
		p.inFlight.Store(adaptStart)
		s := p.Servers()[0]
		s.tally.timed.Add(tt.answers)
		s.tally.waited.Add(tt.answers * tt.took.Microseconds())
		p.Tick(start.Add(tt.after))
		if got := p.adaption.limit; (got != adaptStart) != tt.want || math.IsNaN(got) {
			t.Errorf("%s: limit = %v, want a change: %t", tt.name, got, tt.want)
		}
	}
}

func TestAdaptTolerance(t *testing.T) {
	for _, tt := range []struct {
		tolerance float64
		want      float64
	}{{1, 100 + 0.2*(100/1.25+math.Sqrt(100)-100)}, {1.5, 100 + 0.2*math.Sqrt(100)}} {
		a := adaption{limit: 100, usual: 1000}
		a.window(&Adapt{Min: 100, Max: 1000, Tolerance: tt.tolerance}, 1250, false, true)
		if math.Abs(a.limit-tt.want) > 0.1 {
			t.Errorf("limit = %.2f with a tolerance of %v, want %.2f", a.limit, tt.tolerance, tt.want)
		}
	}
}

// What was learnt under load is forgotten sooner than a usual time is learnt.
func TestAdaptForgetsLoad(t *testing.T) {
	a := adaption{limit: 100, usual: 10_000}
	a.window(&Adapt{Min: 1, Max: 1000, Tolerance: 1.5}, 1000, false, false)
	if a.usual != 9500 {
		t.Errorf("the usual time = %v, want 9500", a.usual)
	}
}

func TestAdaptBelowMaxRequests(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), Adapt: Adapt{Min: 10, Max: 1000, Tolerance: 1.5}, MaxRequests: 100})
	if got := p.Limit(); got != adaptStart {
		t.Errorf("limit = %d, want what was found, %d", got, adaptStart)
	}
}

// Who waits has what a limit that grows makes room for.
func TestAdaptThatGrowsEndsAWait(t *testing.T) {
	p := New(start, Spec{Name: "app", Policy: &inOrder{}, Servers: specs("a"), Adapt: Adapt{Min: 1, Max: 1000, Tolerance: 1.5}, Queue: Queue{Length: 9}})
	for range adaptStart {
		if _, err := p.Acquire(start, &Query{}); err != nil {
			t.Fatal(err)
		}
	}
	w, told := Waiter{}, false
	p.Join(&w, &Query{}, func() { told = true })
	s := p.Servers()[0]
	for now := start; p.Limit() == adaptStart && now < start.Add(10*time.Second); {
		s.tally.timed.Add(100)
		s.tally.waited.Add(100_000)
		now = now.Add(adaptEvery)
		p.Tick(now)
	}
	if _, got := p.Withdraw(&w); !told || !got {
		t.Errorf("told %t, lease %t at a limit of %d; want both", told, got, p.Limit())
	}
}
