package exchange

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/health"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// TestHedgeScripts has recent answers have taken a millisecond, so that a second server is asked after one.
//
//	at                       when a second server is to be asked, in milliseconds after the choice of the first
//	hedge                    it is
//	wins | failed | broke    the second answers first, fails by a reset, or is not used for its 503
//	left                     the first fails by a reset while the second is under way
//	stale | left stale       the second's, or the first's, connection was a kept one that the server has just reset
//	says 503                 the first's answer has that status while the second is under way
//	late                     the time for the whole exchange is over
//	answer 200 | reset       the present try's answer, or its failure
func TestHedgeScripts(t *testing.T) {
	usual := pool.Budget{Share: 20, Floor: 3}
	for _, test := range []struct {
		name    string
		servers int
		budget  pool.Budget
		request string
		key     uint64
		events  string
		want    string
	}{
		{"the first answers before", 2, usual, get, 0, "start, at, answer 200, done", "s1, 1, relay, 200 -- attempts=1 hedge=0 spent=0"},
		{"the first wins", 2, usual, get, 0, "start, hedge, answer 200, done", "s1, s2, relay, 200 -- attempts=2 hedge=1 spent=1"},
		{"the second wins", 2, usual, get, 0, "start, hedge, wins, answer 200, done", "s1, s2, on s2, relay, 200 -- attempts=2 hedge=2 spent=1"},
		{"the second fails", 2, usual, get, 0, "start, hedge, failed, at, answer 200, done", "s1, s2, on s1, 0, relay, 200 -- attempts=2 hedge=1 spent=1 broken=s2"},
		{"the second answers 503", 2, usual, get, 0, "start, hedge, broke, answer 200, done", "s1, s2, on s1, relay, 200 -- attempts=2 hedge=1 spent=1 broken=s2"},
		{"the first fails, the second is left", 2, usual, get, 0, "start, hedge, left, answer 200, done", "s1, s2, on s2, relay, 200 -- attempts=2 hedge=2 spent=1 broken=s1"},
		{"the first's answer is named for another try", 2, usual, get, 0, "start, hedge, says 503, answer 200, done", "s1, s2, on s2, relay, 200 -- attempts=2 hedge=2 spent=1 broken=s1"},
		{"the first's answer is not named", 2, usual, get, 0, "start, hedge, says 500, answer 200, done", "s1, s2, on s1, relay, 200 -- attempts=2 hedge=1 spent=1"},
		{"no time is left", 2, usual, get, 0, "start, hedge, late, says 503, answer 200, done", "s1, s2, on s1, relay, 200 -- attempts=2 hedge=1 spent=1"},
		{"no time is left for a second one", 2, usual, get, 0, "start, late, hedge, answer 200, done", "s1, none, relay, 200 -- attempts=1 hedge=0 spent=0"},
		{"the second's kept connection had just ended", 2, usual, get, 0, "start, hedge, stale, answer 200, done", "s1, s2, on s1, relay, 200 -- attempts=2 hedge=1 spent=1"},
		{"the first's kept connection has just ended", 2, usual, get, 0, "start, hedge, left stale, answer 200, done", "s1, s2, on s2, relay, 200 -- attempts=2 hedge=2 spent=1"},
		{"both fail", 3, usual, get, 0, "start, hedge, left, reset, done", "s1, s2, on s2, reply 502, 502 SH attempts=2 hedge=2 spent=1 broken=s1,s2"},
		{"the first fails after the second did", 3, usual, get, 0, "start, hedge, failed, reset, done", "s1, s2, on s1, reply 502, 502 SH attempts=2 hedge=1 spent=1 broken=s1,s2"},
		{"the client leaves", 2, usual, get, 0, "start, hedge, gone, done", "s1, s2, silent 499, 499 CH attempts=2 hedge=1 spent=1"},
		{"the code panics", 2, usual, get, 0, "start, hedge, done", "s1, s2, 0 -- attempts=2 hedge=1 spent=1"},
		{"a HEAD", 2, usual, "HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n", 0, "start, at", "s1, 1"},
		{"never a PUT", 2, usual, put, 0, "start, at, answer 200, done", "s1, 0, relay, 200 -- attempts=1 hedge=0 spent=0"},
		{"never a POST", 2, usual, post, 0, "start, at", "s1, 0"},
		{"never for a client that belongs to a server", 2, usual, get, 7, "start, at", "s1, 0"},
		{"never without a second server", 1, usual, get, 0, "start, hedge, answer 200, done", "s1, none, relay, 200 -- attempts=1 hedge=0 spent=0"},
		{"never without a budget", 2, pool.Budget{}, get, 0, "start, hedge, answer 200, done", "s1, none, relay, 200 -- attempts=1 hedge=0 spent=0"},
		{"not twice", 3, usual, get, 0, "start, hedge, failed, hedge, answer 200, done", "s1, s2, on s1, none, relay, 200 -- attempts=2 hedge=1 spent=1 broken=s2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Budget: test.budget, Hedge: pool.Hedge{Quantile: 95, Least: time.Millisecond}}
			spec.Eject = pool.Eject{Failures: 1, MaxShare: 100, ReportOnly: true} // so that a Tick names those that failed
			for i := range test.servers {
				spec.Servers = append(spec.Servers, pool.ServerSpec{Name: fmt.Sprintf("s%d", i+1), Address: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: 1})
			}
			p := pool.New(1, spec)
			for range 100 {
				p.Answered(0, time.Microsecond)
			}
			retry := route.Retry{Attempts: 4, Repeats: 1, Connect: true, Reset: true, Statuses: []route.Statuses{{From: 503, To: 503}}}
			table, req := oneRoute(t, route.Route{Name: "app", Pool: p, Retry: retry}, test.request)
			x := &Exchange{}
			x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
			var out []string
			now := clock.Instant(time.Second)
			reset := &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Reset}
			for _, e := range strings.Split(test.events, ", ") {
				now++
				switch e {
				case "start":
					if s := x.Start(now, table); s.Kind != Forward {
						t.Fatalf("Start = %v", s)
					}
					x.query.Key = test.key
					out = append(out, x.Server().Name)
				case "at":
					at := x.HedgeAt()
					if at != 0 {
						at -= x.Times.Chosen
					}
					out = append(out, fmt.Sprint(time.Duration(at).Milliseconds()))
				case "hedge":
					if s := x.HedgeStart(now); s != nil {
						out = append(out, s.Name)
					} else {
						out = append(out, "none")
					}
				case "failed":
					x.HedgeOver(now, reset, false, 0)
					out = append(out, "on "+x.Server().Name)
				case "stale":
					x.HedgeOver(now, reset, true, 0)
					out = append(out, "on "+x.Server().Name)
				case "left stale":
					x.HedgeIsLeft(now, reset, true)
					out = append(out, "on "+x.Server().Name)
				case "broke":
					x.HedgeOver(now, nil, false, 503)
					out = append(out, "on "+x.Server().Name)
				case "wins":
					x.HedgeWins(now)
					out = append(out, "on "+x.Server().Name)
				case "left":
					x.HedgeIsLeft(now, reset, false)
					out = append(out, "on "+x.Server().Name)
				case "says 503", "says 500":
					x.HedgeIsBetter(now, map[string]int{"says 503": 503, "says 500": 500}[e])
					out = append(out, "on "+x.Server().Name)
				case "late":
					x.Until = now
				case "answer 200":
					out = append(out, decision(x, x.Responded(now, &msg.Response{Status: 200})))
				case "reset":
					out = append(out, decision(x, x.Failed(now, reset, false)))
				case "gone":
					out = append(out, decision(x, x.Failed(now, &fault.Error{Side: fault.Client, Op: fault.ReadAnswer, Kind: fault.Cancelled}, false)))
				case "done":
					x.Done(now, nil)
					end, _ := x.End()
					spent := 10 // that a pool begins with
					for p.SpendRepeat(now, 0) || test.budget == (pool.Budget{}) && spent > 0 {
						spent--
					}
					d := fmt.Sprintf("%d %s attempts=%d hedge=%d spent=%d", x.Status, end[:2], x.Attempts, x.Hedge, spent)
					var broken []string
					for _, e := range p.Tick(now) {
						broken = append(broken, e.Server.Name)
					}
					for _, s := range p.Servers() {
						if s.InFlight() != 0 {
							t.Errorf("%s has %d leases after the end", s.Name, s.InFlight())
						}
					}
					if len(broken) > 0 {
						d += " broken=" + strings.Join(broken, ",")
					}
					out = append(out, d)
				}
			}
			if got := strings.Join(out, ", "); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.events, got, test.want)
			}
		})
	}
}

