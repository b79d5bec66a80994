package fiber_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"poise/internal/fiber"
	"poise/internal/sys"
)

// eventually polls on the loop.
func eventually(t *testing.T, l *fiber.Loop, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	until := time.Now().Add(5 * time.Second)
	for {
		done := false
		l.Call(func() { done = ok() })
		if done {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("there came no %s", what)
		}
		<-tick.C
	}
}

// A connection that nobody reads holds receive buffers in proportion to the bytes that wait, not to the packets that they came in.
func TestTinySegmentsHoldFewBuffers(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		var conn *fiber.Conn
		h := &handler{serve: func(c *fiber.Conn) {
			c.Listen()
			conn = c
			l.Sleep(20 * time.Second) // the server is at work
			c.Abort()
		}}
		c := dial(t, listen(t, l, h))
		const n = 300
		for i := 1; i <= n; i++ {
			_, _ = c.Write([]byte("x"))
			eventually(t, l, "byte", func() bool { return conn != nil && conn.Unread() == i })
		}
		var got fiber.Counters
		l.Call(func() { got = l.Counters() })
		if got.HeadBuffers > 4 {
			t.Errorf("%d unread bytes hold %d buffers of 16 KiB", n, got.HeadBuffers)
		}
	})
}

// A client that resets before it is accepted must not pass for one on a Unix socket.
func TestPeerOfAResetConnection(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		a, _ := sys.ParseAddr("127.0.0.1:0")
		fd, err := sys.Listen(a, true)
		if err != nil {
			t.Fatal(err)
		}
		addr := sys.LocalAddr(fd).String()
		peers := make(chan sys.Addr, 2)
		served := make(chan string, 2)
		h := &handler{serve: func(c *fiber.Conn) { served <- string(c.Buffered()); c.Abort() }}
		l.Call(func() {
			_, err = l.Listen(fd, fiber.Accepting{Accept: func(c *fiber.Conn) { peers <- c.Peer(); c.Idle(h, 0) }})
		})
		if err != nil {
			t.Fatal(err)
		}
		hold, held := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(held); <-hold })
		<-held
		c := dial(t, addr).(*net.TCPConn)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
		_ = c.SetLinger(0)
		_ = c.Close()
		close(hold)
		select {
		case p := <-peers:
			if !p.IP.IsValid() {
				var head string
				select {
				case head = <-served:
				case <-time.After(time.Second):
				}
				t.Errorf("a TCP client has peer %q, as one on a Unix socket has; it was served %q", p, head)
			}
		case <-time.After(time.Second): // not accepted: fine
		}
	})
}

// What was interrupted is not usable again.
func TestInterruptedIsNotTaken(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		a, _ := sys.ParseAddr(ln.Addr().String())
		got := make(chan error, 1)
		l.Post(func() {
			l.Go(func() {
				up, err := l.Dial(a, 0, nil)
				if err != nil {
					got <- err
					return
				}
				up.Interrupt(errors.New("the client has left")) // as Guard does while nobody waits
				up.Idle(&handler{}, 0)
				if !up.Take() {
					got <- nil
					return
				}
				got <- up.Send([]byte("x"))
				up.Abort()
			})
		})
		if err := <-got; err != nil {
			t.Errorf("Take said that the connection is usable; Send = %v", err)
		}
	})
}

// Bytes that came before the deadline win over the deadline, also when the loop was held up meanwhile.
func TestBytesBeforeTheDeadlineWin(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		got := make(chan error, 1)
		reading := make(chan struct{})
		h := &handler{serve: func(c *fiber.Conn) {
			c.Discard(len(c.Buffered()))
			c.ReadBy(l.Now().Add(200 * time.Millisecond))
			l.Post(func() { close(reading) })
			got <- c.Next()
			c.Abort()
		}}
		c := dial(t, listen(t, l, h))
		_, _ = c.Write([]byte("x"))
		<-reading
		hold, held := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(held); <-hold })
		<-held
		_, _ = c.Write([]byte("y")) // long before the deadline
		<-time.After(300 * time.Millisecond)
		close(hold)
		if err := <-got; err != nil {
			t.Errorf("Next = %v though bytes came in time", err)
		}
	})
}

// After Stop nothing listens.
func TestStopClosesListeners(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l, _, err := fiber.Start(0, fiber.Config{Driver: d})
			if err != nil {
				t.Fatal(err)
			}
			addr := listen(t, l, echo())
			l.Stop()
			if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				_ = c.Close()
				t.Error("after Stop a client still connects")
			}
		})
	}
}

// An accept that fails for good does not spin.
func TestFailingAcceptDoesNotSpin(t *testing.T) {
	l, _, err := fiber.Start(0, fiber.Config{Driver: "io_uring"})
	if err != nil {
		t.Skip(err)
	}
	defer l.Stop()
	a, b, err := sys.SocketPair() // not listening: EINVAL, as after a shutdown by somebody else
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(b)
	var before, after fiber.Counters
	l.Call(func() {
		_, err = l.Listen(a, fiber.Accepting{Accept: func(c *fiber.Conn) { c.Abort() }})
		before = l.Counters()
	})
	<-time.After(200 * time.Millisecond)
	l.Call(func() { after = l.Counters() })
	if n := after.Turns - before.Turns; n > 100 {
		t.Errorf("%d turns in 200 ms with an accept that fails", n)
	}
}

// A receive that was put off for want of buffers is armed once there are some, also when nothing else happens.
func TestNoReceiveIsPutOffForGood(t *testing.T) {
	l, _, err := fiber.Start(0, fiber.Config{Driver: "io_uring"})
	if err != nil {
		t.Skip(err)
	}
	defer l.Stop()
	served := make(chan string, 10000)
	h := &handler{}
	h.serve = func(c *fiber.Conn) {
		served <- string(c.Buffered())
		c.Discard(len(c.Buffered()))
		c.Idle(h, 0)
	}
	addr := listen(t, l, h)
	hold, held := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(held); <-hold })
	<-held
	const talking, silent = 400, 3000
	var waits net.Conn // in the middle of those that find no buffer
	for i := range talking + silent {
		c := dial(t, addr)
		if i < talking {
			_, _ = c.Write([]byte("a"))
		} else if i < 2600 {
			waits = c
		}
	}
	close(hold)
	for range talking {
		<-served
	}
	<-time.After(300 * time.Millisecond)
	_, _ = waits.Write([]byte("b"))
	select {
	case <-served:
	case <-time.After(3 * time.Second):
		t.Error("a connection whose receive found no buffer is never read again")
	}
	var n fiber.Counters
	l.Call(func() { n = l.Counters() })
	t.Logf("%d receives found no buffer in %d turns", n.NoBuffers, n.Turns)
}

// A receive stops before an urgent byte; what follows it is received all the same.
func TestBytesBehindAnUrgentOneAreReceived(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		c := dial(t, listen(t, l, echo())).(*net.TCPConn)
		held, release := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(held); <-release })
		<-held
		_, _ = io.WriteString(c, "be")
		raw, err := c.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				if _, e := syscall.SendmsgN(int(fd), []byte("!"), nil, nil, syscall.MSG_OOB); e != nil {
					t.Errorf("send an urgent byte: %v", e)
				}
			})
		}
		_, _ = io.WriteString(c, "hind")
		close(release)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len("behind"))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "behind" {
			t.Errorf("echo = %q, %v; want behind", got, err)
		}
	})
}
