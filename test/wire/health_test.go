package wire

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

// Two pools with one address know of it by checks of their own.
func TestChecksOfOneAddressDoNotMeet(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Paths(scripts{
			"/good": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
			"/bad":  testkit.Reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
		}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ address: 127.0.0.1:0, pool: one, routes: [{ match: { path: /bad }, pool: two }] }]
pools:
  one: { servers: [%[1]q], health: { http: { path: /good }, interval: 20ms, timeout: 10s, fall: 1 } }
  two: { servers: [%[1]q], health: { http: { path: /bad }, interval: 20ms, timeout: 10s, fall: 1 }, fail_open: { enabled: false } }
`, server.Addr))
		state := func(i int) string { return p.App.Status().Pools[i].Servers[0].State }
		testkit.Eventually(t, "server that is up in one pool and down in the other", func() bool { return state(0) == "up" && state(1) == "down" })
		if r := testkit.Dial(t, p.Addr).Get("/good"); r.StatusCode != 200 {
			t.Errorf("the pool in which it is up answers %d, want 200", r.StatusCode)
		}
		if r := testkit.Dial(t, p.Addr).Get("/bad"); r.StatusCode != 503 {
			t.Errorf("the pool in which it is down answers %d, want 503", r.StatusCode)
		}
	})
}

// The pace at which a server is probed that is down is one of its own: here the interval alone would not have it back in time.
func TestDownInterval(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var probes atomic.Int32
		server := testkit.Serve(t, func(p *testkit.Peer) {
			if _, err := p.ReadHead(); err != nil {
				return
			}
			if probes.Add(1) <= 10 {
				_ = p.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
				return
			}
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		health := "{ http: {}, interval: 10m, fast_interval: 10m, down_interval: 10ms, timeout: 10s }"
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nhealth: %s\n", server.Addr, health))
		testkit.Eventually(t, "server that is up", func() bool { return p.App.Status().Pools[0].Servers[0].State == "up" })
	})
}

// A change that has begun is soon decided, however long the interval is.
func TestFastInterval(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var probes atomic.Int32
		server := testkit.Serve(t, func(p *testkit.Peer) {
			if _, err := p.ReadHead(); err != nil {
				return
			}
			if probes.Add(1) == 1 {
				_ = p.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
				return
			}
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		begun := time.Now()
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nhealth: { http: {}, interval: 1s, fast_interval: 10ms, timeout: 1s, rise: 20 }\n", server.Addr))
		testkit.Eventually(t, "server that is up", func() bool { return p.App.Status().Pools[0].Servers[0].State == "up" })
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("20 good probes took %v, want one interval and 19 fast ones", took)
		}
	})
}