// hedged is an exchange that has begun at the second 1, in a pool that hedges.
func hedged(t *testing.T, retry route.Retry) *Exchange {
	t.Helper()
	spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Budget: pool.Budget{Share: 20}, Hedge: pool.Hedge{Quantile: 95, Least: time.Millisecond}}
	for _, name := range []string{"s1", "s2", "s3"} {
		spec.Servers = append(spec.Servers, pool.ServerSpec{Name: name, Address: name + ":80", Weight: 1})
	}
	p := pool.New(1, spec)
	for range 100 {
		p.Answered(0, time.Microsecond)
	}
	table, req := oneRoute(t, route.Route{Name: "app", Pool: p, Retry: retry}, get)
	x := &Exchange{}
	x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
	if s := x.Start(clock.Instant(time.Second), table); s.Kind != Forward {
		t.Fatalf("Start = %v", s)
	}
	return x
}

func TestHedgeOnlyOnce(t *testing.T) {
	x := hedged(t, route.Retry{Attempts: 8, Repeats: 7})
	if x.HedgeAt() == 0 || x.HedgeStart(clock.Instant(2*time.Second)) == nil {
		t.Fatal("no second server is asked")
	}
	if at, third := x.HedgeAt(), x.HedgeStart(clock.Instant(2*time.Second)); at != 0 || third != nil {
		t.Errorf("a third one is to be asked at %v: %v", at, third)
	}
}

