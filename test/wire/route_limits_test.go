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

// TestRateLimit: who asks for more than a route gives hears when to come again; others notice nothing, and a reload forgets nothing.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := echoing(t)
		config := fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    trusted_proxies: [127.0.0.1]
    routes:
      - { name: client, match: { path: /client }, pool: app, rate_limit: { requests: 3, per: 3m, headers: true } }
      - { name: key, match: { path: /key }, pool: app, rate_limit: { requests: 2, per: 1h, by: header, header: X-Key } }
      - { name: all, match: { path: /all }, pool: app, rate_limit: { requests: 60, per: 1h, burst: 4, by: route } }
pools: { app: { servers: [%q] } }
`, server.Addr)
		p := testkit.Start(t, s, config)
		c := testkit.Dial(t, p.Addr)
		asked := 0
		ask := func(path, field string) *testkit.Response {
			t.Helper()
			asked++
			c.Send(getOf(path, field))
			return c.Read("GET")
		}
		passes := func(path, field string, want int) {
			t.Helper()
			for n := range want + 2 {
				if r := ask(path, field); (r.StatusCode == 429) != (n >= want) {
					t.Errorf("request %d of %s with %s is answered with %d, want %d to pass", n+1, path, field, r.StatusCode, want)
				}
			}
		}
		for left := range 3 {
			r := ask("/client", "X-Forwarded-For: 192.0.2.1")
			want := fmt.Sprintf(`"route";r=%d;t=%d | "route";q=3;w=180`, 2-left, 60*(left+1)) // to 1/1024 of the minute in which a token comes, and to a second upwards
			if got := r.Header.Get("RateLimit") + " | " + r.Header.Get("RateLimit-Policy"); got != want || r.StatusCode != 200 {
				t.Errorf("request %d is answered with %d and told %s, want %s", left+1, r.StatusCode, got, want)
			}
		}
		r := ask("/client", "X-Forwarded-For: 192.0.2.1")
		if h := r.Header; r.StatusCode != 429 || h.Get("Retry-After") != "60" || !strings.HasPrefix(h.Get("RateLimit"), `"route";r=0;t=`) {
			t.Errorf("the fourth is answered with %d, Retry-After %s, %s", r.StatusCode, h.Get("Retry-After"), h.Get("RateLimit"))
		}
		passes("/client", "X-Forwarded-For: 192.0.2.2", 3)
		passes("/client", "X-Forwarded-For: 2001:db8:1:2::1", 3)
		passes("/client", "X-Forwarded-For: 2001:db8:1:2::2", 0) // RX9: the same /64
		passes("/client", "X-Forwarded-For: 2001:db8:1:3::1", 3)
		passes("/key", "X-Key: a", 2)
		passes("/key", "x-key: b", 2)
		passes("/key", "X-Other: b", 2)
		passes("/key", "X-Other: c", 0)
		passes("/all", "X-Forwarded-For: 192.0.2.3", 4)
		passes("/all", "X-Forwarded-For: 192.0.2.4", 0)
		p.Reload(t, strings.Replace(config, "requests: 2,", "requests: 5,", 1))
		passes("/client", "X-Forwarded-For: 192.0.2.2", 0)
		passes("/key", "X-Key: a", 5)
		for _, list := range p.Parsed(t, asked) {
			for _, r := range list {
				if r.Status == 429 && (r.End != "PR--" || r.Reason != "too many requests came" || r.Server != "") {
					t.Errorf("the record of a request beyond the limit is %+v", r)
				}
			}
		}
	})
}

// TestRateLimitHolds: over all loops as many requests pass as the rate says, within 2 in 100, whoever asks for more.
func TestRateLimitHolds(t *testing.T) {
	const rate, burst, length, connections = 1000, 100, 10 * time.Second, 8
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		if s.Loops != 2 || s.TLS || s.ServerTLS || s.HTTP2 || s.ServerHTTP2 {
			t.Skip("one setup for each driver shows it")
		}
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes: [{ reply: { status: 204 }, rate_limit: { requests: %d, burst: %d, by: route } }]
`, rate, burst))
		var passed atomic.Int64
		var clients sync.WaitGroup
		begun := time.Now()
		for range connections {
			c := testkit.Dial(t, p.Addr)
			clients.Go(func() {
				for time.Since(begun) < length {
					c.Send(getOf("/"))
					if r, err := c.TryRead("GET"); err != nil {
						t.Error(err)
						return
					} else if r.StatusCode == 204 {
						passed.Add(1)
					}
					time.Sleep(2 * time.Millisecond) // paces the clients: four times the rate
				}
			})
		}
		clients.Wait()
		took := time.Since(begun)
		want := burst + rate*took.Seconds()
		if got := float64(passed.Load()); got < 0.98*want || got > 1.02*want {
			t.Errorf("%.0f requests pass in %v, want %.0f", got, took, want)
		}
	})
}

// TestInFlightLimit: no more than so many requests of a client are at the servers at once; what ends gives its place back, however it ends.
func TestInFlightLimit(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		server := testkit.Serve(t, testkit.Paths(scripts{
			"/held": func(p *testkit.Peer, _ string) bool {
				<-hold
				return p.Send(testkit.OK) == nil
			},
			"/cut": func(*testkit.Peer, string) bool { return false },
		}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes: [{ pool: app, in_flight_limit: { requests: 2 } }]
pools: { app: { servers: [%q], eject: { enabled: false } } }
`, server.Addr))
		first, second, third := testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr)
		first.Send(getOf("/held"))
		second.Send(getOf("/held"))
		testkit.Eventually(t, "both at the server", func() bool { return strings.Count(server.Got(), "/held") == 2 })
		for range 3 {
			wantResponse(t, "a third at once", third.Get("/"), 429, "429 Too Many Requests: too many requests are under way\n")
		}
		second.ResetConn()
		testkit.Eventually(t, "room for one, since one has left", func() bool { return third.Get("/").StatusCode == 200 })
		for range 5 {
			if r := third.Get("/cut"); r.StatusCode != 502 {
				t.Errorf("a request that fails at the server is answered with %d", r.StatusCode)
			}
		}
		release()
		wantResponse(t, "the first", first.Read("GET"), 200, "ok")
		fourth := testkit.Dial(t, p.Addr)
		begun := time.Now()
		for third.Get("/").StatusCode != 200 || fourth.Get("/").StatusCode != 200 {
			if time.Since(begun) > 5*time.Second {
				t.Fatal("not all places are given back")
			}
		}
	})
}
