package upstream_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/pool"
	"poise/internal/stats"
	"poise/internal/sys"
	"poise/internal/upstream"
)

// counted is a server that counts its connections whose other side is open, each time one more comes.
type counted struct {
	addr string
	ln   net.Listener
	mu   sync.Mutex // guards the fields below
	open map[net.Conn]syscall.RawConn
	most int
}

func serve(t *testing.T) *counted {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	s := &counted{addr: ln.Addr().String(), ln: ln, open: map[net.Conn]syscall.RawConn{}}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.come(c)
			go s.echo(c)
		}
	}()
	return s
}

func (s *counted) come(c net.Conn) {
	raw, _ := c.(*net.TCPConn).SyscallConn()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = raw
	n := 0
	for _, raw := range s.open {
		_ = raw.Control(func(fd uintptr) {
			if n1, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT); n1 > 0 || err == syscall.EAGAIN {
				n++
			}
		})
	}
	s.most = max(s.most, n)
}

// echo sends each byte back. After some it closes.
func (s *counted) echo(c net.Conn) {
	defer c.Close()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, c)
	}()
	b := make([]byte, 1)
	for left := 1 + rand.IntN(100); left > 0; left-- {
		if _, err := c.Read(b); err != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// crew is loops that share a server.
type crew struct {
	t      *testing.T
	pool   *pool.Pool
	server *pool.Server
	fibers []*fiber.Loop
	loops  []*upstream.Loop
}

func newCrew(t *testing.T, driver string, loops int, addr string, most int) *crew {
	t.Helper()
	policy, _ := balance.ByName("round_robin")
	c := &crew{t: t}
	c.pool = pool.New(clock.Now(), pool.Spec{Name: "p", Policy: policy, Loops: loops, Servers: list(addr, most), Queue: pool.Queue{Length: 1000}})
	c.server = c.pool.Servers()[0]
	peers := upstream.NewPeers(loops)
	for i := range loops {
		l, _, err := fiber.Start(i, fiber.Config{Driver: driver, Log: slog.New(slog.DiscardHandler), Poison: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Stop)
		c.fibers = append(c.fibers, l)
		l.Call(func() { c.loops = append(c.loops, upstream.New(l, &stats.Loop{}, 10, peers)) })
	}
	return c
}

func list(addr string, most int) []pool.ServerSpec {
	return []pool.ServerSpec{{Address: addr, Weight: 1, MaxConnections: most}}
}

// change is a reload with another limit.
func (c *crew) change(most int) {
	c.pool.Update(clock.Now(), list(c.server.Address, most))
	c.fibers[0].Post(func() { c.loops[0].CloseSurplus(c.server) })
}

// getConn is Get of a connection of HTTP/1.
func getConn(l *upstream.Loop, w *upstream.Want) (*upstream.Conn, *fault.Error) {
	lent, f := l.Get(w)
	return lent.Conn, f
}

// lease waits for a slot on loop i.
func (c *crew) lease(i int) pool.Lease {
	q := &pool.Query{Loop: i}
	lease, err := c.pool.Acquire(0, q)
	if err == nil {
		return lease
	}
	w, wait := &pool.Waiter{}, c.fibers[i].NewWait()
	c.pool.Join(w, q, wait.Tell)
	_ = wait.Until(0, nil)
	lease, _ = c.pool.Withdraw(w)
	return lease
}

// exchange is a fiber's on loop i: a slot, a connection, a byte there and back. late tells that no connection came in time.
func (c *crew) exchange(i int, r *rand.Rand) (late bool) {
	lease, up, l := c.lease(i), c.loops[i], c.fibers[i]
	defer lease.End()
	w := upstream.Want{Server: lease.Server(), Fresh: r.IntN(10) == 0, By: l.Now().Add(10 * time.Second)}
	switch r.IntN(20) {
	case 0:
		w.By = l.Now().Add(time.Duration(r.IntN(200)) * time.Microsecond)
	case 1:
		w.MaxAge = time.Microsecond
	}
	dropped := r.IntN(10) == 0
	if dropped { // as a rival that nobody wants any more: it has no slot while it gets its connection
		lease.End()
	}
	hasty := w.By < l.Now().Add(time.Second)
	conn, f := getConn(up, &w)
	if f != nil {
		return !hasty
	}
	if dropped {
		conn.Keep(10 * time.Millisecond)
		return false
	}
	if conn.Send([]byte("x")) != nil || conn.Next() != nil || r.IntN(10) == 0 {
		conn.Close()
		return false
	}
	conn.Discard(1)
	if r.IntN(10) == 0 {
		l.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
	}
	conn.Keep(time.Duration(r.IntN(20)) * time.Millisecond)
	return false
}

// run has many fibers of each loop do what they have to, and waits for them.
func (c *crew) run(fibers, each int) {
	c.t.Helper()
	var late atomic.Int32
	var all sync.WaitGroup
	for i, l := range c.fibers {
		for n := range fibers {
			all.Add(1)
			r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
			l.Post(func() {
				l.Go(func() {
					defer all.Done()
					for range each {
						if c.exchange(i, r) {
							late.Add(1)
						}
					}
				})
			})
		}
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		c.t.Fatal("fibers wait for ever")
	}
	if n := late.Load(); n > 0 {
		c.t.Errorf("%d got no connection, want none", n)
	}
}

// wantNone looks for what is left once all idle connections are closed.
func (c *crew) wantNone() {
	c.t.Helper()
	for i, l := range c.fibers {
		l.Call(func() { c.loops[i].CloseIdle(c.server.ID) })
	}
	deadline := time.Now().Add(10 * time.Second)
	for c.server.Connections() > 0 && time.Now().Before(deadline) {
		for _, l := range c.fibers {
			l.Call(func() {})
		}
	}
	if n, m := c.server.Connections(), c.server.InFlight(); n != 0 || m != 0 {
		c.t.Errorf("at the end %d connections and %d requests are counted, want none", n, m)
	}
}

var drivers = []string{"io_uring", "epoll", "net"}

func TestConnectionsOverLoops(t *testing.T) {
	for _, d := range drivers {
		for _, most := range []int{1, 2, 5} {
			t.Run(d, func(t *testing.T) {
				s := serve(t)
				c := newCrew(t, d, 3, s.addr, most)
				c.run(5, 100)
				c.wantNone()
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.most != most {
					t.Errorf("the server had %d connections at once, want %d", s.most, most)
				}
			})
		}
	}
}

func TestConnectionsWhileTheLimitChanges(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			s := serve(t)
			c := newCrew(t, d, 3, s.addr, 0)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				tick := time.NewTicker(3 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						c.change(rand.IntN(5))
					}
				}
			}()
			c.run(5, 200)
			close(stop)
			<-stopped
			c.wantNone()
		})
	}
}