func TestHedgeNotOfAClientThatPrefersAServer(t *testing.T) {
	x := hedged(t, route.Retry{Attempts: 8, Repeats: 7})
	x.query.Prefer = x.Server()
	if at := x.HedgeAt(); at != 0 {
		t.Errorf("a second server is to be asked at %v, want never", at)
	}
}

// What has failed in a race is not asked again.
func TestHedgeTriesNoServerTwice(t *testing.T) {
	reset := &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Reset}
	for name, race := range map[string]func(x *Exchange, now clock.Instant){
		"the second failed": func(x *Exchange, now clock.Instant) { x.HedgeOver(now, reset, false, 0) },
		"the first failed":  func(x *Exchange, now clock.Instant) { x.HedgeIsLeft(now, reset, false) },
	} {
		x, now := hedged(t, route.Retry{Attempts: 8, Repeats: 7, Reset: true}), clock.Instant(2*time.Second)
		x.Route.Pool.Update(now, []pool.ServerSpec{{Name: "s1", Address: "s1:80", Weight: 1}, {Name: "s2", Address: "s2:80", Weight: 1}})
		if x.HedgeStart(now) == nil {
			t.Fatal("no second server is asked")
		}
		race(x, now)
		if s := x.Failed(now, reset, false); s.Kind != Answer {
			t.Errorf("%s, and the other one too: step %v and server %s, want an answer of our own", name, s.Kind, x.Server().Name)
		}
	}
}

// The second try has as long as any, from when it began.
func TestHedgeBy(t *testing.T) {
	for _, tt := range []struct {
		retry route.Retry
		want  clock.Instant
	}{
		{route.Retry{Attempts: 4, Repeats: 1, PerTry: time.Second, Timeout: true}, clock.Instant(3 * time.Second)},
		{route.Retry{Attempts: 4, Repeats: 1, PerTry: time.Second}, 0},
		{route.Retry{Attempts: 4, Repeats: 1, Timeout: true}, 0},
	} {
		x := hedged(t, tt.retry)
		if x.HedgeStart(clock.Instant(2*time.Second)) == nil {
			t.Fatal("no second server is asked")
		}
		if got := x.HedgeBy(); got != tt.want {
			t.Errorf("%+v: HedgeBy = %v, want %v", tt.retry, got, tt.want)
		}
	}
}

// What the pool learns of an answer that took the place of another: the time since the first server was chosen. Of the second server counts its own.
func TestHedgeTimes(t *testing.T) {
	x := hedged(t, route.Retry{Attempts: 4, Repeats: 1})
	x.HedgeStart(clock.Instant(2 * time.Second))
	x.HedgeWins(clock.Instant(3 * time.Second))
	if x.Times.Chosen != clock.Instant(2*time.Second) || x.Times.Connected != 0 {
		t.Errorf("times %+v, want the second choice, and no connection yet", x.Times)
	}
	x.Connected(clock.Instant(2500 * time.Millisecond))
	x.Responded(clock.Instant(3*time.Second), &msg.Response{Status: 200})
	if x.took != 500*time.Millisecond {
		t.Errorf("the second's answer took %v, want 500 ms since it was connected", x.took)
	}
}

// A server on trial rests for as long as its own try took, times some: the first server's time is not its.
func TestHedgeOfAServerOnTrial(t *testing.T) {
	spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Budget: pool.Budget{Share: 20}, Hedge: pool.Hedge{Quantile: 95, Least: time.Millisecond}}
	spec.Health = &health.Settings{Fall: 1, Rise: 1}
	for _, name := range []string{"s1", "s2"} {
		spec.Servers = append(spec.Servers, pool.ServerSpec{Name: name, Address: name + ":80", Weight: 1})
	}
	p, at := pool.New(1, spec), clock.Instant(time.Second)
	for range 100 {
		p.Answered(0, time.Microsecond)
	}
	for _, s := range p.Servers() {
		p.Probed(1, s, health.Result{Reason: "for the test"})
	}
	p.Tick(at)
	table, req := oneRoute(t, route.Route{Name: "app", Pool: p, Retry: route.Retry{Attempts: 4, Repeats: 1}}, get)
	x := &Exchange{}
	x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
	if s := x.Start(at, table); s.Kind != Forward {
		t.Fatalf("Start = %v", s)
	}
	at = at.Add(10 * time.Second)
	second := x.HedgeStart(at)
	if second == nil {
		t.Fatal("no second server is asked")
	}
	at = at.Add(time.Millisecond)
	x.HedgeOver(at, &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Reset}, false, 0)
	p.Tick(at)
	p.Tick(at.Add(time.Second))
	if lease, err := p.Acquire(at, &pool.Query{}); err != nil || lease.Server() != second {
		t.Errorf("a second after a try of a millisecond: %v, want the server again", err)
	}
	x.Done(at, nil)
}
