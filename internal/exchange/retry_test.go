package exchange

import (
	"strings"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/h1"
	"poise/internal/health"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

func TestRetryScripts(t *testing.T) {
	usual := pool.Budget{Share: 20, Floor: 3}
	all := route.Retry{Attempts: 4, Repeats: 3, Connect: true, Reset: true, Timeout: true}
	once, only500, perTry, noConnect := all, all, all, all
	once.Attempts = 1
	only500.Statuses = []route.Statuses{{From: 500, To: 500}, {From: 502, To: 504}}
	perTry.PerTry = time.Second
	noConnect.Connect, noConnect.Reset, noConnect.Timeout = false, false, false
	slow := perTry
	slow.Timeout = false
	for _, test := range []struct {
		name    string
		servers int
		retry   route.Retry
		budget  pool.Budget
		request string
		events  string
		want    string
	}{
		{"one attempt is one", 3, once, usual, get, "start, refused, done", "forward s1, reply 503, 503 SC attempts=1"},
		{"three repeats", 5, all, usual, get, "start, reset, reset, reset, reset, done", "forward s1, forward s2 fresh, forward s3 fresh later, forward s4 fresh later, reply 502, 502 SH attempts=4"},
		{"none after a connect that failed", 3, noConnect, usual, get, "start, refused, done", "forward s1, reply 503, 503 SC attempts=1"},
		{"none after a reset", 3, noConnect, usual, get, "start, reset, done", "forward s1, reply 502, 502 SH attempts=1"},
		{"a status is left for another server's", 3, only500, usual, get, "start, answer 503, answer 200, done", "forward s1, forward s2 fresh, relay, 200 -- attempts=2"},
		{"a status that is not named stands", 3, only500, usual, get, "start, answer 501, done", "forward s1, relay, 501 -- attempts=1"},
		{"the last status stands", 2, only500, usual, get, "start, answer 503, answer 500, done", "forward s1, forward s2 fresh, relay, 500 -- attempts=2"},
		{"a status stands where there is no other server", 1, only500, usual, get, "start, answer 503, done", "forward s1, relay, 503 -- attempts=1"},
		{"a POST's status stands", 3, only500, usual, post, "start, answer 503, done", "forward s1, relay, 503 -- attempts=1"},
		{"a status behind a streamed body stands", 3, only500, usual, put, "start, body, answer 503, done", "forward s1, relay, 503 -- attempts=1"},
		{"a reset after a status", 3, only500, usual, get, "start, answer 503, reset, answer 200, done", "forward s1, forward s2 fresh, forward s3 fresh later, relay, 200 -- attempts=3"},
		{"a try that takes too long", 3, perTry, usual, get, "start, wait 1s, timeout, answer 200, done", "forward s1, forward s2 fresh, relay, 200 -- attempts=2"},
		{"the time for an answer is over before the try's", 3, perTry, usual, get, "start, wait 900ms, timeout, done", "forward s1, reply 504, 504 sH attempts=1"},
		{"a try that takes too long is the last where time-outs are not named", 3, slow, usual, get, "start, wait 1s, timeout, done", "forward s1, reply 504, 504 sH attempts=1"},
		{"no budget, no repeat", 3, all, pool.Budget{}, get, "start, reset, done", "forward s1, reply 502, 502 SH attempts=1"},
		{"no budget, a status stands", 3, only500, pool.Budget{}, get, "start, answer 503, done", "forward s1, relay, 503 -- attempts=1"},
		{"connects cost no budget", 3, all, pool.Budget{}, post, "start, refused, answer 200, done", "forward s1, forward s2 fresh, relay, 200 -- attempts=2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(runWith(t, test.servers, test.retry, test.budget, test.request, strings.Split(test.events, ", ")...), ", ")
			if got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.events, got, test.want)
			}
		})
	}
}

