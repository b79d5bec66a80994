package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/pool"
	"poise/internal/proxy"
	"poise/internal/route"
	"poise/internal/stats"
	"poise/internal/sys"
	"poise/internal/testkit"
	"poise/internal/upstream"
)

// one runs f over every driver with one loop.
func one(t *testing.T, f func(t *testing.T, s testkit.Setup)) {
	for _, d := range testkit.Drivers(t) {
		t.Run(d, func(t *testing.T) { f(t, testkit.Setup{Driver: d, Loops: 1}) })
	}
}

// The body of a request that no route matches must never be read as the next request.
func TestBodyWithoutRouteIsNoRequest(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		p := testkit.Start(t, s, `
listeners:
  - address: 127.0.0.1:0
    routes:
      - match: { path: /app/* }
        pool: app
pools:
  app: { servers: [`+server.Addr+`] }
`)
		c := testkit.Dial(t, p.Addr)
		smuggled := "GET /app/smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"
		c.Send(fmt.Sprintf("POST /none HTTP/1.1\r\nHost: example.test\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled))
		if r := c.Read("POST"); r.StatusCode != 404 {
			t.Fatalf("POST /none = %d, want 404", r.StatusCode)
		}
		_ = c.CloseWrite()
		if rest := c.Rest(); rest != "" || strings.Contains(server.Got(), "smuggled") {
			t.Errorf("the body was served as a request: server got %q, client got %q", server.Got(), rest)
		}
	})
}

// A client must not be able to take the receive buffers of its loop by sending small packets while its request is at work.
func TestPipelinedBytesStarveTheLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	s := testkit.Setup{Driver: "io_uring", Loops: 1}
	release := make(chan struct{})
	server := testkit.Serve(t, testkit.Paths(map[string]testkit.Script{
		"/hang": func(p *testkit.Peer, _ string) bool { <-release; return false },
	}))
	defer close(release)
	p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\n")
	bad := testkit.Dial(t, p.Addr)
	bad.Send("GET /hang HTTP/1.1\r\nHost: example.test\r\n\r\n")
	testkit.Eventually(t, "request", func() bool { return strings.Contains(server.Got(), "/hang") })
	for range 40000 { // each in a packet of its own; some are received together
		bad.Send("x")
		for range 6000 {
			_ = atomic.AddInt64(&spin, 1)
		}
	}
	good, err := net.DialTimeout("tcp", p.Addr, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	_ = good.SetDeadline(time.Now().Add(3 * time.Second))
	_, _ = io.WriteString(good, "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
	if n, err := good.Read(make([]byte, 100)); err != nil {
		t.Errorf("another client got %d bytes, %v: one client holds all receive buffers", n, err)
	}
}

var spin int64

// What is cut at the end of a drain gets what the server sent, or less, but nothing else.
func TestCutSendsNothingForeign(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			if _, err := p.ReadHead(); err != nil {
				return
			}
			if p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n") != nil {
				return
			}
			for p.Send(string(body)) == nil {
			}
		})
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\ntimeouts: { drain: 300ms }\n")
		foreign := make(chan int, 16)
		for range 16 {
			c := testkit.Dial(t, p.Addr)
			c.Send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
			go func() {
				n, buf := 0, make([]byte, 256<<10)
				for {
					k, err := c.TCPConn.Read(buf)
					n += bytes.Count(buf[:k], []byte{0xdb})
					if err != nil {
						foreign <- n
						return
					}
				}
			}()
		}
		if cut := p.App.Drain(); cut != 16 {
			t.Errorf("Drain cut %d, want 16", cut)
		}
		for range 16 {
			if n := <-foreign; n > 0 {
				t.Errorf("a client got %d bytes of memory that was given back", n)
			}
		}
	})
}

// Stop loses no record of the exchanges that it cuts.
func TestStopLogsWhatItCuts(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, func(p *testkit.Peer) { _, _ = p.ReadHead(); _, _ = p.ReadHead() })
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\n")
		c := testkit.Dial(t, p.Addr)
		c.Send("GET /cut HTTP/1.1\r\nHost: example.test\r\n\r\n")
		testkit.Eventually(t, "request", func() bool { return strings.Contains(server.Got(), "/cut") })
		p.App.Stop()
		if n := len(p.Records(t, 1)); n != 1 {
			t.Errorf("%d records, want 1", n)
		}
	})
}

