package wire

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"poise/internal/testkit"
)

// pair is two servers that take turns at failing: whichever gets a path first does fail with it, and the other answers.
type pair struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
	all  []*testkit.Server
}

func newPair(t *testing.T, fail testkit.Script) *pair {
	p := &pair{seen: map[string]int{}}
	for range 2 {
		p.all = append(p.all, testkit.Serve(t, func(peer *testkit.Peer) {
			for {
				head, err := peer.ReadHead()
				if err != nil {
					return
				}
				if p.count(testkit.PathOf(head)) == 1 {
					if !fail(peer, head) {
						return
					}
				} else if !echoBody(peer, head) {
					return
				}
			}
		}))
	}
	return p
}

func (p *pair) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[path]++
	return p.seen[path]
}

func (p *pair) attempts(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[path]
}

func TestRS9Retries(t *testing.T) {
	t.Parallel()
	const brokeOff = "502 Bad Gateway: the server closed the connection before it answered\n"
	reset := func(p *testkit.Peer, _ string) bool { p.Reset(); return false }
	someBody := func(p *testkit.Peer, _ string) bool { _, _ = p.R.Discard(10); return false }
	stream := strings.Repeat("x", 40<<10)
	tests := []struct {
		name, method, fields, body string
		fail                       testkit.Script
		attempts, status           int
		want                       string
	}{
		{"GET, closed", "GET", "", "", testkit.ReplyAndClose(""), 2, 200, ""},
		{"GET, reset", "GET", "", "", reset, 2, 200, ""},
		{"DELETE, closed", "DELETE", "", "", testkit.ReplyAndClose(""), 2, 200, ""},
		{"PUT with its body at hand, closed", "PUT", "", "abc", testkit.ReplyAndClose(""), 2, 200, "abc"},
		{"OPTIONS, closed", "OPTIONS", "", "", testkit.ReplyAndClose(""), 2, 200, ""},
		{"POST, closed", "POST", "", "abc", testkit.ReplyAndClose(""), 1, 502, brokeOff},
		{"POST, reset", "POST", "", "abc", reset, 1, 502, brokeOff},
		{"POST without a body, closed", "POST", "", "", testkit.ReplyAndClose(""), 1, 502, brokeOff},
		{"POST that claims to be idempotent", "POST", "Idempotency-Key: a\r\nX-Idempotency-Key: a\r\n", "abc", testkit.ReplyAndClose(""), 1, 502, brokeOff},
		{"PATCH, closed", "PATCH", "", "abc", testkit.ReplyAndClose(""), 1, 502, brokeOff},
		{"unknown method, closed", "FROB", "", "", testkit.ReplyAndClose(""), 1, 502, brokeOff},
		{"method in lower case, closed", "get", "", "", testkit.ReplyAndClose(""), 1, 502, brokeOff},
		{"PUT with a body in flight, closed", "PUT", "", stream, someBody, 1, 502, brokeOff},
		{"GET, half a head", "GET", "", "", testkit.ReplyAndClose("HTTP/1.1 200"), 1, 502, badGateway},
		{"GET, malformed", "GET", "", "", testkit.ReplyAndClose("hello\r\n\r\n"), 1, 502, badGateway},
		{"GET, interim response and closed", "GET", "", "", testkit.ReplyAndClose("HTTP/1.1 103 Early Hints\r\n\r\n"), 1, 502, brokeOff},
		{"GET, 503 is an answer", "GET", "", "", testkit.Reply("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"), 1, 503, "no"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := newPair(t, func(p *testkit.Peer, head string) bool { // what the first server to be asked does
			var i int
			_, _ = fmt.Sscanf(testkit.PathOf(head), "/%d", &i)
			return tests[i].fail(p, head)
		})
		p := beforeServers(t, s, servers.all)
		n := 0
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if tt.want == badGateway { // half a head, or none
					s.ServersHTTP1(t)
				}
				n++
				path := fmt.Sprintf("/%d", i)
				c := testkit.Dial(t, p.Addr)
				length := ""
				if tt.body != "" {
					length = fmt.Sprintf("Content-Length: %d\r\n", len(tt.body))
				}
				c.Send(tt.method + " " + path + " HTTP/1.1\r\nHost: a\r\n" + tt.fields + length + "\r\n" + tt.body)
				r := c.Read(tt.method)
				for r.StatusCode < 200 {
					r = c.Read(tt.method)
				}
				wantResponse(t, tt.name, r, tt.status, tt.want)
				if n := servers.attempts(path); n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
			})
		}
		for path, rs := range p.Parsed(t, n) {
			var i int
			_, _ = fmt.Sscanf(path, "/%d", &i)
			if r := rs[0]; len(rs) != 1 || r.Attempts != tests[i].attempts || r.Status != tests[i].status || (r.End == "----") != (r.Status != 502) {
				t.Errorf("%s: records %+v, want one with %d attempts and %d", tests[i].name, rs, tests[i].attempts, tests[i].status)
			}
		}
	})
}