// TestConnectionsInTime: who waits for a connection in vain, or is stopped, leaves nothing behind.
func TestConnectionsInTime(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			c := newCrew(t, d, 1, serve(t).addr, 1)
			if !c.server.Opens() {
				t.Fatal("there is no first connection")
			}
			got := make(chan *fault.Error)
			get := func(by time.Duration) {
				c.fibers[0].Post(func() {
					c.fibers[0].Go(func() {
						_, f := getConn(c.loops[0], &upstream.Want{Server: c.server, By: c.fibers[0].Now().Add(by)})
						got <- f
					})
				})
			}
			get(time.Millisecond)
			if f := <-got; f == nil || f.Kind != fault.Limit || f.Side != fault.Server || !f.Safe {
				t.Errorf("Get = %+v, want a fault that is safe, the server's, for a limit", f)
			}
			if c.server.Crowded() {
				t.Error("the server is crowded, want nobody who waits")
			}
			get(10 * time.Second)
			c.server.Closed()
			if f := <-got; f != nil {
				t.Errorf("Get = %v when the other connection has ended, want a connection", f)
			}
			if n := c.server.Connections(); n != 1 {
				t.Errorf("%d connections are counted, want 1", n)
			}
		})
	}
}

// TestConnectionsFromAnyLoop: whichever loop has the idle connection closes it for any other.
func TestConnectionsFromAnyLoop(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			c := newCrew(t, d, 3, serve(t).addr, 1)
			for _, i := range []int{0, 1, 2, 0, 2, 1, 0} {
				got := make(chan *fault.Error, 1)
				c.fibers[i].Post(func() {
					c.fibers[i].Go(func() {
						conn, f := getConn(c.loops[i], &upstream.Want{Server: c.server, By: c.fibers[i].Now().Add(5 * time.Second)})
						if f == nil {
							conn.Keep(time.Minute)
						}
						got <- f
					})
				})
				if f := <-got; f != nil {
					t.Errorf("Get on loop %d = %v, want a connection", i, f)
				}
			}
			c.wantNone()
		})
	}
}

// TestConnectionsGivenBack: a connection that is given back while somebody waits for its room is closed.
func TestConnectionsGivenBack(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			c := newCrew(t, d, 2, serve(t).addr, 1)
			held, got := make(chan *upstream.Conn, 1), make(chan *fault.Error, 1)
			get := func(i int, then func(*upstream.Conn, *fault.Error)) {
				l := c.fibers[i]
				l.Post(func() {
					l.Go(func() {
						then(getConn(c.loops[i], &upstream.Want{Server: c.server, By: l.Now().Add(5 * time.Second)}))
					})
				})
			}
			get(0, func(conn *upstream.Conn, _ *fault.Error) { held <- conn })
			conn := <-held
			get(1, func(conn *upstream.Conn, f *fault.Error) {
				if f == nil {
					conn.Close()
				}
				got <- f
			})
			for !c.server.Crowded() {
				time.Sleep(time.Millisecond)
			}
			for i := range 2 { // the search for idle ones is over
				c.fibers[1-i].Call(func() {})
			}
			c.fibers[0].Call(func() { conn.Keep(time.Minute) })
			if f := <-got; f != nil {
				t.Errorf("Get = %v, want a connection", f)
			}
			c.wantNone()
		})
	}
}

