package fiber_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/fiber"
	"poise/internal/sys"
)

var drivers = []string{"io_uring", "epoll", "net"}

// each runs f over a fresh loop of each driver.
func each(t *testing.T, f func(t *testing.T, l *fiber.Loop)) {
	t.Helper()
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l, _, err := fiber.Start(0, fiber.Config{Driver: d, Poison: true, Log: slog.New(slog.DiscardHandler), Offloads: 2})
			if err != nil {
				t.Fatalf("Start: %v", err)
			}
			t.Cleanup(l.Stop)
			f(t, l)
		})
	}
}

// handler serves with a function.
type handler struct {
	serve func(c *fiber.Conn)
	gone  func(err error)
}

func (h *handler) Serve(c *fiber.Conn) { h.serve(c) }

func (h *handler) Gone(_ *fiber.Conn, err error) {
	if h.gone != nil {
		h.gone(err)
	}
}

// listen serves accepted connections with h and returns the address.
func listen(t *testing.T, l *fiber.Loop, h fiber.Handler) string {
	t.Helper()
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, true)
	if err != nil {
		t.Fatal(err)
	}
	addr := sys.LocalAddr(fd).String()
	l.Call(func() {
		_, err = l.Listen(fd, fiber.Accepting{Accept: func(c *fiber.Conn) { c.Idle(h, 0) }})
	})
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo sends back what is there and goes idle again.
func echo() *handler {
	h := &handler{}
	h.serve = func(c *fiber.Conn) {
		for c.Unread() > 0 {
			b := c.Buffered()
			if c.Send(b) != nil {
				c.Abort()
				return
			}
			c.Discard(len(b))
		}
		c.Idle(h, 0)
	}
	return h
}

func roundTrip(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatalf("write: %v", err)
	}
	got := make([]byte, len(s))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("echo of %d bytes: %v", len(s), err)
	}
}

func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		addr := listen(t, l, echo())
		for range 3 {
			c := dial(t, addr)
			for range 5 {
				roundTrip(t, c, "hello")
			}
		}
	})
}

func TestIdleConnectionsOwnNeitherFiberNorBuffer(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		addr := listen(t, l, echo())
		for range 50 {
			roundTrip(t, dial(t, addr), "x")
		}
		// The last answer has come before its fiber has returned.
		eventually(t, l, "idleness of 50 connections", func() bool {
			n := l.Counters()
			return n.Conns == 50 && n.Active == 0 && n.HeadBuffers == 0 && n.BodyBuffers == 0 && n.Fibers <= 10
		})
	})
}

func TestPanicEndsOneConnection(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		h := echo()
		ok := h.serve
		h.serve = func(c *fiber.Conn) {
			if c.Buffered()[0] == '!' {
				panic("on purpose")
			}
			ok(c)
		}
		addr := listen(t, l, h)
		other, bad := dial(t, addr), dial(t, addr)
		roundTrip(t, other, "before")
		_, _ = bad.Write([]byte("!"))
		if _, err := bad.Read(make([]byte, 1)); err == nil {
			t.Error("the connection whose fiber panicked is still open")
		}
		roundTrip(t, other, "after")
		var n fiber.Counters
		l.Call(func() { n = l.Counters() })
		if n.Panics != 1 {
			t.Errorf("Panics = %d, want 1", n.Panics)
		}
	})
}

func TestFillGathersSplitBytes(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		h := &handler{serve: func(c *fiber.Conn) {
			for !bytes.HasSuffix(c.Buffered(), []byte("\n")) {
				if c.Fill() != nil {
					c.Abort()
					return
				}
			}
			_ = c.Send([]byte(fmt.Sprintf("%d", len(c.Buffered()))))
			_ = c.Close()
		}}
		c := dial(t, listen(t, l, h))
		for range 300 {
			_, _ = c.Write([]byte("a"))
		}
		_, _ = c.Write([]byte("\n"))
		if got, err := io.ReadAll(c); string(got) != "301" {
			t.Errorf("gathered %q, %v, want 301", got, err)
		}
	})
}

func TestCloseLosesNothing(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
		h := &handler{serve: func(c *fiber.Conn) {
			_ = c.Send(big[:1000], big[1000:])
			_ = c.Close() // with unread bytes: without lingering this would be a reset
		}}
		c := dial(t, listen(t, l, h))
		_, _ = c.Write(bytes.Repeat([]byte("x"), 100<<10))
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, big) {
			t.Errorf("read %d bytes, %v; want %d and no error", len(got), err, len(big))
		}
	})
}