// One more try, and no third.
func TestRS9EveryServerFails(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		var servers []*testkit.Server
		for range 4 {
			servers = append(servers, testkit.Serve(t, testkit.Paths(scripts{"/": testkit.ReplyAndClose("")})))
		}
		p := beforeServers(t, s, servers)
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			wantResponse(t, "GET", c.Get("/"), 502, "502 Bad Gateway: the server closed the connection before it answered\n")
		}
		for _, r := range p.Parsed(t, 3)["/"] {
			if r.Attempts != 2 {
				t.Errorf("%d attempts, want 2", r.Attempts)
			}
		}
	})
}

func TestRS9TimeoutIsNotRepeated(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		silent := func(p *testkit.Peer, _ string) bool { _, _ = p.AwaitEnd(); return false }
		servers := newPair(t, silent)
		p := beforeServers(t, s, servers.all, "timeouts: { response: 150ms }")
		c := testkit.Dial(t, p.Addr)
		r := c.Get("/")
		wantResponse(t, "GET", r, 504, "504 Gateway Timeout: the server did not answer in time\n")
		if r.Close || r.Header.Get("Proxy-Status") != "poise; error=http_response_timeout" {
			t.Errorf("close %v, Proxy-Status %q", r.Close, r.Header.Get("Proxy-Status"))
		}
		testkit.Eventually(t, "request at a server", func() bool { return servers.attempts("/") == 1 })
		c.Send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000))
		wantResponse(t, "POST", c.Read("POST"), 504, "504 Gateway Timeout: the server did not answer in time\n")
		if !s.HTTP2 { // where the rest of the body was taken in
			wantClosed(t, c)
		}
		for path, rs := range p.Parsed(t, 2) {
			if r := rs[0]; r.End != "sH--" || r.Response >= 0 || r.Attempts != 1 {
				t.Errorf("%s: record %+v, want sH-- after one attempt", path, r)
			}
		}
	})
}

