package exchange

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fault"
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