// idle_per_server: 0 keeps no connection.
func TestKeepNone(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\nlimits: { idle_per_server: 0 }\n")
		c := testkit.Dial(t, p.Addr)
		c.Get("/")
		c.Get("/")
		if n := server.Connections(); n != 2 {
			t.Errorf("two requests took %d connections, want 2: none is to be kept", n)
		}
	})
}

// A client that takes little at a time, but takes, is not cut.
func TestSlowReaderMakesProgress(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		const size, write = 32 << 20, 300 * time.Millisecond
		server := testkit.Serve(t, testkit.Answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))))
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\ntimeouts: { write: %v }\n", server.Addr, write))
		for range 5 {
			got, pause := readSlowly(t, p.Addr, size)
			if got == size {
				return
			}
			// A client whose process got no processor for so long has taken nothing, and is cut with good reason.
			if pause < write/2 {
				t.Fatalf("cut after %d bytes, with %v at most between two reads", got, pause)
			}
		}
		t.Skip("the machine is too busy for a client that never pauses")
	})
}

// readSlowly reads an answer at 50 KB a second for 3 seconds, and then as fast as it can. It returns how many bytes of the body came, and the longest
// time between two reads.
func readSlowly(t *testing.T, addr string, size int) (got int, pause time.Duration) {
	t.Helper()
	d := net.Dialer{Control: smallBuffer}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * testkit.Patience))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
	r := bufio.NewReaderSize(c, 1024)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 64<<10)
	last := time.Now()
	for i := 0; got < size; i++ {
		piece := buf
		if i < 150 {
			<-tick.C
			piece = buf[:1024]
		}
		n, err := resp.Body.Read(piece)
		got += n
		pause, last = max(pause, time.Since(last)), time.Now()
		if err != nil {
			break
		}
	}
	return got, pause
}

// rig is a proxy on a loop that a test can hold up.
type rig struct {
	loop  *fiber.Loop
	addr  string
	stats *stats.Loop
	pool  *pool.Pool
}

func newRig(t *testing.T, driver, server string, tm route.Timeouts) *rig {
	t.Helper()
	policy, _ := balance.ByName("round_robin")
	return newRigWith(t, driver, server, tm, policy)
}

func newRigWith(t *testing.T, driver, server string, tm route.Timeouts, policy pool.Policy) *rig {
	t.Helper()
	return newRigThatRetries(t, driver, server, tm, policy, route.Retry{Attempts: 4, Repeats: 1, Connect: true, Reset: true})
}

