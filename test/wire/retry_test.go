package wire

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

// A try that takes too long is left for another server, where that can be done twice. Others have the time that answers have.
func TestRetryPerTry(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := newPair(t, func(p *testkit.Peer, _ string) bool { _, _ = p.AwaitEnd(); return false })
		p := beforeServers(t, s, servers.all, "retry: { per_try: 150ms }", "timeouts: { response: 1s }")
		c := testkit.Dial(t, p.Addr)
		wantResponse(t, "GET", c.Get("/get"), 200, "")
		c.Send("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		wantResponse(t, "PUT", c.Read("PUT"), 200, "abc")
		c.Send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		wantResponse(t, "POST", c.Read("POST"), 504, "504 Gateway Timeout: the server did not answer in time\n")
		wantAttempts(t, p, map[string]int{"/get": 2, "/put": 2, "/post": 1})
	})
}

// A try without an end of its own, that of a body that is passed on as it comes, lasts as long as it is let.
func TestRetryPerTryLeavesUploadsAlone(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{"/up": echoBody}, "retry: { per_try: 50ms }")
		c := testkit.Dial(t, p.Addr)
		body := strings.Repeat("x", 40<<10)
		c.Send(fmt.Sprintf("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:1000]))
		if !c.Quiet(150 * time.Millisecond) {
			t.Error("something came before the body was sent")
		}
		c.Send(body[1000:])
		wantResponse(t, "PUT", c.Read("PUT"), 200, body)
	})
}

// Statuses that are named are left for another server's answer, with or without a body, and of whatever length.
func TestRetryOnStatus(t *testing.T) {
	t.Parallel()
	answers := []struct{ name, answer string }{
		{"small", "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"},
		{"empty", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"},
		{"large", "HTTP/1.1 503 No\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("n", 100_000)},
		{"chunked", "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"},
		{"in the range", "HTTP/1.1 599 No\r\nContent-Length: 2\r\n\r\nno"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := newPair(t, func(p *testkit.Peer, head string) bool {
			var i int
			if _, err := fmt.Sscanf(testkit.PathOf(head), "/%d", &i); err != nil {
				i = 0
			}
			_, _ = p.BodyOf(head)
			return testkit.Reply(answers[i].answer)(p, head)
		})
		p := beforeServers(t, s, servers.all, "retry: { on: [503, 550-599] }")
		want := map[string]int{"/post": 1, "/upload": 1}
		for round := range 2 { // the second time over connections that served the first
			c := testkit.Dial(t, p.Addr)
			for i, tt := range answers {
				path := fmt.Sprintf("/%d?%d", i, round)
				want[path] = 2
				wantResponse(t, tt.name, c.Get(path), 200, "")
			}
		}
		c := testkit.Dial(t, p.Addr)
		c.Send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		wantResponse(t, "POST", c.Read("POST"), 503, "no")
		c = testkit.Dial(t, p.Addr)
		c.Send("PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000))
		wantResponse(t, "PUT", c.Read("PUT"), 503, "no")
		wantAttempts(t, p, want)
	})
}

func TestRetryNothing(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := newPair(t, testkit.ReplyAndClose(""))
		p := beforeServers(t, s, servers.all, "retry: { attempts: 1 }")
		c := testkit.Dial(t, p.Addr)
		wantResponse(t, "GET", c.Get("/x"), 502, "502 Bad Gateway: the server closed the connection before it answered\n")
		wantAttempts(t, p, map[string]int{"/x": 1})
	})
}

// With every server failing, repeats add a fifth to what the servers get, and the few that are always saved up.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	const requests, clients = 600, 6
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var servers []*testkit.Server
		for range 4 {
			servers = append(servers, testkit.Serve(t, func(p *testkit.Peer) {
				if _, err := p.ReadHead(); err == nil {
					p.Reset()
				}
			}))
		}
		p := beforeServers(t, s, servers, "retry: { budget: 20%, budget_floor: 0 }")
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				c := testkit.Dial(t, p.Addr)
				for range requests / clients {
					c.Send(getOf("/x"))
					if r, err := c.TryRead("GET"); err != nil || r.StatusCode != 502 {
						t.Errorf("GET = %v (%v), want 502", r, err)
						return
					}
				}
			})
		}
		wg.Wait()
		got := 0
		for _, server := range servers {
			got += strings.Count(server.Got(), "GET /x ")
		}
		// Each loop saves up ten.
		if most := requests*120/100 + 10*s.Loops; got > most || got < requests*115/100 {
			t.Errorf("the servers got %d requests for %d, want %d at most, and not many less", got, requests, most)
		}
		refused := 0
		for _, r := range p.Parsed(t, requests)["/x"] {
			if strings.HasSuffix(r.Reason, "the pool's retry budget is used up") {
				refused++
			}
		}
		if attempts := got - requests; refused != requests-attempts {
			t.Errorf("%d records tell of a budget that is used up, want %d", refused, requests-attempts)
		}
	})
}

