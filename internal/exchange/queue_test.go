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

// TestQueueScripts has servers that may have one request each, and have it: it is "hold s1" whose end makes room on s1.
//
//	start | join                 ask Start, Join
//	end s1                       the request that s1 has ends
//	told | late | gone           the wait ends: by the queue, by the time, by the client
//	refused | reset              the attempt failed
//	answer                       200 has come
//	stale                        it failed on a kept connection that the server had closed
//	leave                        all servers leave the pool
//	other s1                     another request joins the queue, one that is tied to s1
//	done                         the exchange ends; wherever it is
func TestQueueScripts(t *testing.T) {
	for _, test := range []struct {
		name           string
		servers, queue int
		events         string
		want           string
	}{
		{"a place, a server", 2, 5, "start, join, end s2, told, answer, done", "wait, place 1, told, forward s2, relay, 200 -- attempts=1"},
		{"too late", 1, 5, "start, join, late, done", "wait, place 1, reply 503, 503 sQ attempts=0"},
		{"a server in the last moment", 1, 5, "start, join, end s1, late, answer, done", "wait, place 1, told, forward s1, relay, 200 -- attempts=1"},
		{"the client leaves", 1, 5, "start, join, gone, done", "wait, place 1, silent 499, 499 CQ attempts=0"},
		{"the client leaves as it has a server", 1, 5, "start, join, end s1, gone, done", "wait, place 1, told, silent 499, 499 CQ attempts=0"},
		{"no room", 1, 0, "start, join, done", "wait, reply 503, 503 PQ attempts=0"},
		{"room in the last moment", 1, 0, "start, end s1, join, told, answer, done", "wait, told, place 1, forward s1, relay, 200 -- attempts=1"},
		{"broken off", 1, 5, "start, join, done", "wait, place 1, 0 -- attempts=0"},
		{"after a refused connect", 2, 5, "end s1, start, refused, join, end s2, told, answer, done", "forward s1, wait, place 1, told, forward s2 fresh, relay, 200 -- attempts=2"},
		{"after a reset, within the budget", 2, 5, "end s1, start, reset, join, end s2, told, reset, done", "forward s1, wait, place 1, told, forward s2 fresh, reply 502, 502 SH attempts=2"},
		{"a wait after a wait that is broken off", 2, 5, "start, join, end s2, told, refused, join, done", "wait, place 1, told, forward s2, wait, place 1, 0 -- attempts=1"},
		{
			"a closed connection to the only server, for which others wait", 1, 5, "end s1, start, other s1, other s1, stale, join, end other, end other, told, answer, done",
			"forward s1, wait, place 2, told, forward s1 fresh, relay, 200 -- attempts=2",
		},
		{"not for the server that has failed", 2, 5, "end s1, start, refused, join, late, done", "forward s1, wait, place 1, reply 503, 503 sQ attempts=1"},
		{"a repeat after a wait counts", 3, 5, "end s1, start, reset, join, end s2, told, end s3, reset, done", "forward s1, wait, place 1, told, forward s2 fresh, reply 502, 502 SH attempts=2"},
		{"no server is left", 2, 5, "start, join, leave, told, done", "wait, place 1, told, reply 503, 503 SC attempts=0"},
		{"no server is left after one has failed", 2, 5, "end s1, start, reset, join, leave, told, done", "forward s1, wait, place 1, told, reply 502, 502 SH attempts=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Budget: pool.Budget{Share: 20, Floor: 3}, Queue: pool.Queue{Length: test.queue, Timeout: time.Second}}
			for i := range test.servers {
				spec.Servers = append(spec.Servers, pool.ServerSpec{Name: fmt.Sprintf("s%d", i+1), Address: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: 1, MaxRequests: 1})
			}
			p := pool.New(1, spec)
			held, servers := map[string]*pool.Lease{}, p.Servers()
			for _, s := range servers {
				lease, err := p.Acquire(1, &pool.Query{Prefer: s})
				if err != nil {
					t.Fatal(err)
				}
				held[s.Name] = &lease
			}
			retry := route.Retry{Attempts: 4, Repeats: 1, Connect: true, Reset: true}
			table, req := oneRoute(t, route.Route{Name: "app", Pool: p, Retry: retry}, get)
			x := &Exchange{}
			x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
			var out []string
			var others []*pool.Waiter // that have a lease
			now := clock.Instant(time.Second)
			for _, e := range strings.Split(test.events, ", ") {
				for _, w := range others {
					lease, _ := p.Withdraw(w)
					held["other"] = &lease
				}
				others = nil
				now++
				word, arg, _ := strings.Cut(e, " ")
				f := &fault.Error{Side: fault.Server, Op: fault.Queue, Kind: fault.Timeout}
				var step Step
				switch word {
				case "start":
					step = x.Start(now, table)
				case "join":
					var by clock.Instant
					var waits bool
					if step, by, waits = x.Join(now, func() { out = append(out, "told") }); waits {
						if by != now.Add(time.Second) {
							t.Errorf("Join waits until %v, want a second", by)
						}
						out = append(out, fmt.Sprintf("place %d", x.Place))
						continue
					}
				case "leave":
					p.Update(now, nil)
					continue
				case "end":
					held[arg].End()
					continue
				case "other":
					w, q := &pool.Waiter{}, &pool.Query{Prefer: serverOf(p, arg)}
					p.Join(w, q, func() { others = append(others, w) })
					continue
				case "stale":
					step = x.Failed(now, &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Closed}, true)
				case "told":
					step = x.Waited(now, nil)
				case "late":
					step = x.Waited(now, f)
				case "gone":
					step = x.Waited(now, &fault.Error{Side: fault.Client, Op: fault.Queue, Kind: fault.Cancelled})
				case "refused":
					step = x.Failed(now, &fault.Error{Side: fault.Server, Op: fault.Connect, Kind: fault.Refused, Safe: true}, false)
				case "reset":
					step = x.Failed(now, &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Reset}, false)
				case "answer":
					step = x.Responded(now, &msg.Response{Status: 200})
				case "done":
					x.Done(now, nil)
					end, _ := x.End()
					out = append(out, fmt.Sprintf("%d %s attempts=%d", x.Status, end[:2], x.Attempts))
					continue
				}
				out = append(out, decision(x, step))
			}
			if got := strings.Join(out, ", "); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.events, got, test.want)
			}
			for _, lease := range held {
				lease.End()
			}
			want := queueEnds[ended(x)]
			if want == NotQueued && x.Place > 0 {
				want = QueueLeft
			}
			if x.Queue != want {
				t.Errorf("the wait ended by %d, want %d", x.Queue, want)
			}
			for _, s := range servers {
				if s.InFlight() != 0 || p.Waiting() != 0 {
					t.Errorf("%s has %d leases after the end, and %d wait; want none", s.Name, s.InFlight(), p.Waiting())
				}
			}
		})
	}
}

