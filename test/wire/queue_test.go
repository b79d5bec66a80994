package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// held is a server that answers a request when it is told so.
type held struct {
	*testkit.Server
	asked chan string   // the paths of requests that have come
	goOn  chan struct{} // one answer each
}

func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{asked: make(chan string, 100), goOn: make(chan struct{})}
	h.Server = testkit.Serve(t, func(p *testkit.Peer) {
		for {
			head, err := p.ReadHead()
			if err != nil {
				return
			}
			h.asked <- testkit.PathOf(head)
			<-h.goOn
			if p.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld") != nil {
				return
			}
		}
	})
	t.Cleanup(func() { close(h.goOn) })
	return h
}

func (h *held) want(t *testing.T, path string) {
	t.Helper()
	select {
	case got := <-h.asked:
		if got != path {
			t.Errorf("the server was asked for %s, want %s", got, path)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the server was not asked for %s", path)
	}
}

// queued starts Poise before a server that may have one request, and has it.
func queued(t *testing.T, s testkit.Setup, settings ...string) (*testkit.Poise, *held, *testkit.Client) {
	t.Helper()
	h := newHeld(t)
	p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [{ address: %q, max_requests: 1 }]\n%s\n", h.Addr, strings.Join(settings, "\n")))
	c := testkit.Dial(t, p.Addr)
	c.Send(getOf("/first"))
	h.want(t, "/first")
	return p, h, c
}

func waiting(p *testkit.Poise) int { return p.App.Status().Pools[0].Waiting }

// wait sends a request and returns once so many wait.
func wait(t *testing.T, p *testkit.Poise, path string, n int) *testkit.Client {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	c.Send(getOf(path))
	testkit.Eventually(t, "request in the queue", func() bool { return waiting(p) == n })
	return c
}

func TestQueue(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, h, first := queued(t, s, "queue: { length: 2 }")
		second, third := wait(t, p, "/second", 1), wait(t, p, "/third", 2)
		r := testkit.Dial(t, p.Addr).Get("/fourth")
		wantResponse(t, "the fourth", r, 503, "503 Service Unavailable: all servers are busy, and too many requests wait already\n")
		if got, status := r.Header.Get("Retry-After"), r.Header.Get("Proxy-Status"); got != "1" || status != "poise; error=connection_limit_reached" {
			t.Errorf("Retry-After, Proxy-Status = %q, %q", got, status)
		}
		h.goOn <- struct{}{}
		wantResponse(t, "the first", first.Read("GET"), 200, "held")
		h.want(t, "/second")
		h.goOn <- struct{}{}
		wantResponse(t, "the second", second.Read("GET"), 200, "held")
		h.want(t, "/third")
		h.goOn <- struct{}{}
		wantResponse(t, "the third", third.Read("GET"), 200, "held")
		testkit.Eventually(t, "free slot", func() bool { return p.App.Status().Pools[0].Servers[0].InFlight == 0 })
		first.Send(getOf("/again"))
		h.want(t, "/again")
		h.goOn <- struct{}{}
		wantResponse(t, "another", first.Read("GET"), 200, "held")
		records := p.Parsed(t, 5)
		for path, want := range map[string]string{"/first": "0 ----", "/second": "1 ----", "/third": "2 ----", "/fourth": "0 PQ--", "/again": "0 ----"} {
			for _, r := range records[path] {
				if got := fmt.Sprintf("%d %s", r.Queued, r.End); got != want {
					t.Errorf("%s: queued and end %s, want %s", path, got, want)
				}
				if path == "/third" && r.Queue <= 0 {
					t.Errorf("%s: t_queue = %v, want the time that it has waited", path, r.Queue)
				}
			}
		}
	})
}

func TestQueueTimeout(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _, _ := queued(t, s, "queue: { timeout: 50ms }")
		c := testkit.Dial(t, p.Addr)
		wantResponse(t, "a request", c.Get("/late"), 503, "503 Service Unavailable: all servers were busy for too long\n")
		if r := p.Await(t, "/late"); r.End != "sQ--" || r.Queued != 1 || r.Queue != -1 || r.Attempts != 0 {
			t.Errorf("record %+v, want sQ, its place, and no attempt", r)
		}
		if n := waiting(p); n != 0 {
			t.Errorf("%d wait, want none", n)
		}
		wantResponse(t, "another on the connection", c.Get("/late2"), 503, "503 Service Unavailable: all servers were busy for too long\n")
	})
}