// TestConnectionsOfAServerThatLeft: none of them is kept.
func TestConnectionsOfAServerThatLeft(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			c, done := newCrew(t, d, 1, serve(t).addr, 0), make(chan struct{})
			c.fibers[0].Post(func() {
				c.fibers[0].Go(func() {
					defer close(done)
					conn, f := getConn(c.loops[0], &upstream.Want{Server: c.server, By: c.fibers[0].Now().Add(5 * time.Second)})
					if f != nil {
						t.Error(f)
						return
					}
					c.pool.Update(clock.Now(), nil)
					conn.Keep(time.Minute)
				})
			})
			<-done
			for deadline := time.Now().Add(5 * time.Second); c.server.Connections() > 0; c.fibers[0].Call(func() {}) {
				if time.Now().After(deadline) {
					t.Fatal("a connection is still open")
				}
			}
		})
	}
}

// TestConnectionsClientLeaves: a client that resets gives up its place, one that has only closed its sending half does not.
func TestConnectionsClientLeaves(t *testing.T) {
	for _, d := range drivers {
		for _, reset := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, reset %t", d, reset), func(t *testing.T) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				c := newCrew(t, d, 1, serve(t).addr, 1)
				if !c.server.Opens() {
					t.Fatal("there is no first connection")
				}
				l, got := c.fibers[0], make(chan *fault.Error, 1)
				l.Post(func() {
					l.Go(func() {
						addr, _ := sys.ParseAddr(ln.Addr().String())
						client, _ := l.Dial(addr, 0, nil) // as good as one that was accepted
						client.Listen()
						defer client.Abort()
						conn, f := getConn(c.loops[0], &upstream.Want{Server: c.server, By: l.Now().Add(20 * time.Second), Client: client})
						if f == nil {
							conn.Close()
						}
						got <- f
					})
				})
				peer, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				for !c.server.Crowded() {
					time.Sleep(time.Millisecond)
				}
				if reset {
					_ = peer.(*net.TCPConn).SetLinger(0)
					_ = peer.Close()
				} else {
					_ = peer.(*net.TCPConn).CloseWrite()
					time.Sleep(50 * time.Millisecond)
					c.server.Closed()
				}
				select {
				case f := <-got:
					if (f != nil) != reset || f != nil && f.Side != fault.Client {
						t.Errorf("Get = %v, want the client's fault %t", f, reset)
					}
				case <-time.After(10 * time.Second):
					t.Error("Get waits on")
				}
			})
		}
	}
}

// TestConnectionsAtTheEnd: who waits for a connection, and for no client, does not hold the loop's end up.
func TestConnectionsAtTheEnd(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			c := newCrew(t, d, 1, serve(t).addr, 1)
			if !c.server.Opens() {
				t.Fatal("there is no first connection")
			}
			got := make(chan *fault.Error, 1)
			c.fibers[0].Call(func() {
				c.fibers[0].Go(func() {
					_, f := getConn(c.loops[0], &upstream.Want{Server: c.server, By: c.fibers[0].Now().Add(time.Minute)})
					got <- f
				})
			})
			c.fibers[0].Call(func() {}) // it waits
			began := time.Now()
			c.fibers[0].Stop()
			if took := time.Since(began); took > 900*time.Millisecond { // after a second it is given up
				t.Errorf("the loop's end took %v, want less", took)
			}
			select {
			case f := <-got:
				if f == nil || f.Side != fault.Internal || c.server.Crowded() {
					t.Errorf("Get = %v, crowded %t; want a fault of ours, and nobody who waits", f, c.server.Crowded())
				}
			default:
				t.Error("Get has not returned")
			}
		})
	}
}

// TestConnectionsNotMade: each that fails gives its room back.
func TestConnectionsNotMade(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			s := serve(t)
			c := newCrew(t, d, 1, s.addr, 2)
			_ = s.ln.Close()
			for range 3 {
				got := make(chan *fault.Error)
				c.fibers[0].Post(func() {
					c.fibers[0].Go(func() {
						_, f := getConn(c.loops[0], &upstream.Want{Server: c.server, By: c.fibers[0].Now().Add(10 * time.Second)})
						got <- f
					})
				})
				if f := <-got; f == nil || f.Kind != fault.Refused {
					t.Errorf("Get = %v, want refused", f)
				}
			}
			c.wantNone()
		})
	}
}
