package wire

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// drip sends a byte, waits a little for an answer, and so on until one comes or all is sent.
func drip(c *testkit.Client, s string) {
	for i := range s {
		c.Send(s[i : i+1])
		if !c.Quiet(10 * time.Millisecond) {
			return
		}
	}
}

const slowHead = "408 Request Timeout: the request's head came too slowly\n"

func TestRX1SlowHead(t *testing.T) {
	t.Parallel()
	const deadline = 150 * time.Millisecond
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t) // bytes of a head
		p, server := before(t, s, nil, "timeouts: { request_head: 150ms, idle: 10s }")
		tests := []struct{ name, first, rest string }{
			{"a byte at a time", "", "GET /slow HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 90)},
			{"after the request line", "GET /slow HTTP/1.1\r\n", strings.Repeat("X: y\r\n", 90)},
			{"stalled", "GET /slow HTTP/1.1\r\nHost: a\r\n", ""},
			{"on a connection that was used", "used", "GET /slow HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 90)},
			{"behind a pipelined request", "pipelined", strings.Repeat("X: y\r\n", 90)},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				c := testkit.Dial(t, p.Addr)
				switch tt.first {
				case "used":
					wantOpen(t, c)
				case "pipelined":
					c.Send(getOf("/next") + "GET /slow HTTP/1.1\r\n")
					wantResponse(t, "GET", c.Read("GET"), 200, "ok")
				default:
					c.Send(tt.first)
				}
				begin := time.Now()
				drip(c, tt.rest)
				r := c.Read("GET")
				wantResponse(t, tt.name, r, 408, slowHead)
				if d := time.Since(begin); !r.Close || d < deadline-50*time.Millisecond || d > deadline+time.Second {
					t.Errorf("refused after %v, close %v, want %v in all, however the bytes come", d, r.Close, deadline)
				}
				wantClosed(t, c)
			})
		}
		t.Run("nothing said", func(t *testing.T) {
			t.Parallel()
			c := testkit.Dial(t, p.Addr)
			begin := time.Now()
			wantClosed(t, c) // silently: there is no request
			if d := time.Since(begin); d > deadline+time.Second {
				t.Errorf("closed after %v, want %v", d, deadline)
			}
		})
		t.Cleanup(func() { // when the parallel ones have ended
			if strings.Contains(server.Got(), "/slow") {
				t.Error("half a head was passed on")
			}
			n := 0
			for _, r := range p.Parsed(t, len(tests)+2)[""] {
				if r.Status != 408 || r.End != "cR--" {
					t.Errorf("record %+v, want 408, cR--", r)
				}
				n++
			}
			if n != len(tests) {
				t.Errorf("%d records of slow heads, want %d", n, len(tests))
			}
		})
	})
}

func TestRX1IdleConnections(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, nil, "timeouts: { idle: 150ms }")
		c := testkit.Dial(t, p.Addr)
		wantOpen(t, c)
		begin := time.Now()
		wantClosed(t, c)
		if d := time.Since(begin); d < 100*time.Millisecond || d > 2*time.Second {
			t.Errorf("an idle connection was closed after %v, want 150ms", d)
		}
		p.Parsed(t, 1)
	})
}

// One address may not take all connections; what it holds too much of is closed at once, and others are served.
func TestRX1ConnectionsPerClient(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, nil, "limits: { connections_per_client: 5 }")
		var clients []*testkit.Client
		for range 5 {
			c := testkit.Dial(t, p.Addr)
			wantOpen(t, c)
			clients = append(clients, c)
		}
		for range 3 {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/x"))
			if rest, _ := c.Closed(); rest != "" {
				t.Errorf("a connection too many got %q", rest)
			}
		}
		other := dialFrom(t, "127.0.0.2", p.Addr)
		wantOpen(t, other)
		wantOpen(t, clients[0])
		_ = clients[1].Close()
		testkit.Eventually(t, "room for another", func() bool {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/next"))
			r, err := c.TryRead("GET")
			return err == nil && r.StatusCode == 200
		})
	})
}

