package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

// upgradedBefore starts Poise before a server that takes every upgrade and then does what serve says, with further settings.
func upgradedBefore(t *testing.T, s testkit.Setup, serve func(p *testkit.Peer), settings ...string) (*testkit.Poise, *testkit.Server) {
	t.Helper()
	server := testkit.Serve(t, func(p *testkit.Peer) {
		head, err := p.ReadHead()
		if err != nil {
			return
		}
		_ = p.Send(wsTake(head))
		serve(p)
	})
	return beforeServers(t, s, []*testkit.Server{server}, settings...), server
}

// sendBack sends back what comes, and the end behind it.
func sendBack(p *testkit.Peer) { _, _ = io.Copy(p.Conn, p.R) }

// switched is a client whose connection was upgraded.
func switched(t *testing.T, p *testkit.Poise) *testkit.Client {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	c.Send(wsAsk("/ws"))
	if r := c.Read("GET"); r.StatusCode != 101 {
		t.Fatalf("upgrade = %d %q, want 101", r.StatusCode, r.Body)
	}
	return c
}

// slow skips a test that takes its time over one of two setups that differ in the number of loops only: both connections of a relay are of one loop.
func slow(t *testing.T, s testkit.Setup) {
	t.Helper()
	if s.Loops == 2 && s.String() == fmt.Sprintf("%s/%d", s.Driver, s.Loops) {
		t.Skip("is run with one loop")
	}
}

// wantEcho sends a text and wants it back.
func wantEcho(t *testing.T, c *testkit.Client, text string) {
	t.Helper()
	c.Send(text)
	b := make([]byte, len(text))
	if n, err := io.ReadFull(c.R, b); err != nil || string(b) != text {
		t.Fatalf("%q came back as %q (%v)", text, b[:n], err)
	}
}

// wantEnd wants the record of the upgraded exchange to end so.
func wantEnd(t *testing.T, p *testkit.Poise, end, reason string) testkit.Record {
	t.Helper()
	r := p.Await(t, "/ws")
	if r.Status != 101 || r.End != end || !strings.Contains(r.Reason, reason) {
		t.Errorf("record: %d %s %q, want 101 %s with %q", r.Status, r.End, r.Reason, end, reason)
	}
	return r
}

// An upgraded connection passes bytes on both ways, each side's end too, and the other way goes on.
func TestUpgradeHalfClose(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			head, err := p.ReadHead()
			if err != nil {
				return
			}
			_ = p.Send(wsTake(head) + "first ")
			if testkit.PathOf(head) == "/server-first" {
				_ = p.CloseWrite()
			}
			rest, err := p.AwaitEnd()
			if err != nil || rest != "early late" {
				t.Errorf("server got %q, %v", rest, err)
			}
			_ = p.Send("got " + rest)
		})
		p := beforeServers(t, s, []*testkit.Server{server})
		for path, want := range map[string]string{"/ws": "first got early late", "/server-first": "first "} {
			c := testkit.Dial(t, p.Addr)
			c.Send(wsAsk(path) + "early ")
			r := c.Read("GET")
			if r.StatusCode != 101 || r.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
				t.Fatalf("answer %d %v", r.StatusCode, r.Header)
			}
			if path == "/ws" {
				c.Send("late")
				_ = c.CloseWrite()
			}
			if rest, clean := c.Closed(); rest != want || !clean {
				t.Errorf("client got %q, clean %v, want %q", rest, clean, want)
			}
			if path != "/ws" {
				c.Send("late")
				_ = c.CloseWrite()
			}
			record := p.Await(t, path)
			if record.Status != 101 || record.End != "----" || record.BytesIn != int64(len(wsAsk(path)+"early late")) || record.BytesOut <= int64(len(want)) {
				t.Errorf("record %+v", record)
			}
		}
	})
}

// A reset of either side is passed on as one: the other must not take it for an end.
func TestUpgradeReset(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		for _, client := range []bool{true, false} {
			ends := make(chan error, 1)
			begin := make(chan struct{})
			p, _ := upgradedBefore(t, s, func(p *testkit.Peer) {
				if !client {
					<-begin
					p.Reset()
					return
				}
				_, err := p.AwaitEnd()
				ends <- err
			})
			c := switched(t, p)
			if client {
				c.ResetConn()
				if err := <-ends; err == nil {
					t.Error("the server sees an end in good order, want a reset")
				}
				wantEnd(t, p, "CD--", "client: relay: reset")
				continue
			}
			close(begin)
			if rest, clean := c.Closed(); rest != "" || clean {
				t.Errorf("client got %q, clean %v, want a reset", rest, clean)
			}
			wantEnd(t, p, "SD--", "server: relay: reset")
		}
	})
}