func newRigThatRetries(t *testing.T, driver, server string, tm route.Timeouts, policy pool.Policy, again route.Retry) *rig {
	t.Helper()
	l, _, err := fiber.Start(0, fiber.Config{Driver: driver, Poison: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	pl := pool.New(clock.Now(), pool.Spec{
		Name: "p", Policy: policy, Servers: []pool.ServerSpec{{Address: server, Weight: 1}}, Budget: pool.Budget{Share: 20}, Loops: 1,
	})
	table, _, err := route.Build([]route.Listener{{Name: "l", Routes: []route.Spec{{Route: route.Route{Name: "r", Pool: pl, Timeouts: tm, Retry: again}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var ptr atomic.Pointer[route.Table]
	ptr.Store(table)
	cfg := &proxy.Config{Table: &ptr, Limits: &proxy.Limits{}, Spread: proxy.NewSpread(1), Loops: 1, IdlePerServer: 10, Upstream: upstream.NewPeers(1)}
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, true)
	if err != nil {
		t.Fatal(err)
	}
	addr := sys.LocalAddr(fd).String()
	st := &stats.Loop{}
	l.Call(func() {
		err = proxy.New(l, cfg, st, nil).Listen(&proxy.Listener{Name: "l", Timeouts: tm}, fd)
	})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{l, addr, st, pl}
}

// hold stops the loop until the returned function is called.
func (r *rig) hold() func() {
	held, release := make(chan struct{}), make(chan struct{})
	r.loop.Post(func() { close(held); <-release })
	<-held
	return func() { close(release) }
}

// An upload that was stopped before it began does not wait for its client.
func TestStoppedUploadDoesNotWait(t *testing.T) {
	for _, d := range testkit.Drivers(t) {
		t.Run(d, func(t *testing.T) {
			quit := make(chan struct{})
			server := testkit.Serve(t, func(p *testkit.Peer) {
				if p.Number > 1 {
					for {
						head, err := p.ReadHead()
						if err != nil {
							return
						}
						if strings.HasPrefix(head, "PUT") {
							_ = p.Send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
							return
						}
					}
				}
				_, _ = p.ReadHead()
				_ = p.Send(testkit.OK)
				<-quit // then the FIN
			})
			tm := route.Timeouts{Connect: time.Second, Head: 5 * time.Second, BodyIdle: 4 * time.Second, Write: 5 * time.Second, Response: 5 * time.Second, Idle: 30 * time.Second, ServerIdle: 30 * time.Second}
			r := newRig(t, d, server.Addr, tm)
			c := testkit.Dial(t, r.addr)
			c.Get("/warm")
			release := r.hold()
			c.Send("PUT / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 100000\r\n\r\n") // first in the queue of what happens
			<-time.After(50 * time.Millisecond)
			close(quit) // second: the kept connection ends
			<-time.After(50 * time.Millisecond)
			began := time.Now()
			release()
			resp := c.Read("PUT")
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the answer %d came after %v", resp.StatusCode, took)
			}
		})
	}
}

// A server that answers and reads no more ends the client's connection only where a part of the body is still to come; and then the client is told.
func TestAnswerAmidUploadKeepsItsWord(t *testing.T) {
	for _, d := range testkit.Drivers(t) {
		t.Run(d, func(t *testing.T) {
			quit := make(chan struct{})
			server := testkit.Serve(t, func(p *testkit.Peer) {
				for {
					head, err := p.ReadHead()
					if err != nil {
						return
					}
					if strings.HasPrefix(head, "PUT") {
						<-quit
						_ = p.Send("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
						return // a reset, since there are bytes that it has not read
					}
					_ = p.Send(testkit.OK)
				}
			})
			tm := route.Timeouts{Connect: time.Second, Head: 5 * time.Second, BodyIdle: 4 * time.Second, Write: 5 * time.Second, Response: 5 * time.Second, Idle: 30 * time.Second, ServerIdle: 30 * time.Second}
			r := newRig(t, d, server.Addr, tm)
			c := testkit.Dial(t, r.addr)
			c.Send("PUT / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 20_000))
			testkit.Eventually(t, "first half at the server", func() bool { return strings.Contains(server.Got(), "PUT") })
			<-time.After(50 * time.Millisecond)
			release := r.hold()
			c.Send(strings.Repeat("x", 20_000)) // first in the queue of what happens
			<-time.After(50 * time.Millisecond)
			close(quit) // second: the answer and the reset
			<-time.After(50 * time.Millisecond)
			release()
			resp := c.Read("PUT")
			if resp.StatusCode != 403 {
				t.Fatalf("status %d, want 403", resp.StatusCode)
			}
			if resp.Close {
				t.Fatal("the connection ends, though the whole body has come")
			}
			if resp := c.Get("/next"); resp.StatusCode != 200 {
				t.Errorf("the next request on the connection got %d, want 200", resp.StatusCode)
			}
		})
	}
}

// Where a part of the body is still to come and the server is known to take no more, the client is told that its connection ends, whatever the status.
func TestAnswerAmidUploadSaysThatItEnds(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		quit := make(chan struct{})
		server := testkit.Serve(t, func(p *testkit.Peer) {
			if _, err := p.ReadHead(); err != nil {
				return
			}
			<-quit
			_ = p.Send(testkit.OK)
		})
		tm := route.Timeouts{Connect: time.Second, Head: 5 * time.Second, BodyIdle: 4 * time.Second, Write: 5 * time.Second, Response: 5 * time.Second, Idle: 30 * time.Second, ServerIdle: 30 * time.Second}
		r := newRig(t, s.Driver, server.Addr, tm)
		c := testkit.Dial(t, r.addr)
		c.Send("PUT / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 20_000))
		testkit.Eventually(t, "first third at the server", func() bool { return strings.Contains(server.Got(), "PUT") })
		<-time.After(50 * time.Millisecond)
		release := r.hold()
		c.Send(strings.Repeat("x", 20_000))
		<-time.After(50 * time.Millisecond)
		close(quit) // the answer, and a reset, since there are bytes that the server has not read
		<-time.After(50 * time.Millisecond)
		release()
		resp := c.Read("PUT")
		if known := s.Driver != "net"; resp.StatusCode != 200 || (known && !resp.Close) { // there the news of the answer may overtake that of the reset
			t.Errorf("status %d, and the connection ends: %t; want 200, and true", resp.StatusCode, resp.Close)
		}
		c.Send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
		if rest := c.Rest(); rest != "" || strings.Contains(server.Got(), "smuggled") {
			t.Errorf("the body's rest was taken for a request: %q", rest)
		}
	})
}