// With a tenth of the requests failing, all of them are repeated, and nothing but them.
func TestRetryBudgetForATenth(t *testing.T) {
	t.Parallel()
	const requests, clients = 600, 6
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var servers []*testkit.Server
		var got, failed atomic.Int32
		for range 4 {
			servers = append(servers, testkit.Serve(t, func(p *testkit.Peer) {
				for {
					if _, err := p.ReadHead(); err != nil {
						return
					}
					if got.Add(1)%10 == 0 {
						failed.Add(1)
						p.Reset()
						return
					}
					if p.Send(testkit.OK) != nil {
						return
					}
				}
			}))
		}
		p := beforeServers(t, s, servers, "retry: { budget: 20% }")
		var wg sync.WaitGroup
		var refused atomic.Int32
		for range clients {
			wg.Go(func() {
				c := testkit.Dial(t, p.Addr)
				for range requests / clients {
					if c.Get("/x").StatusCode != 200 {
						refused.Add(1)
					}
				}
			})
		}
		wg.Wait()
		// What a client sees are repeats that failed in their turn; at random that is one of a hundred requests.
		if n := refused.Load(); n > requests*4/100 {
			t.Errorf("%d of %d requests failed at the client, want one of a hundred or so", n, requests)
		}
		if n := got.Load(); n > requests*111/100 || n < requests+failed.Load()-2*refused.Load() {
			t.Errorf("the servers got %d requests for %d, of which %d failed: want each of these once more, and 11 %% at most", n, requests, failed.Load())
		}
	})
}

func wantAttempts(t *testing.T, p *testkit.Poise, want map[string]int) {
	t.Helper()
	for path, rs := range p.Parsed(t, len(want)) {
		if rs[0].Attempts != want[path] {
			t.Errorf("%s: %d attempts, want %d (%+v)", path, rs[0].Attempts, want[path], rs[0])
		}
	}
}

// Before a second repeat and each one after it there is a pause, by chance: of some requests one at least waits for long.
func TestRetryPauses(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var servers []*testkit.Server
		for range 8 {
			servers = append(servers, testkit.Serve(t, testkit.Answer("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")))
		}
		p := beforeServers(t, s, servers, "retry: { attempts: 8, repeats: 7, on: [503], budget: 100%, budget_floor: 1000 }")
		const requests = 3
		c := testkit.Dial(t, p.Addr)
		for range requests { // one by one, since few repeats are saved up at the start
			wantResponse(t, "GET", c.Get("/x"), 503, "no")
		}
		longest := 0.0
		for _, r := range p.Parsed(t, requests)["/x"] {
			if longest = max(longest, r.Queue); r.Attempts != 8 {
				t.Errorf("%d attempts, want 8", r.Attempts)
			}
		}
		if longest < 100 { // 440 are to be expected of each
			t.Errorf("the longest time until the last try was %v ms, want pauses of some 100", longest)
		}
	})
}