// Nothing may move for relay_idle, but one way that moves keeps the other.
func TestUpgradeIdle(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			head, err := p.ReadHead()
			if err != nil {
				return
			}
			_ = p.Send(wsTake(head))
			for range 9 {
				_ = p.Send("x")
				time.Sleep(30 * time.Millisecond)
			}
			_, _ = p.AwaitEnd()
		})
		p := beforeServers(t, s, []*testkit.Server{server}, "timeouts: { relay_idle: 200ms }")
		begun := time.Now()
		c := switched(t, p)
		if rest, clean := c.Closed(); rest != strings.Repeat("x", 9) || !clean {
			t.Errorf("client got %q, clean %v", rest, clean)
		}
		if d := time.Since(begun); d < 400*time.Millisecond {
			t.Errorf("it was idle after %v", d)
		}
		wantEnd(t, p, "cD--", "timed out")
	})
}

// A drain waits for an upgraded connection until its time is up, and then cuts it.
func TestUpgradeDrain(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		p, _ := upgradedBefore(t, s, sendBack, "timeouts: { drain: 150ms }")
		c := switched(t, p)
		cut := make(chan int)
		go func() { cut <- p.App.Drain() }()
		for begun := time.Now(); time.Since(begun) < 80*time.Millisecond; {
			wantEcho(t, c, "still there")
		}
		if rest, _ := c.Closed(); rest != "" {
			t.Errorf("client got %q", rest)
		}
		if n := <-cut; n != 1 {
			t.Errorf("Drain cut %d, want 1", n)
		}
		wantEnd(t, p, "KD--", "cancelled")
	})
}

// An upgraded connection that ends lets the drain end.
func TestUpgradeEndsDrain(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		p, _ := upgradedBefore(t, s, sendBack)
		c := switched(t, p)
		cut := make(chan int)
		go func() { cut <- p.App.Drain() }()
		wantEcho(t, c, "still there")
		_ = c.CloseWrite()
		if n := <-cut; n != 0 {
			t.Errorf("Drain cut %d, want 0", n)
		}
	})
}

// An upgraded connection holds a slot of its server, and is counted, while it lasts.
func TestUpgradeHoldsSlot(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				head, err := p.ReadHead()
				if err != nil {
					return
				}
				if testkit.PathOf(head) == "/ws" {
					_ = p.Send(wsTake(head))
					sendBack(p)
					return
				}
				_ = p.Send(testkit.OK)
			}
		})
		socket := t.TempDir() + "/admin.sock"
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ name: l, address: 127.0.0.1:0, pool: p }]
pools: { p: { servers: [{ address: %s, max_requests: 1, max_connections: 1 }] } }
admin: { address: "unix:%s" }
`, server.Addr, socket))
		gauge := func() int { return metric(t, socket, `poise_route_upgraded_requests{listener="l",route="l"}`) }
		c := switched(t, p)
		wantEcho(t, c, "a word")
		if n := gauge(); n != 1 {
			t.Errorf("%d upgraded, want 1", n)
		}
		other := testkit.Dial(t, p.Addr)
		other.Send(getOf("/other"))
		testkit.Eventually(t, "waiting request", func() bool { return waiting(p) == 1 })
		wantEcho(t, c, "another")
		_ = c.CloseWrite()
		wantResponse(t, "the request that waited", other.Read("GET"), 200, "ok")
		if n := gauge(); n != 0 {
			t.Errorf("%d upgraded afterwards, want 0", n)
		}
	})
}

// Neither an order for its server nor what becomes of the server's health ends an upgraded connection.
func TestUpgradeOutlastsState(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		var sick atomic.Bool
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				head, err := p.ReadHead()
				switch {
				case err != nil || sick.Load():
					return
				case testkit.PathOf(head) == "/ws":
					_ = p.Send(wsTake(head))
					sendBack(p)
					return
				}
				_ = p.Send(testkit.OK)
			}
		})
		socket := t.TempDir() + "/admin.sock"
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ name: l, address: 127.0.0.1:0, pool: p }]
pools: { p: { servers: [%s], health: { http: { path: / }, interval: 20ms, fall: 1, rise: 1 } } }
admin: { address: "unix:%s" }
`, server.Addr, socket))
		state := func() string { return p.App.Status().Pools[0].Servers[0].State }
		testkit.Eventually(t, "server that is up", func() bool { return state() == "up" })
		c := switched(t, p)
		for _, order := range []string{"drain", "maint", "ready"} {
			resp, err := adminAt(socket).Post("http://localhost/v1/pools/p/servers/"+server.Addr, "application/json", strings.NewReader(`{"state":"`+order+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Fatalf("the order %s has status %d", order, resp.StatusCode)
			}
			wantEcho(t, c, order)
		}
		sick.Store(true)
		testkit.Eventually(t, "server that is down", func() bool { return state() == "down" })
		wantEcho(t, c, "still there")
	})
}

