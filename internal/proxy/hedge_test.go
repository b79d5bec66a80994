package proxy_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/pool"
	"poise/internal/route"
	"poise/internal/stats"
	"poise/internal/testkit"
)

// inOrder is a policy by which the first server is asked first, and the second one only after it.
type inOrder struct{}

func (inOrder) Build(servers []*pool.Server, _ int) pool.Picker { return inOrderPicker(servers) }

type inOrderPicker []*pool.Server

func (p inOrderPicker) Pick(q *pool.Query) *pool.Server {
	for _, s := range p {
		if !q.Skips(s) {
			return s
		}
	}
	return nil
}

// hedgeRig is how a rig hedges. Its servers are asked in their order.
type hedgeRig struct {
	after    time.Duration // the time until a second server is asked
	response time.Duration // timeouts.response
	retry    route.Retry   // zero: one repeat
}

func (h hedgeRig) start(t *testing.T, driver string, servers ...string) *rig {
	t.Helper()
	if h.retry.Attempts == 0 {
		h.retry = route.Retry{Attempts: 4, Repeats: 1, Connect: true, Reset: true}
	}
	tm := route.Timeouts{Connect: 8 * time.Second, Head: 5 * time.Second, Write: 5 * time.Second, Idle: time.Minute, ServerIdle: time.Minute, Response: h.response}
	r := newRigThatRetries(t, driver, servers[0], tm, inOrder{}, h.retry)
	spec := pool.Spec{Name: "p", Policy: inOrder{}, Budget: pool.Budget{Share: 20}, Hedge: pool.Hedge{Quantile: 95, Least: h.after}, Loops: 1}
	spec.Eject = pool.Eject{Failures: 1, MaxShare: 100, ReportOnly: true} // so that a Tick names those that failed
	for _, address := range servers {
		spec.Servers = append(spec.Servers, pool.ServerSpec{Address: address, Weight: 1})
	}
	r.pool.Configure(clock.Now(), spec)
	r.loop.Call(func() {
		for range 100 {
			r.pool.Answered(0, time.Millisecond)
		}
	})
	return r
}

const getRoot = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// inFlight is how many requests the first two servers have.
func (r *rig) inFlight() (first, second int) {
	s := r.pool.Servers()
	return s[0].InFlight(), s[1].InFlight()
}

// breaks is a server that reads a head, and closes once fail is closed.
func breaks(t *testing.T, fail chan struct{}) *testkit.Server {
	t.Helper()
	return testkit.Serve(t, func(p *testkit.Peer) {
		_, _ = p.ReadHead()
		<-fail
	})
}

// leave has the first server break off once the second one is asked, and returns when the second one is alone.
func (r *rig) leave(t *testing.T, fail chan struct{}) {
	t.Helper()
	testkit.Eventually(t, "second try", func() bool { _, n := r.inFlight(); return n == 1 })
	close(fail)
	testkit.Eventually(t, "end of the first try", func() bool { n, _ := r.inFlight(); return n == 0 })
}

// silent is a server that takes what comes, and says nothing.
func silent(t *testing.T) *testkit.Server {
	t.Helper()
	return testkit.Serve(t, func(p *testkit.Peer) { _, _ = p.AwaitEnd() })
}

// A client that leaves while only the rival is left is not waited for, whatever the rival waits for.
func TestClientLeavesALoneRival(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		for name, second := range map[string]string{"that connects": testkit.Deaf(t), "that awaits an answer": silent(t).Addr} {
			t.Run(name, func(t *testing.T) {
				fail := make(chan struct{})
				r := hedgeRig{after: 5 * time.Millisecond}.start(t, s.Driver, breaks(t, fail).Addr, second)
				c := testkit.Dial(t, r.addr)
				c.Send(getRoot)
				r.leave(t, fail)
				began := time.Now()
				c.ResetConn()
				testkit.Eventually(t, "end of the exchange", func() bool { _, n := r.inFlight(); return n == 0 })
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the exchange ended %v after its client, want at once", took)
				}
				testkit.Eventually(t, "end of all connections to servers, once each", func() (none bool) {
					r.loop.Call(func() {
						s := r.stats.Snapshot().Servers
						none = s[0].Connections == 0 && s[1].Connections == 0
					})
					return none
				})
			})
		}
	})
}