// queueEnds is what became of the last wait, by the letters of the log; of all others that have waited: QueueLeft.
var queueEnds = map[string]QueueEnd{"sQ": QueueTimes, "PQ": QueueFull}

func ended(x *Exchange) string {
	end, _ := x.End()
	return string(end[:2])
}

// A wait is over with the time for the whole exchange.
func TestQueueWithinTheTime(t *testing.T) {
	spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Queue: pool.Queue{Length: 5, Timeout: time.Second}, Servers: []pool.ServerSpec{{Address: "a:80", Weight: 1, MaxRequests: 1}}}
	p := pool.New(1, spec)
	lease, err := p.Acquire(1, &pool.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.End()
	table, req := oneRoute(t, route.Route{Name: "app", Pool: p}, get)
	for until, want := range map[clock.Instant]time.Duration{0: time.Second, 500: 490, clock.Instant(time.Hour): time.Second} {
		x := &Exchange{}
		x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
		x.Start(10, table)
		x.Until = until
		if _, by, _ := x.Join(10, func() {}); by.Sub(10) != want {
			t.Errorf("Join until %v waits for %v, want %v", until, by.Sub(10), want)
		}
		x.Done(20, nil)
	}
}

func serverOf(p *pool.Pool, name string) *pool.Server {
	for _, s := range p.Servers() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// A client that is tied to a server whose room others wait for too goes to another one in the end, past those.
func TestQueueLeavesTiedClientsToOthers(t *testing.T) {
	spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Queue: pool.Queue{Length: 5, Timeout: time.Second}}
	for _, name := range []string{"s1", "s2"} {
		spec.Servers = append(spec.Servers, pool.ServerSpec{Name: name, Address: name + ":80", Weight: 1, MaxRequests: 1})
	}
	p := pool.New(1, spec)
	table, req := oneRoute(t, route.Route{Name: "app", Pool: p}, get)
	held, err := p.Acquire(1, &pool.Query{Prefer: serverOf(p, "s1")})
	if err != nil {
		t.Fatal(err)
	}
	x, first := &Exchange{}, &pool.Waiter{}
	x.Begin(&Client{AddrText: []byte("192.0.2.1")}, req, Times{})
	x.query.Prefer = serverOf(p, "s1")
	p.Join(first, &pool.Query{Prefer: serverOf(p, "s1")}, func() { t.Error("the one that waits longer was told something") })
	if s := x.Start(10, table); s.Kind != Wait {
		t.Fatalf("Start = %v, want Wait", s.Kind)
	}
	if _, _, waits := x.Join(11, func() { t.Error("the exchange was told something") }); !waits || x.Place != 2 {
		t.Fatalf("Join waits %v at %d, want true at 2", waits, x.Place)
	}
	late := &fault.Error{Side: fault.Server, Op: fault.Queue, Kind: fault.Timeout}
	if s := x.Waited(12, late); s.Kind != Forward || x.Server().Name != "s2" {
		t.Errorf("after its time the exchange is at %v with %v, want s2", x.Server(), s)
	}
	x.Done(13, nil)
	p.Withdraw(first)
	held.End()
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d wait at the end, want none", n)
	}
}