// Protocols that the configuration names are relayed too, without a look at more than their names.
func TestUpgradeToOthers(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			if head, err := p.ReadHead(); err == nil {
				_ = p.Send("HTTP/1.1 101 Fine\r\nUpgrade: " + testkit.FieldsOf(head, "Upgrade")[0] + "\r\nConnection: Upgrade\r\n\r\n")
				sendBack(p)
			}
		})
		p := testkit.Start(t, s, "listeners: [{ address: 127.0.0.1:0, pool: p, upgrades: [Other/1] }]\npools: { p: { servers: ["+server.Addr+"] } }\n")
		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/", "Connection: upgrade", "Upgrade: other/1"))
		if r := c.Read("GET"); r.StatusCode != 101 || r.Header.Get("Upgrade") != "other/1" {
			t.Fatalf("answer %d %v", r.StatusCode, r.Header)
		}
		wantEcho(t, c, "a word")
	})
}

// A client that reads nothing stops its server, and holds little memory; nothing is lost.
func TestUpgradeBackPressure(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		const size = 16 << 20 // more than the sockets' buffers hold
		data := testkit.Pattern(1, size)
		sent := make(chan struct{})
		p, _ := upgradedBefore(t, s, func(p *testkit.Peer) {
			_ = p.TCP.SetWriteBuffer(64 << 10)
			_ = p.Send(string(data))
			close(sent)
		})
		c := switched(t, p)
		_ = c.SetReadBuffer(64 << 10)
		select {
		case <-sent:
			t.Error("the server could send all although nobody reads")
		case <-time.After(200 * time.Millisecond):
		}
		for i, l := range p.App.Loops() {
			if l.HeadBuffers > 16 || l.BodyBuffers > 4 {
				t.Errorf("loop %d holds %d and %d buffers", i, l.HeadBuffers, l.BodyBuffers)
			}
		}
		if rest, clean := c.Closed(); !bytes.Equal([]byte(rest), data) || !clean {
			t.Errorf("%d bytes came, cleanly %v, want %d", len(rest), clean, size)
		}
	})
}

// A flood of small pieces both ways leaves others their turn.
func TestUpgradeFlood(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				head, err := p.ReadHead()
				if err != nil {
					return
				}
				if testkit.PathOf(head) == "/ws" {
					_ = p.Send(wsTake(head))
					sendBack(p)
					return
				}
				_ = p.Send(testkit.OK)
			}
		})
		p := beforeServers(t, s, []*testkit.Server{server})
		c := switched(t, p)
		_ = c.SetNoDelay(true)
		const pieces = 5000
		got := make(chan string)
		go func() {
			rest, _ := c.Closed()
			got <- rest
		}()
		other := testkit.Dial(t, p.Addr)
		for i := range pieces {
			c.Send(fmt.Sprintf("%4d", i))
			if i%1000 == 0 {
				wantResponse(t, "a neighbour's request", other.Get("/other"), 200, "ok")
			}
		}
		_ = c.CloseWrite()
		rest := <-got
		for i := range pieces {
			if len(rest) < 4*i+4 || rest[4*i:4*i+4] != fmt.Sprintf("%4d", i) {
				t.Fatalf("piece %d of %d bytes is wrong", i, len(rest))
			}
		}
	})
}

// An end that TLS was not told of is passed on as one, since many clients leave so, but the record tells.
func TestUpgradeUnannouncedEnd(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		if !s.TLS {
			t.Skip("needs clients over TLS")
		}
		ends := make(chan error, 1)
		p, _ := upgradedBefore(t, s, func(p *testkit.Peer) {
			rest, err := p.AwaitEnd()
			if rest != "last words" {
				t.Errorf("the server got %q", rest)
			}
			ends <- err
		})
		c := switched(t, p)
		c.Send("last words")
		_ = c.TCPConn.CloseWrite()
		if err := <-ends; err != nil {
			t.Errorf("the server sees %v, want an end in good order", err)
		}
		wantEnd(t, p, "CD--", "client: relay: failed: unexpected EOF")
	})
}
