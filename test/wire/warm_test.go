package wire

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"poise/internal/testkit"
)

// A server that comes back gets a tenth of its share at first; all that are there at the start get theirs at once.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var ill atomic.Bool
		cold := testkit.Serve(t, testkit.Paths(scripts{
			"/": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ncold"),
			"/probe": func(p *testkit.Peer, _ string) bool {
				status := "200 OK"
				if ill.Load() {
					status = "500 No"
				}
				return p.Send("HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n") == nil
			},
		}))
		warm := named(t, "warm")
		socket := filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%s, %s]\nslow_start: 1h\n"+
			"health: { http: { path: /probe }, interval: 20ms, timeout: 10s, fall: 1, rise: 1 }\nadmin: { address: %q }\n", cold.Addr, warm.Addr, "unix:"+socket))
		c := testkit.Dial(t, p.Addr)
		share := func() int { // of 110
			n := strings.Count(cold.Got(), "GET / ")
			for range 110 {
				c.Get("/")
			}
			return strings.Count(cold.Got(), "GET / ") - n
		}
		state := func(want string) func() bool {
			return func() bool { return p.App.Status().Pools[0].Servers[0].State == want }
		}
		weight := fmt.Sprintf("poise_server_weight{pool=\"default\",server=%q}", cold.Addr)
		testkit.Eventually(t, "server that is up", state("up"))
		testkit.Eventually(t, "even share of a server that is there from the start", func() bool { n := share(); return n >= 50 && n <= 60 })
		if got := metric(t, socket, weight); got != 1 {
			t.Errorf("%s = %d, want 1", weight, got)
		}
		ill.Store(true)
		testkit.Eventually(t, "end of requests to a server that is down", func() bool { return state("down")() && share() == 0 })
		ill.Store(false)
		testkit.Eventually(t, "request to the server that is back", func() bool { return share() > 0 })
		if n := share(); n < 5 || n > 20 {
			t.Errorf("a server that has just come back got %d of 110 requests, want some 10", n)
		}
		if got := metric(t, socket, weight); got != 0 { // 0.1
			t.Errorf("%s = %d and more, want a tenth", weight, got)
		}
	})
}

// Above the limit that was found requests wait, as with one that is configured.
func TestAdaptiveLimit(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		h := newHeld(t)
		socket := filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\n"+
			"adaptive: { min: 2, max: 2 }\nqueue: { length: 1 }\nadmin: { address: %q }\n", h.Addr, "unix:"+socket))
		var clients []*testkit.Client
		for i := range 2 {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf(fmt.Sprintf("/%d", i)))
			h.want(t, fmt.Sprintf("/%d", i))
			clients = append(clients, c)
		}
		clients = append(clients, wait(t, p, "/waits", 1))
		if r := testkit.Dial(t, p.Addr).Get("/full"); r.StatusCode != 503 {
			t.Errorf("one too many gets %d %q, want 503", r.StatusCode, r.Body)
		}
		want := func(name string, want int) {
			t.Helper()
			name = "poise_pool_" + name + `{pool="default"}`
			testkit.Eventually(t, fmt.Sprintf("%s of %d", name, want), func() bool { return metric(t, socket, name) == want })
		}
		want("request_limit", 2)
		want("queue_length", 1)
		want("queue_overflows_total", 1)
		want("in_flight_requests", 2)
		for range 3 {
			h.goOn <- struct{}{}
		}
		for _, c := range clients {
			wantResponse(t, "all others", c.Read("GET"), 200, "held")
		}
		want("queue_length", 0)
		want("queued_total", 1)
		want("in_flight_requests", 0)
		if r := p.Await(t, "/waits"); r.Queued != 1 {
			t.Errorf("queued = %d, want 1", r.Queued)
		}
	})
}

// With a share, servers that are down get requests again as soon as so few are up, and a metric says so.
func TestFailOpenShare(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		ill := testkit.Serve(t, testkit.Paths(scripts{
			"/":      testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nill"),
			"/probe": testkit.Reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
		}))
		well := named(t, "well")
		for share, want := range map[int]int{49: 0, 50: 1} {
			socket := filepath.Join(t.TempDir(), "admin")
			p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%s, %s]\nfail_open: { share: %d%% }\n"+
				"health: { http: { path: /probe }, interval: 20ms, timeout: 10s, fall: 1, rise: 1 }\nadmin: { address: %q }\n",
				ill.Addr, well.Addr, share, "unix:"+socket))
			c := testkit.Dial(t, p.Addr)
			testkit.Eventually(t, "one server up and one down", func() bool {
				all := p.App.Status().Pools[0].Servers
				return all[0].State == "down" && all[1].State == "up"
			})
			testkit.Eventually(t, fmt.Sprintf("requests as with %d%%", share), func() bool { // pickers follow within 100 ms
				got := map[string]int{}
				for range 20 {
					got[c.Get("/").Body]++
				}
				return got["well"] > 0 && (got["ill"] > 0) == (want == 1)
			})
			if got := metric(t, socket, `poise_pool_fail_open{pool="default"}`); got != want {
				t.Errorf("with %d%% poise_pool_fail_open = %d, want %d", share, got, want)
			}
		}
	})
}