func TestDeadlines(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		errs := make(chan error, 2)
		h := &handler{serve: func(c *fiber.Conn) {
			c.Discard(len(c.Buffered()))
			c.ReadBy(l.Now().Add(30 * time.Millisecond))
			errs <- c.Next()
			c.WriteBy(l.Now().Add(30 * time.Millisecond))
			errs <- c.Send(make([]byte, 64<<20)) // more than any socket buffer
			c.Abort()
		}}
		c := dial(t, listen(t, l, h))
		_, _ = c.Write([]byte("x"))
		for _, op := range []string{"Next", "Send"} {
			if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s = %v, want os.ErrDeadlineExceeded", op, err)
			}
		}
	})
}

func TestIdleTimeAndPeersEndAreTold(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		gone := make(chan error, 2)
		h := &handler{gone: func(err error) { gone <- err }}
		h.serve = func(c *fiber.Conn) {
			c.Discard(len(c.Buffered()))
			c.Idle(h, l.Now().Add(20*time.Millisecond))
		}
		addr := listen(t, l, h)
		c := dial(t, addr)
		_, _ = c.Write([]byte("x"))
		if err := <-gone; !errors.Is(err, fiber.ErrIdle) {
			t.Errorf("Gone(%v), want ErrIdle", err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client read %v, want io.EOF", err)
		}
		_ = dial(t, addr).Close()
		if err := <-gone; err != io.EOF {
			t.Errorf("Gone(%v), want io.EOF", err)
		}
	})
}

func TestResetInterruptsGuarded(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		a, _ := sys.ParseAddr(silent.Addr().String())
		got := make(chan error, 1)
		h := &handler{serve: func(c *fiber.Conn) {
			c.Discard(len(c.Buffered()))
			up, err := l.Dial(a, 0, c)
			if err != nil {
				got <- err
				return
			}
			c.Listen()
			c.Guard(up)
			_ = c.Send([]byte("ready"))
			got <- up.Next()
			c.Guard(nil)
			up.Abort()
			c.Abort()
		}}
		c := dial(t, listen(t, l, h)).(*net.TCPConn)
		roundTrip(t, c, "ready")
		_ = c.SetLinger(0)
		_ = c.Close()
		if err := <-got; !sys.IsReset(err) {
			t.Errorf("Next on the guarded connection = %v, want a reset", err)
		}
	})
}

func TestDialErrors(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a, _ := sys.ParseAddr(ln.Addr().String())
		_ = ln.Close()
		got := make(chan error, 1)
		l.Post(func() {
			l.Go(func() {
				_, err := l.Dial(a, l.Now().Add(time.Second), nil)
				got <- err
			})
		})
		if err := <-got; !sys.IsRefused(err) {
			t.Errorf("Dial to nobody = %v, want refused", err)
		}
	})
}

func TestOffloadDoesNotStopTheLoop(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		hang := make(chan struct{})
		h := &handler{serve: func(c *fiber.Conn) {
			l.Offload(func() { <-hang })
			_ = c.Send([]byte("done"))
			_ = c.Close()
		}}
		slow := listen(t, l, h)
		var waiting []net.Conn
		for range 5 { // more than run at once
			c := dial(t, slow)
			_, _ = c.Write([]byte("x"))
			waiting = append(waiting, c)
		}
		c := dial(t, listen(t, l, echo()))
		for range 20 {
			roundTrip(t, c, "still here")
		}
		close(hang)
		for _, c := range waiting {
			if got, err := io.ReadAll(c); string(got) != "done" {
				t.Errorf("after Offload: %q, %v", got, err)
			}
		}
	})
}

func TestWriteQueues(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		want := bytes.Repeat([]byte("q"), 3<<20)
		result := make(chan string, 1)
		h := &handler{serve: func(c *fiber.Conn) {
			if _, err := c.Write(make([]byte, 257<<10)); !errors.Is(err, fiber.ErrQueueFull) {
				result <- fmt.Sprintf("Write of 257 KiB = %v, want ErrQueueFull", err)
			}
			for rest := want; len(rest) > 0; {
				if err := c.Room(); err != nil {
					result <- "Room: " + err.Error()
				}
				n, err := c.Write(rest[:min(len(rest), 32<<10)])
				if err != nil {
					result <- "Write: " + err.Error()
				}
				rest = rest[n:]
			}
			_ = c.Close()
			result <- ""
		}}
		c := dial(t, listen(t, l, h))
		_, _ = c.Write([]byte("x"))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
		}
		if s := <-result; s != "" {
			t.Error(s)
		}
	})
}

func TestBulkUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		h := echo()
		h.serve = func(c *fiber.Conn) {
			c.Receive(fiber.Bodies)
			for left := 4 << 20; left > 0; {
				if err := c.Next(); err != nil {
					t.Errorf("Next: %v", err)
					c.Abort()
					return
				}
				b := c.Buffered()
				if err := c.Send(b); err != nil {
					t.Errorf("Send: %v", err)
					c.Abort()
					return
				}
				left -= len(b)
				c.Discard(len(b))
			}
			c.Idle(h, 0)
		}
		addr := listen(t, l, h)
		var wg sync.WaitGroup
		for i := range 8 {
			c := dial(t, addr)
			wg.Go(func() {
				want := bytes.Repeat([]byte{byte('a' + i)}, 4<<20)
				go func() { _, _ = c.Write(want) }()
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("connection %d: %v, or bytes of another", i, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestWatchdogReportsLongTurn(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		var log syncBuffer
		w := fiber.Watch([]*fiber.Loop{l}, slog.New(slog.NewTextHandler(&log, nil)))
		defer w.Close()
		release := make(chan struct{})
		h := echo()
		ok := h.serve
		h.serve = func(c *fiber.Conn) {
			<-release // what a fiber must never do
			ok(c)
		}
		c := dial(t, listen(t, l, h))
		_, _ = c.Write([]byte("x"))
		log.waitFor(t, "takes long")
		if s := log.String(); !strings.Contains(s, c.LocalAddr().String()) {
			t.Errorf("the report %q does not name the connection %s", s, c.LocalAddr())
		}
		close(release)
	})
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
	n   atomic.Int64
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n.Add(int64(len(p)))
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) waitFor(t *testing.T, s string) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.String(), s) {
		select {
		case <-deadline.C:
			t.Fatalf("no %q in the log: %q", s, b.String())
		case <-tick.C:
		}
	}
}

// Whatever comes of a connection, it is told once that its socket is closed.
func TestDialThenTellsOfTheEnd(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	for what, run := range map[string]func(l *fiber.Loop, to, gone sys.Addr, then func()){
		"closed": func(l *fiber.Loop, to, _ sys.Addr, then func()) {
			if c, err := l.DialThen(to, 0, nil, then); err == nil {
				c.Abort()
				c.Abort()
			}
		},
		"closed by the peer while idle": func(l *fiber.Loop, to, _ sys.Addr, then func()) {
			if c, err := l.DialThen(to, 0, nil, then); err == nil {
				c.Idle(&handler{}, 0)
				_ = c.Send([]byte("x"))
			}
		},
		"refused": func(l *fiber.Loop, _, gone sys.Addr, then func()) { _, _ = l.DialThen(gone, 0, nil, then) },
		"no answer": func(l *fiber.Loop, _, _ sys.Addr, then func()) {
			silent, _ := sys.ParseAddr("192.0.2.1:80") // RFC 5737: nobody's
			_, _ = l.DialThen(silent, l.Now().Add(10*time.Millisecond), nil, then)
		},
		"impossible": func(l *fiber.Loop, _, _ sys.Addr, then func()) { _, _ = l.DialThen(sys.Addr{}, 0, nil, then) },
		"a panic": func(l *fiber.Loop, to, _ sys.Addr, then func()) {
			c, err := l.DialThen(to, 0, nil, then)
			defer func() {
				if recover() != nil && err == nil {
					c.Abort()
				}
			}()
			panic("on purpose")
		},
		"open when the loop stops": func(l *fiber.Loop, to, _ sys.Addr, then func()) {
			if c, err := l.DialThen(to, 0, nil, then); err == nil {
				_ = c.Next()
				c.Abort()
			}
		},
		"idle when the loop stops": func(l *fiber.Loop, to, _ sys.Addr, then func()) {
			if c, err := l.DialThen(to, 0, nil, then); err == nil {
				c.Idle(&handler{}, 0)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, l *fiber.Loop) {
				h := &handler{}
				h.serve = func(c *fiber.Conn) { c.Abort() }
				to, _ := sys.ParseAddr(listen(t, l, h))
				gone, _ := sys.ParseAddr(nobody.Addr().String())
				var ends atomic.Int32
				began := make(chan struct{})
				l.Post(func() { l.Go(func() { defer close(began); run(l, to, gone, func() { ends.Add(1) }) }) })
				if !strings.Contains(what, "when the loop stops") {
					<-began
					eventually(t, l, what, func() bool { return ends.Load() > 0 })
				}
				l.Stop()
				if n := ends.Load(); n != 1 {
					t.Errorf("told %d times, want once", n)
				}
			})
		})
	}
}