// Who leaves leaves the queue: by a reset, and by an orderly end too.
func TestQueueClientLeaves(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, h, _ := queued(t, s)
		wait(t, p, "/reset", 1).ResetConn()
		testkit.Eventually(t, "empty queue after a reset", func() bool { return waiting(p) == 0 })
		_ = wait(t, p, "/closed", 1).Close()
		testkit.Eventually(t, "empty queue after an end", func() bool { return waiting(p) == 0 })
		for _, path := range []string{"/reset", "/closed"} {
			if r := p.Await(t, path); r.Status != 499 || r.End != "CQ--" {
				t.Errorf("%s: %d %s, want 499 CQ--", path, r.Status, r.End)
			}
		}
		last := wait(t, p, "/last", 1)
		h.goOn <- struct{}{}
		h.want(t, "/last")
		h.goOn <- struct{}{}
		wantResponse(t, "who has stayed", last.Read("GET"), 200, "held")
	})
}

// A request whose first server cannot be reached waits for the other one.
func TestQueueAfterAnAttempt(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		h := newHeld(t)
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%s, { address: %q, max_requests: 1 }]\neject: { enabled: false }\n",
			testkit.Unusable(t), h.Addr))
		first := testkit.Dial(t, p.Addr)
		first.Send(getOf("/first"))
		h.want(t, "/first")
		second := wait(t, p, "/second", 1)
		h.goOn <- struct{}{}
		h.want(t, "/second")
		h.goOn <- struct{}{}
		wantResponse(t, "the second", second.Read("GET"), 200, "held")
		if r := p.Await(t, "/second"); r.Attempts != 2 || r.Queued != 1 {
			t.Errorf("record %+v, want two attempts and a place", r)
		}
	})
}

// behindAnother is Poise before a server that has as much to do as it may, until release.
func behindAnother(t *testing.T, s testkit.Setup) (p *testkit.Poise, release func()) {
	t.Helper()
	goOn := make(chan struct{})
	server := testkit.Serve(t, testkit.Paths(scripts{
		"/hold": func(p *testkit.Peer, _ string) bool {
			<-goOn
			return p.Send("HTTP/1.1 204 No Content\r\n\r\n") == nil
		},
		"/up": echoBody,
	}))
	p = testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nmax_requests: 1\n", server.Addr))
	first := testkit.Dial(t, p.Addr)
	first.Send(getOf("/hold"))
	testkit.Eventually(t, "request at the server", func() bool { return strings.Contains(server.Got(), "/hold") })
	return p, func() {
		t.Helper()
		close(goOn)
		wantResponse(t, "the first", first.Read("GET"), 204, "")
	}
}

// A request with a body that comes as it goes waits like others, and none of it is lost.
func TestQueueWithBody(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, release := behindAnother(t, s)
		body := string(testkit.Pattern(7, 300<<10))
		c := testkit.Dial(t, p.Addr)
		c.Send(fmt.Sprintf("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:100<<10]))
		testkit.Eventually(t, "upload in the queue", func() bool { return waiting(p) == 1 })
		release()
		c.Send(body[100<<10:])
		if r := c.Read("PUT"); r.StatusCode != 200 || r.Body != body {
			t.Errorf("PUT = %d with %d bytes (%v), want 200 with %d", r.StatusCode, len(r.Body), r.Err, len(body))
		}
	})
}

// A body whose end comes alone, while its request waits, ends at the server too.
func TestQueueWithBodyThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, release := behindAnother(t, s)
		c := testkit.Dial(t, p.Addr)
		c.Send("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		testkit.Eventually(t, "upload in the queue", func() bool { return waiting(p) == 1 })
		c.Send("0\r\n\r\n")
		release()
		wantResponse(t, "the upload", c.Read("PUT"), 200, "")
	})
}

// A drain that ends while requests wait ends them too.
func TestQueueAtTheEnd(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _, _ := queued(t, s, "timeouts: { drain: 50ms }")
		wait(t, p, "/waits", 1)
		if cut := p.App.Drain(); cut < 2 {
			t.Errorf("Drain cut %d connections, want both", cut)
		}
		testkit.Eventually(t, "empty queue", func() bool { return waiting(p) == 0 })
		if r := p.Await(t, "/waits"); r.End[0] != 'K' { // in the queue, or on its way: the other's end may just have given it the slot
			t.Errorf("end %s, want one that says K", r.End)
		}
	})
}

// When all servers are down, they get requests all the same: a probe can be wrong.
func TestFailOpen(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Paths(scripts{
			"/":      testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
			"/probe": testkit.Reply("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
		}))
		for _, tt := range []struct {
			settings string
			status   int
		}{{"", 200}, {"fail_open: { enabled: false }", 503}} {
			p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nhealth: { http: { path: /probe }, interval: 20ms, timeout: 10s, fall: 1 }\n%s\n", server.Addr, tt.settings))
			testkit.Eventually(t, "server that is down", func() bool { return p.App.Status().Pools[0].Servers[0].State == "down" })
			if r := testkit.Dial(t, p.Addr).Get("/"); r.StatusCode != tt.status {
				t.Errorf("with %q GET = %d, want %d", tt.settings, r.StatusCode, tt.status)
			}
		}
	})
}
