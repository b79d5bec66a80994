package wire

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

// agent says the same to all who connect.
type agent struct {
	addr string
	text atomic.Value // string
	stop func()
}

func (a *agent) listen(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	a.addr = ln.Addr().String()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(a.text.Load().(string)))
			_ = c.Close()
		}
	}()
	a.stop = func() { _ = ln.Close(); <-ended }
}

// share is how many of n requests on one connection each server answers.
func share(t *testing.T, p *testkit.Poise, n int) map[string]int {
	t.Helper()
	counts, c := map[string]int{}, testkit.Dial(t, p.Addr)
	for range n {
		r := c.Get("/")
		counts[string(r.Body)]++
	}
	return counts
}

// An agent has its server drained, weighed, down and up; what it did stays while it is silent, and over reloads for as long as it is asked.
func TestAgent(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var servers [2]*testkit.Server
		for i := range servers {
			servers[i] = testkit.Serve(t, testkit.Answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%c", 'a'+i)))
		}
		host, _, _ := net.SplitHostPort(servers[0].Addr)
		told := &agent{addr: host + ":0"}
		told.text.Store("up ready 100%\n")
		told.listen(t)
		defer func() { told.stop() }()
		_, port, _ := net.SplitHostPort(told.addr)
		configured := func(agent string) string {
			return fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%q, %q]\n%s\n", servers[0].Addr, servers[1].Addr, agent)
		}
		p := testkit.Start(t, s, configured("agent: { port: "+port+", interval: 50ms }"))
		is := func(state, said string) {
			t.Helper()
			testkit.Eventually(t, "server that is "+state+" and whose agent said "+said, func() bool {
				a := p.App.Status().Pools[0].Servers[0]
				return a.State == state && strings.Contains(a.Agent, said)
			})
		}
		gets := func(what string, a, b int) {
			t.Helper()
			testkit.Eventually(t, fmt.Sprintf("share of %d to %d requests with %s", a, b, what), func() bool {
				got := share(t, p, a+b) // a change waits for the next rebuild
				return got["a"] == a && got["b"] == b
			})
		}
		is("up", "100%")
		gets("100%", 15, 15)
		begun := time.Now()
		told.text.Store("drain\n")
		is("draining", "drain 100%")
		if got, most := p.App.Status().Pools[0].Servers[0].Since, time.Since(begun).Seconds(); got > most {
			t.Errorf("it is draining for %v s, want no longer than its agent says so: %v s", got, most)
		}
		gets("drain", 0, 30)
		told.text.Store("ready, weight:50\r\n")
		is("up", "50%")
		gets("50%", 10, 20)
		told.text.Store("down #the disk is full")
		is("down", "50% down #the disk is full")
		gets("down", 0, 30)
		told.stop()
		is("down", "connection refused")
		p.Reload(t, configured("agent: { port: "+port+", interval: 40ms }"))
		is("down", "50% down #the disk is full; connection refused")
		gets("down and an agent that is away", 0, 30)
		told.text.Store("up 100% hello\n")
		told.listen(t)
		is("up", "100%")
		gets("up again", 15, 15)
		told.text.Store("maint down 50% maxconn:1\n")
		is("maint", "maint 50% maxconn:1 down")
		gets("maint", 0, 30)
		p.Reload(t, configured(""))
		is("up", "")
		gets("no agent", 15, 15)
		for _, want := range []string{
			`msg="server is draining" pool=default server=` + servers[0].Addr + ` was=ready reason="its agent says so"`,
			`msg="server is down" pool=default server=` + servers[0].Addr + ` was=up reason="its agent says so: the disk is full"`,
			`msg="server is maint" pool=default server=` + servers[0].Addr + ` was=ready reason="its agent says so"`,
			`msg="server is ready" pool=default server=` + servers[0].Addr + ` was=maint reason="its agent is not asked any more"`,
			`words=hello`,
		} {
			if n := strings.Count(p.Log.String(), want); n != 1 {
				t.Errorf("the log says %d times %s, want once:\n%s", n, want, p.Log)
			}
		}
		if got := p.App.Status().Pools[0].Servers[1]; got.State != "up" || got.Failures != 0 {
			t.Errorf("the server whose agent was never there is %+v, want up", got)
		}
	})
}

// Agents that mean no good cost their timeout, and nothing else.
func TestHostileAgents(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		for name, script := range map[string]func(*testkit.Peer){
			"closes at once": func(*testkit.Peer) {},
			"says nothing":   func(p *testkit.Peer) { _, _ = p.AwaitEnd() },
			"line without end": func(p *testkit.Peer) {
				for p.Send(strings.Repeat("down ", 1000)) == nil {
					continue
				}
			},
			"half a word": func(p *testkit.Peer) {
				_ = p.Send("down")
				_, _ = p.AwaitEnd()
			},
			"NUL bytes":   func(p *testkit.Peer) { _ = p.Send("down\x00 \x00drain #\x00\n") },
			"other words": func(p *testkit.Peer) { _ = p.Send(strings.Repeat("downs ", 600) + "\n") },
		} {
			t.Run(name, func(t *testing.T) {
				told := testkit.Serve(t, script)
				host, port, _ := net.SplitHostPort(told.Addr)
				ln, err := net.Listen("tcp", host+":0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nagent: { port: %s, interval: 20ms }\n", ln.Addr(), port))
				testkit.Eventually(t, "third question", func() bool { return told.Connections() >= 3 })
				if got := p.App.Status().Pools[0].Servers[0]; got.State != "up" || !strings.HasPrefix(got.Agent, "ready") {
					t.Errorf("the server is %s, its agent said %q, want up and nothing done", got.State, got.Agent)
				}
				if got := len(p.Log.String()); got > 2000 {
					t.Errorf("the log has %d bytes of it, want little", got)
				}
			})
		}
	})
}

// Agents that never answer, of however many servers, do not keep others' probes waiting.
func TestSilentAgentsHoldNoProbesUp(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		silent := testkit.Serve(t, func(p *testkit.Peer) { _, _ = p.AwaitEnd() })
		host, port, _ := net.SplitHostPort(silent.Addr)
		var many []string
		for i := range 80 {
			many = append(many, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", host, 1+i)))
		}
		probed := testkit.Serve(t, testkit.Answer(testkit.OK))
		testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes: [{ match: { path: /a }, pool: a }, { match: { path: /b }, pool: b }]
pools:
  a: { servers: [%s], agent: { port: %s, interval: 60s, timeout: 60s } }
  b: { servers: [%q], health: { http: { path: / }, interval: 50ms } }
`, strings.Join(many, ", "), port, probed.Addr))
		testkit.Eventually(t, "question to most agents", func() bool { return silent.Connections() >= 64 })
		before := probed.Connections()
		testkit.Eventually(t, "third probe", func() bool { return probed.Connections() >= before+3 })
	})
}