// A rival has as long as any try: for its connection, and for its answer. No other one follows it where there may be one repeat: it is that, be it that it
// was not reached, for the first server has had the request.
func TestLoneRivalInTime(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		perTry := route.Retry{Attempts: 4, Repeats: 1, Connect: true, Reset: true, Timeout: true, PerTry: 300 * time.Millisecond}
		for _, tt := range []struct {
			name, second string
			rig          hedgeRig
			status       int
		}{
			{"per_try ends while it connects", testkit.Deaf(t), hedgeRig{retry: perTry}, 503},
			{"per_try ends while it awaits an answer", silent(t).Addr, hedgeRig{retry: perTry}, 504},
			{"per_try ends before the time for an answer", silent(t).Addr, hedgeRig{retry: perTry, response: 5 * time.Second}, 504},
			{"the time for an answer ends before per_try", silent(t).Addr, hedgeRig{retry: route.Retry{Attempts: 4, Repeats: 1, Timeout: true, PerTry: 5 * time.Second}, response: 300 * time.Millisecond}, 504},
			{"the time for an answer ends", silent(t).Addr, hedgeRig{response: 300 * time.Millisecond}, 504},
		} {
			t.Run(tt.name, func(t *testing.T) {
				tt.rig.after = 5 * time.Millisecond
				fail, third := make(chan struct{}), silent(t)
				r := tt.rig.start(t, s.Driver, breaks(t, fail).Addr, tt.second, third.Addr)
				c, began := testkit.Dial(t, r.addr), time.Now()
				c.Send(getRoot)
				r.leave(t, fail)
				if resp := c.Read("GET"); resp.StatusCode != tt.status || third.Connections() > 0 {
					t.Errorf("status %d, and %d connections to a third server; want %d, and none", resp.StatusCode, third.Connections(), tt.status)
				}
				if took := time.Since(began); took < 300*time.Millisecond || took > 2*time.Second {
					t.Errorf("the answer came after %v, want it after 300 ms", took)
				}
			})
		}
	})
}

// Where the time of a try is over before a second server would be asked, it is over then.
func TestNoHedgeAfterTheTry(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		r := hedgeRig{after: 3 * time.Second, response: 100 * time.Millisecond}.start(t, s.Driver, silent(t).Addr, silent(t).Addr)
		c, began := testkit.Dial(t, r.addr), time.Now()
		c.Send(getRoot)
		if resp := c.Read("GET"); resp.StatusCode != 504 || time.Since(began) > 2*time.Second {
			t.Errorf("status %d after %v, want 504 after 100 ms", resp.StatusCode, time.Since(began))
		}
	})
}

// late is a server whose queue is full until it is opened.
type late struct {
	ln   net.Listener
	fill []net.Conn
}

func newLate(t *testing.T) *late {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	l := &late{ln: ln}
	_ = raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }) // shortens the queue
	for err == nil {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", ln.Addr().String(), 50*time.Millisecond); err == nil {
			l.fill = append(l.fill, c)
		}
	}
	return l
}