// dialFrom is testkit.Dial from another address of this machine.
func dialFrom(t *testing.T, from, addr string) *testkit.Client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: testkit.Patience}
	return testkit.DialWith(t, &d, addr)
}

// At the limit nothing more is accepted: who comes waits, and is served when somebody leaves.
func TestRX1ConnectionsInAll(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
		p, _ := before(t, s, nil, "limits: { connections: 4, connections_per_client: 100 }")
		var clients []*testkit.Client
		for range 4 {
			c := testkit.Dial(t, p.Addr)
			wantOpen(t, c)
			clients = append(clients, c)
		}
		var waiting []*testkit.Client
		for range 40 {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/waits"))
			waiting = append(waiting, c)
		}
		_ = waiting[len(waiting)-1].Quiet(50 * time.Millisecond)
		for _, c := range waiting {
			if !c.Quiet(time.Millisecond) {
				t.Error("a connection beyond the limit of 4 was served")
			}
		}
		// They take few descriptors meanwhile: on each loop the one by which it learns of the limit, and the eight that the net driver takes ahead.
		if n, most := p.App.Status().Listeners[0].Connections, int64(4+9*s.Loops); n > most {
			t.Errorf("%d connections are accepted, want %d at most", n, most)
		}
		for _, c := range clients {
			wantOpen(t, c)
			_ = c.Close()
		}
		var wg sync.WaitGroup
		for _, c := range waiting {
			wg.Go(func() {
				r, err := c.TryRead("GET")
				if err != nil || r.StatusCode != 200 {
					t.Errorf("who waited got %v (%v), want 200", r, err)
				}
				_ = c.Close()
			})
		}
		wg.Wait()
	})
}

func TestRX2SlowBody(t *testing.T) {
	t.Parallel()
	const slowBody = "408 Request Timeout: the request's body came too slowly\n"
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		ends := make(chan error, 8)
		read := func(p *testkit.Peer, head string) bool {
			_, err := p.BodyOf(head)
			ends <- err
			return false
		}
		server := testkit.Serve(t, testkit.Paths(scripts{"/stall": read, "/stallchunk": read, "/drip": read, "/none": read}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - name: web
    address: 127.0.0.1:0
    pool: app
    timeouts: { body_idle: 150ms }
    routes: [{ match: { path: /drip }, pool: app, timeouts: { request: 300ms, body_idle: 10s } }]
pools: { app: { servers: [%s] } }
`, server.Addr))
		tests := []struct {
			name, path, request, drip string
			least                     time.Duration
		}{
			{"stalled", "/stall", "POST /stall HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc", "", 150 * time.Millisecond},
			{"stalled within a chunk", "/stallchunk", "POST /stallchunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "", 150 * time.Millisecond},
			{"nothing of it", "/none", "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n", "", 150 * time.Millisecond},
			{"a byte at a time", "/drip", "POST /drip HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", strings.Repeat("x", 500), 300 * time.Millisecond},
		}
		var clients []*testkit.Client
		begin := time.Now()
		for _, tt := range tests {
			c := testkit.Dial(t, p.Addr)
			c.Send(tt.request)
			clients = append(clients, c)
		}
		for i, tt := range slices.Backward(tests) { // the one that drips first
			c := clients[i]
			drip(c, tt.drip)
			r := c.Read("POST")
			wantResponse(t, tt.name, r, 408, slowBody)
			if d := time.Since(begin); !saysClose(s, r) || d < tt.least || d > tt.least+2*time.Second {
				t.Errorf("%s: refused after %v, close %v, want %v", tt.name, d, r.Close, tt.least)
			}
			wantClosed(t, c)
			if err := <-ends; err == nil {
				t.Errorf("%s: the server got a complete body", tt.name)
			}
		}
		wantOpen(t, testkit.Dial(t, p.Addr))
		for path, rs := range p.Parsed(t, len(tests)+1) {
			if r := rs[0]; path != "/next" && (r.Status != 408 || r.End != "cH--") {
				t.Errorf("%s: record %+v, want 408, cH--", path, r)
			}
		}
	})
}