// The pauses before tries grow, are bounded, and differ from request to request.
func TestBackoff(t *testing.T) {
	distinct := map[time.Duration]bool{}
	for i := range 100 {
		x := &Exchange{}
		copy(x.requestID[24:], "0123456789ab")
		x.requestID[35] = byte(i)
		for repeats, most := range map[int]time.Duration{1: 0, 2: 25 * time.Millisecond, 3: 50 * time.Millisecond, 5: 200 * time.Millisecond, 7: 250 * time.Millisecond} {
			x.repeats, x.Attempts = repeats, repeats+1
			if d := x.backoff(); d < 0 || d > most {
				t.Errorf("the pause before repeat %d is %v, want %v at most", repeats, d, most)
			} else if repeats == 2 {
				distinct[d] = true
			}
		}
	}
	if len(distinct) < 90 {
		t.Errorf("100 requests have %d different pauses, want nearly as many", len(distinct))
	}
}

// oneRoute is a table with a route for all, and a request.
func oneRoute(t *testing.T, r route.Route, request string) (*route.Table, *msg.Request) {
	t.Helper()
	table, _, err := route.Build([]route.Listener{{Name: "web", Routes: []route.Spec{{Route: r}}}})
	if err != nil {
		t.Fatal(err)
	}
	var req msg.Request
	if _, err := h1.ParseRequest(&req, []byte(request), nil); err != nil {
		t.Fatal(err)
	}
	return table, &req
}

// asked runs one exchange, and returns the server that it went to last.
func asked(t *testing.T, p *pool.Pool, r *route.Route, request string, do func(x *Exchange)) {
	t.Helper()
	table, req := oneRoute(t, *r, request)
	x := &Exchange{}
	x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
	if s := x.Start(100, table); s.Kind != Forward {
		t.Fatalf("Start = %v, want Forward", s.Kind)
	}
	do(x)
}

// An answer that stands because the request must not be sent again has cost no other server its turn.
func TestStatusThatStandsTakesNobodysTurn(t *testing.T) {
	p := pool.New(1, pool.Spec{Name: "app", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Address: "a:1", Weight: 1}, {Address: "b:1", Weight: 1}}})
	r := &route.Route{Name: "app", Pool: p, Retry: route.Retry{Attempts: 4, Repeats: 1, Statuses: []route.Statuses{{From: 500, To: 500}}}}
	got := map[string]int{}
	for range 100 {
		asked(t, p, r, post, func(x *Exchange) {
			got[x.Server().Name]++
			x.Responded(200, &msg.Response{Status: 500})
			x.Done(300, nil)
		})
	}
	if got["a:1"] != 50 {
		t.Errorf("the servers got %v, want 50 each", got)
	}
}

// The end of the time for the whole exchange is a server's fault only when it had all of that time for itself.
func TestTimeForTheExchangeIsNoServersFault(t *testing.T) {
	late := &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Timeout}
	reset := &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Reset}
	for _, test := range []struct {
		name   string
		do     func(x *Exchange)
		failed bool // s2 counts it
	}{
		{"the only try", func(x *Exchange) { x.Failed(500, late, false) }, true},
		{"the second try", func(x *Exchange) { x.Failed(150, reset, false); x.Failed(500, late, false) }, false},
		{"after a slow upload", func(x *Exchange) { x.BodyTouched(); x.Failed(500, late, false) }, false},
		{"within the answer's body", func(x *Exchange) { x.Responded(200, &msg.Response{Status: 200}); x.Done(500, late) }, false},
		{"a server that breaks off within its body", func(x *Exchange) { x.Responded(200, &msg.Response{Status: 200}); x.Done(400, reset) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pool.New(1, pool.Spec{
				Name: "app", Policy: balance.RoundRobin(), Budget: pool.Budget{Share: 20}, Eject: pool.Eject{Failures: 1, Time: time.Second, MaxTime: time.Second, MaxShare: 100},
				Servers: []pool.ServerSpec{{Address: "a:1", Weight: 1}, {Address: "b:1", Weight: 1}, {Address: "c:1", Weight: 1}},
			})
			r := &route.Route{Name: "app", Pool: p, Retry: route.Retry{Attempts: 2, Repeats: 1, Reset: true}}
			var last *pool.Server
			asked(t, p, r, get, func(x *Exchange) {
				x.Until = 500
				test.do(x)
				last = x.Server()
			})
			p.Tick(clock.Instant(time.Second))
			if got := last.State() == health.Ejected; got != test.failed {
				t.Errorf("the server is %v, want ejected: %v", last.State(), test.failed)
			}
		})
	}
}