// open returns the connection of who waits longest, which tries again after a second, or after three.
func (l *late) open(t *testing.T) net.Conn {
	t.Helper()
	for range l.fill {
		if c, err := l.ln.Accept(); err == nil {
			_ = c.Close()
		}
	}
	c, err := l.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A rival that nobody wants any more when its connection is made sends nothing, and the connection serves others.
func TestRivalThatComesTooLate(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		t.Parallel()
		goOn := make(chan struct{})
		first := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				if _, err := p.ReadHead(); err != nil {
					return
				}
				<-goOn
				_ = p.Send(testkit.OK)
			}
		})
		second := newLate(t)
		r := hedgeRig{after: 5 * time.Millisecond}.start(t, s.Driver, first.Addr, second.ln.Addr().String())
		c := testkit.Dial(t, r.addr)
		c.Send(getRoot)
		testkit.Eventually(t, "second try", func() bool { _, n := r.inFlight(); return n == 1 })
		close(goOn)
		if resp := c.Read("GET"); resp.StatusCode != 200 {
			t.Fatalf("status %d, want 200", resp.StatusCode)
		}
		conn := second.open(t)
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the second server read %d bytes (%v), want nothing on an open connection", n, err)
		}
		r.pool.Order(clock.Now(), r.pool.Servers()[0], pool.Maint, 0)
		c.Send(getRoot)
		_ = conn.SetReadDeadline(time.Now().Add(testkit.Patience))
		if n, err := conn.Read(make([]byte, 1000)); n < len("GET /") {
			t.Errorf("the second server read %d bytes (%v), want the next request", n, err)
		}
	})
}

// A client that leaves while a lone rival connects leaves a connection behind, and no request.
func TestLoneRivalThatComesTooLate(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		t.Parallel()
		fail, second := make(chan struct{}), newLate(t)
		r := hedgeRig{after: 5 * time.Millisecond}.start(t, s.Driver, breaks(t, fail).Addr, second.ln.Addr().String())
		c := testkit.Dial(t, r.addr)
		c.Send(getRoot)
		r.leave(t, fail)
		c.ResetConn()
		testkit.Eventually(t, "end of the exchange", func() bool { _, n := r.inFlight(); return n == 0 })
		conn := second.open(t)
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the second server read %d bytes (%v), want nothing on an open connection", n, err)
		}
	})
}

// A lone rival that connects late is asked, answers, and ends with its client.
func TestLoneRivalConnectsLate(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		t.Parallel()
		fail, second := make(chan struct{}), newLate(t)
		r := hedgeRig{after: 5 * time.Millisecond}.start(t, s.Driver, breaks(t, fail).Addr, second.ln.Addr().String())
		c := testkit.Dial(t, r.addr)
		c.Send(getRoot)
		r.leave(t, fail)
		conn := second.open(t)
		_, _ = conn.Read(make([]byte, 1000))
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"))
		if line, err := c.R.ReadString('\n'); !strings.Contains(line, "200") {
			t.Errorf("the answer begins with %q (%v), want a 200", line, err)
		}
		c.ResetConn()
		_ = conn.SetReadDeadline(time.Now().Add(testkit.Patience))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the second server read %d bytes (%v) after the client has left, want its connection's end", n, err)
		}
	})
}

// played is a server that reads a head and then does what it is told: it sends it, or, told nothing, resets.
func played(t *testing.T, acts chan string) *testkit.Server {
	t.Helper()
	server := testkit.Serve(t, func(p *testkit.Peer) {
		if _, err := p.ReadHead(); err != nil {
			return
		}
		act := <-acts
		if act == "" {
			p.Reset()
			return
		}
		_ = p.Send(act)
		_, _ = p.AwaitEnd()
	})
	t.Cleanup(func() { close(acts) })
	return server
}

const cannotServe = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"

