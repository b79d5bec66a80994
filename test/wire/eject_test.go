package wire

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"poise/internal/testkit"
)

// A server whose requests fail is left alone for a while, and comes back.
func TestEjectAndReadmit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fail testkit.Script
	}{
		{"closes", testkit.ReplyAndClose("")},
		{"answers 503", testkit.Reply("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")},
		{"breaks off within its answer", testkit.ReplyAndClose("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")},
		{"answers nonsense", testkit.ReplyAndClose("hello\r\n\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				if tt.name == "answers nonsense" {
					s.ServersHTTP1(t)
				}
				bad := testkit.Serve(t, testkit.Paths(scripts{"/": tt.fail}))
				good := testkit.Serve(t, testkit.Paths(scripts{"/": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")}))
				p := testkit.Start(t, s, fmt.Sprintf(`
listen: 127.0.0.1:0
servers: [%s, %s]
policy: round_robin
retry: { attempts: 1 }
eject: { time: 600ms }
`, bad.Addr, good.Addr))
				state := func() string { return p.App.Status().Pools[0].Servers[0].State }
				ask := func() bool { // on a connection of its own: some answers end it
					c := testkit.Dial(t, p.Addr)
					c.Send(getOf("/", "Connection: close"))
					r, err := c.TryRead("GET")
					_ = c.Close()
					return err == nil && r.StatusCode == 200 && r.Body == "good"
				}
				testkit.Eventually(t, "ejection", func() bool { ask(); return state() == "ejected" })
				before := strings.Count(bad.Got(), "GET /")
				if before < 5 {
					t.Errorf("ejected after %d requests, want 5 at least", before)
				}
				// Pickers follow within 100 ms.
				testkit.Eventually(t, "requests that go to the good server alone", func() bool {
					for range 10 {
						if !ask() {
							return false
						}
					}
					return state() == "ejected"
				})
				testkit.Eventually(t, "return", func() bool { return state() == "up" })
				testkit.Eventually(t, "request to it", func() bool { ask(); return strings.Count(bad.Got(), "GET /") > before })
			})
		})
	}
}

// A stream that is reset on a connection that serves others well tells of the server, as a connection of HTTP/1.1 that is closed in just that moment does not.
func TestEjectForStreamsThatAreReset(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		if !s.ServerHTTP2 {
			t.Skip("needs servers of HTTP/2")
		}
		bad := testkit.Serve(t, testkit.Paths(scripts{"/bad": testkit.ReplyAndClose("")}))
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+bad.Addr+", "+named(t, "good").Addr+"]\npolicy: round_robin\nretry: { attempts: 1 }\neject: { time: 5m }\n")
		c := testkit.Dial(t, p.Addr)
		for range 4 {
			if r := c.Get("/"); r.StatusCode != 200 {
				t.Fatalf("GET = %d %q", r.StatusCode, r.Body)
			}
		}
		testkit.Eventually(t, "ejection", func() bool {
			c.Get("/bad")
			return p.App.Status().Pools[0].Servers[0].State == "ejected"
		})
	})
}

// A server that was ejected stays so over a reload that keeps it; one that went and comes back is another one.
func TestEjectionOverReloads(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		bad := testkit.Serve(t, testkit.Answer("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"))
		good := testkit.Serve(t, testkit.Answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"))
		text := "listen: 127.0.0.1:0\npolicy: round_robin\nservers: [" + good.Addr + "%s]\neject: { time: 10m, max_time: 10m, consecutive_failures: %d }\n"
		weighed := fmt.Sprintf(", { address: %s, weight: 3 }", bad.Addr)
		p := testkit.Start(t, s, fmt.Sprintf(text, ", "+bad.Addr, 5))
		state := func() string { return p.App.Status().Pools[0].Servers[1].State }
		c := testkit.Dial(t, p.Addr)
		testkit.Eventually(t, "ejection", func() bool { c.Get("/"); return state() == "ejected" })
		p.Reload(t, fmt.Sprintf(text, weighed, 100))
		if got := state(); got != "ejected" {
			t.Errorf("after a reload with another weight and other rules it is %s, want ejected", got)
		}
		for range 20 {
			if r := c.Get("/"); r.Body != "good" {
				t.Fatalf("after a reload an ejected server answers %d", r.StatusCode)
			}
		}
		p.Reload(t, fmt.Sprintf(text, "", 100))
		p.Reload(t, fmt.Sprintf(text, weighed, 100))
		if got := state(); got != "up" {
			t.Errorf("when it is back it is %s, want up", got)
		}
	})
}

// A server that is ejected is probed at once, however long the interval is, so that probes that pass soon have it back.
func TestEjectedServerIsProbedAtOnce(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var failing atomic.Bool
		bad := testkit.Serve(t, testkit.Paths(scripts{
			"/": testkit.ReplyAndClose(""),
			"/probe": func(p *testkit.Peer, _ string) bool {
				status := "200 OK"
				if failing.Load() {
					status = "500 No"
				}
				return p.Send("HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n") == nil
			},
		}))
		good := testkit.Serve(t, testkit.Paths(scripts{
			"/":      testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"),
			"/probe": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listen: 127.0.0.1:0
servers: [%s, %s]
policy: round_robin
eject: { time: 10m, max_time: 10m }
health: { http: { path: /probe }, interval: 10m, fast_interval: 10ms, timeout: 10s, fall: 1000 }
`, bad.Addr, good.Addr))
		state := func() string { return p.App.Status().Pools[0].Servers[0].State }
		testkit.Eventually(t, "server that is up", func() bool { return state() == "up" })
		failing.Store(true) // so that it stays out
		c := testkit.Dial(t, p.Addr)
		testkit.Eventually(t, "ejection", func() bool { c.Get("/"); return state() == "ejected" })
		failing.Store(false)
		testkit.Eventually(t, "return", func() bool { return state() == "up" })
	})
}

// What the client does wrong, and what a server rightly refuses, is no failure of the server.
func TestEjectForServersFaultsOnly(t *testing.T) {
	t.Parallel()
	stall := func(p *testkit.Peer, _ string) bool { _, _ = p.AwaitEnd(); return false }
	for _, tt := range []struct {
		name   string
		answer testkit.Script
		leaves bool // the client does not wait
	}{
		{"500", testkit.Reply("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"), false},
		{"404", testkit.Reply("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"), false},
		{"the client leaves", stall, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				one, two := testkit.Serve(t, testkit.Paths(scripts{"/": tt.answer})), testkit.Serve(t, testkit.Paths(scripts{"/": tt.answer}))
				p := testkit.Start(t, s, "listen: 127.0.0.1:0\npolicy: round_robin\nservers: ["+one.Addr+", "+two.Addr+"]\nretry: { attempts: 1 }\n")
				for i := range 24 {
					c := testkit.Dial(t, p.Addr)
					if !tt.leaves {
						c.Get("/")
						_ = c.Close()
						continue
					}
					c.Send(getOf("/"))
					testkit.Eventually(t, "request at a server", func() bool { return strings.Count(one.Got()+two.Got(), "GET / ") > i })
					c.ResetConn()
				}
				p.Parsed(t, 24)
				for _, server := range p.App.Status().Pools[0].Servers {
					if server.State != "up" {
						t.Errorf("a server is %s, want up", server.State)
					}
				}
			})
		})
	}
}