// The server closes a kept connection in the very moment in which it is used again.
func TestRS10KeptConnectionClosedWhenUsed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, body string
		reset              bool
		status             int
	}{
		{"GET, closed", "GET", "", false, 200},
		{"GET, reset", "GET", "", true, 200},
		{"PUT, closed", "PUT", "abc", false, 200},
		{"POST, closed", "POST", "abc", false, 502},
		{"POST, reset", "POST", "abc", true, 502},
		{"large POST, closed", "POST", strings.Repeat("x", 50<<10), false, 502},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t) // one request at a time on a connection
		// Each connection answers once, and breaks off when a second request comes on it.
		server := testkit.Serve(t, func(p *testkit.Peer) {
			if head, err := p.ReadHead(); err != nil || !echoBody(p, head) {
				return
			}
			if head, _ := p.ReadHead(); strings.Contains(head, "reset") {
				p.Reset()
			}
		})
		p := beforeServers(t, s, []*testkit.Server{server})
		pathOf := func(i int) string {
			return fmt.Sprintf("/%d-%s", i, strings.Fields(tests[i].name)[len(strings.Fields(tests[i].name))-1])
		}
		want := func(i int) int {
			if tests[i].status == 200 {
				return 2
			}
			return 1
		}
		for i, tt := range tests {
			c := testkit.Dial(t, p.Addr)
			wantResponse(t, "the first GET", c.Get("/first"), 200, "")
			length := ""
			if tt.body != "" {
				length = fmt.Sprintf("Content-Length: %d\r\n", len(tt.body))
			}
			c.Send(tt.method + " " + pathOf(i) + " HTTP/1.1\r\nHost: a\r\n" + length + "\r\n" + tt.body)
			r := c.Read(tt.method)
			if r.StatusCode != tt.status || tt.status == 200 && r.Body != tt.body {
				t.Errorf("%s on a connection that ends = %d %q, want %d", tt.name, r.StatusCode, r.Body, tt.status)
			}
			if n := strings.Count(server.Got(), " "+pathOf(i)+" "); n != want(i) {
				t.Errorf("%s: the server got the request %d times, want %d", tt.name, n, want(i))
			}
		}
		records := p.Parsed(t, 2*len(tests))
		for i, tt := range tests {
			if rs := records[pathOf(i)]; len(rs) != 1 || rs[0].Attempts != want(i) {
				t.Errorf("%s: records %+v, want one with %d attempts", tt.name, rs, want(i))
			}
		}
	})
}

// A server's Keep-Alive says how long it will wait: Poise gives up a second before.
func TestRS10KeepAliveTimeoutOfTheServer(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		p, server := before(t, s, scripts{"/": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1, max=100\r\n\r\nok")})
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			r := c.Get("/")
			wantResponse(t, "GET", r, 200, "ok")
			if r.Header.Get("Keep-Alive") != "" {
				t.Error("the server's Keep-Alive was passed on")
			}
		}
		if n := server.Connections(); n != 3 {
			t.Errorf("%d connections, want 3: a connection that the server may close at once is not kept", n)
		}
	})
}

// A small body is at hand with its head, and can be sent again, whatever the connection has brought before.
func TestRS9RepeatAfterALargeUpload(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := newPair(t, func(p *testkit.Peer, head string) bool {
			if testkit.PathOf(head) == "/large" {
				return echoBody(p, head)
			}
			return testkit.ReplyAndClose("")(p, head)
		})
		p := beforeServers(t, s, servers.all)
		c := testkit.Dial(t, p.Addr)
		for _, tt := range []struct {
			path string
			size int
		}{{"/large", 1 << 20}, {"/small", 6000}, {"/less", 10_000}} {
			body := strings.Repeat("a", tt.size)
			c.Send(fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", tt.path, tt.size, body))
			wantResponse(t, "PUT "+tt.path, c.Read("PUT"), 200, body)
		}
	})
}

// A body that begins to come in the very moment in which its server breaks off is lost to nobody: where the request is sent again, all of it is.
func TestRS9BodyThatBeginsAsItsServerEnds(t *testing.T) {
	t.Parallel()
	const requests = 40
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := newPair(t, func(p *testkit.Peer, _ string) bool { p.Reset(); return false })
		p := beforeServers(t, s, servers.all)
		body := string(testkit.Pattern(7, 40<<10))
		for i := range requests {
			path := fmt.Sprintf("/%d", i)
			c := testkit.Dial(t, p.Addr)
			c.Send(fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, len(body)))
			// The server resets when it has the head: now, as far as can be told from here.
			for servers.attempts(path) == 0 {
				runtime.Gosched()
			}
			c.Send(body)
			r := c.Read("PUT")
			switch {
			case r.StatusCode == 502: // the body was under way already
			case r.StatusCode != 200 || r.Body != body:
				t.Fatalf("PUT %s = %d with %d bytes, want 502, or 200 and all %d bytes", path, r.StatusCode, len(r.Body), len(body))
			}
			_ = c.Close()
		}
	})
}