// Both tries count for their servers: one each, with what came of it.
func TestHedgeIsCounted(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		for _, tt := range []struct {
			name          string
			first, second []string // one after the other, - for nothing
			want          string
		}{
			{"the second wins", []string{"-"}, []string{testkit.OK}, "1 try; 1 try, 1 of 2xx; blamed"},
			{"the first wins", []string{testkit.OK}, []string{"-"}, "1 try, 1 of 2xx; 1 try; blamed"},
			{"the second cannot serve", []string{"-", testkit.OK}, []string{cannotServe, "-"}, "1 try, 1 of 2xx; 1 try, 1 of 5xx; blamed 2"},
			{"the second resets", []string{"-", testkit.OK}, []string{"", "-"}, "1 try, 1 of 2xx; 1 try, 1 failed; blamed 2"},
			{"the first resets", []string{"", "-"}, []string{"-", testkit.OK}, "1 try, 1 failed; 1 try, 1 of 2xx; blamed 1"},
			{"the first cannot serve", []string{cannotServe, "-"}, []string{"-", testkit.OK}, "1 try, 1 of 5xx; 1 try, 1 of 2xx; blamed 1"},
			{"the first cannot serve, the second resets", []string{cannotServe, "-"}, []string{"-", ""}, "1 try, 1 of 5xx; 1 try, 1 failed; blamed 1 2"},
			{"all is cut", []string{"cut"}, []string{"-"}, "1 try; 1 try; blamed"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				acts := [2]chan string{make(chan string, 1), make(chan string, 1)}
				retry := route.Retry{Attempts: 4, Repeats: 1, Reset: true, Statuses: []route.Statuses{{From: 503, To: 503}}}
				r := hedgeRig{after: 5 * time.Millisecond, retry: retry}.start(t, s.Driver, played(t, acts[0]).Addr, played(t, acts[1]).Addr)
				c := testkit.Dial(t, r.addr)
				c.Send(getRoot)
				testkit.Eventually(t, "second try", func() bool { _, n := r.inFlight(); return n == 1 })
				for i := range tt.first {
					for server, act := range []string{tt.first[i], tt.second[i]} {
						switch act {
						case "-":
						case "cut":
							r.loop.Call(func() { r.loop.Each(func(c *fiber.Conn) { c.End(fiber.ErrStopped) }) })
						default:
							acts[server] <- act
						}
					}
					left := len(tt.first) - 1 - i
					testkit.Eventually(t, "end of a try", func() bool { n, m := r.inFlight(); return n+m == left })
				}
				if got := r.counted(); got != tt.want {
					t.Errorf("counted: %s; want %s", got, tt.want)
				}
			})
		}
	})
}

// counted is what the first two servers' tries came to, and which of them failed by the pool's rule.
func (r *rig) counted() string {
	var snapshot stats.Snapshot
	r.loop.Call(func() { snapshot = r.stats.Snapshot() })
	var b strings.Builder
	for i := range 2 {
		s := &snapshot.Servers[i]
		tries, failed := uint64(0), uint64(0)
		for _, n := range s.Durations.Buckets {
			tries += n
		}
		for _, n := range s.Failures {
			failed += n
		}
		fmt.Fprintf(&b, "%d try", tries)
		for class, n := range s.Codes {
			if n > 0 {
				fmt.Fprintf(&b, ", %d of %dxx", n, class)
			}
		}
		if failed > 0 {
			fmt.Fprintf(&b, ", %d failed", failed)
		}
		b.WriteString("; ")
	}
	b.WriteString("blamed")
	for _, e := range r.pool.Tick(clock.Now()) {
		for i, s := range r.pool.Servers() {
			if e.Server == s {
				fmt.Fprintf(&b, " %d", i+1)
			}
		}
	}
	return b.String()
}

// What is no answer is not followed by another try, as ever, whoever sends it.
func TestLoneRivalWithoutAnAnswer(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		fail, garbage, third := make(chan struct{}), make(chan string, 1), silent(t)
		retry := route.Retry{Attempts: 8, Repeats: 7, Connect: true, Reset: true}
		r := hedgeRig{after: 5 * time.Millisecond, retry: retry}.start(t, s.Driver, breaks(t, fail).Addr, played(t, garbage).Addr, third.Addr)
		c := testkit.Dial(t, r.addr)
		c.Send(getRoot)
		r.leave(t, fail)
		garbage <- "HTTP/1.1 2x0 OK\r\n\r\n"
		if resp := c.Read("GET"); resp.StatusCode != 502 || third.Connections() > 0 {
			t.Errorf("status %d, and %d connections to a third server; want 502, and none", resp.StatusCode, third.Connections())
		}
	})
}
