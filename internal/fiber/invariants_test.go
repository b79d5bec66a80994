package fiber_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/fiber"
	"poise/internal/sys"
)

// A post is never lost, also when it comes just as the loop falls asleep.
func TestPostsWakeALoopThatFallsAsleep(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 2000 {
					ran := make(chan struct{})
					l.Post(func() { close(ran) })
					select {
					case <-ran:
					case <-time.After(5 * time.Second):
						t.Errorf("post %d did not run", i)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// Descriptors are given out again at once, while receives and sends of their earlier connections are still being ended: nothing of one connection
// reaches another.
func TestDescriptorsGivenOutAgainCarryNothingOver(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		h := &handler{}
		h.serve = func(c *fiber.Conn) {
			b := c.Buffered()
			if b[0] == '!' { // ends in the middle of its own receive and send
				c.Receive(fiber.Bodies)
				l.Go(func() { c.Abort() })
				_ = c.Send(bytes.Repeat([]byte("!"), 1<<20))
				c.Abort()
				return
			}
			if c.Send(b) != nil {
				c.Abort()
				return
			}
			c.Discard(len(b))
			c.Idle(h, 0)
		}
		addr := listen(t, l, h)
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 60 {
					if i%2 == 0 {
						if c, err := net.Dial("tcp", addr); err == nil {
							_, _ = c.Write([]byte("!!!!!!!!"))
							_ = c.(*net.TCPConn).SetLinger(0)
							_ = c.Close()
						}
						continue
					}
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					_ = c.SetDeadline(time.Now().Add(10 * time.Second))
					want := fmt.Appendf(nil, "worker %d, request %d", worker, i)
					_, _ = c.Write(want)
					got := make([]byte, len(want))
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
						t.Errorf("echo of %q = %q, %v", want, got, err)
					}
					_ = c.Close()
				}
			})
		}
		wg.Wait()
		ended := func() (n fiber.Counters) {
			l.Call(func() { n = l.Counters() })
			return n
		}
		for deadline := time.Now().Add(5 * time.Second); ended().Conns > 0 || ended().Active > 0; {
			if time.Now().After(deadline) {
				t.Fatalf("after all clients have left: %+v", ended())
			}
		}
		if n := ended(); n.HeadBuffers != 0 || n.BodyBuffers != 0 {
			t.Errorf("buffers are still out: %+v", n)
		}
	})
}

// A write deadline fails the write, and what Write had queued still goes out.
func TestWriteDeadlineKeepsWhatIsQueued(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		var failed atomic.Bool
		h := &handler{serve: func(c *fiber.Conn) {
			_, _ = c.Write([]byte("queued"))
			_ = c.SetWriteDeadline(time.Now().Add(-time.Second))
			_, err := c.Write([]byte("late"))
			failed.Store(err != nil)
			_ = c.Close()
		}}
		c := dial(t, listen(t, l, h))
		_, _ = c.Write([]byte("x"))
		if got, err := io.ReadAll(c); string(got) != "queued" || !failed.Load() {
			t.Errorf("read %q, %v, late write failed: %v; want queued, true", got, err, failed.Load())
		}
	})
}

// Drain serves what is queued and then refuses.
func TestListenerDrain(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		a, _ := sys.ParseAddr("127.0.0.1:0")
		fd, err := sys.Listen(a, true)
		if err != nil {
			t.Fatal(err)
		}
		addr := sys.LocalAddr(fd).String()
		h := echo()
		var ln *fiber.Listener
		l.Call(func() { ln, err = l.Listen(fd, fiber.Accepting{Accept: func(c *fiber.Conn) { c.Idle(h, 0) }}) })
		if err != nil {
			t.Fatal(err)
		}
		held, release := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(held); <-release; ln.Drain() })
		<-held
		var queued []net.Conn
		for range 20 {
			queued = append(queued, dial(t, addr))
		}
		close(release)
		for _, c := range queued {
			roundTrip(t, c, "from the queue")
		}
		for deadline := time.Now().Add(5 * time.Second); ; {
			closed := false
			l.Call(func() { closed = ln.Closed() })
			if closed {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the drained listener does not close")
			}
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			t.Error("a drained listener still accepts")
		}
	})
}

// While a loop is busy its listener takes only a few connections: who counts them, and pauses it at a limit, is not run over by those taken before.
func TestAcceptDoesNotRunAhead(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		a, _ := sys.ParseAddr("127.0.0.1:0")
		fd, err := sys.Listen(a, true)
		if err != nil {
			t.Fatal(err)
		}
		addr := sys.LocalAddr(fd).String()
		var ln *fiber.Listener
		accepted := 0
		l.Call(func() {
			ln, err = l.Listen(fd, fiber.Accepting{Sparing: func() bool { return true }, Accept: func(c *fiber.Conn) {
				accepted++
				ln.Pause()
				c.Idle(echo(), 0)
			}})
		})
		if err != nil {
			t.Fatal(err)
		}
		held, release := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(held); <-release })
		<-held
		var clients []net.Conn
		for range 100 {
			clients = append(clients, dial(t, addr))
		}
		close(release)
		roundTrip(t, clients[0], "accepted before the pause")
		before := 0
		l.Call(func() { before = accepted })
		if before > 40 {
			t.Errorf("%d connections were accepted before the listener could be paused at the first, want 40 at most", before)
		}
		// Who waits is served as the pause ends, again and again.
		for i, c := range clients {
			for l.Call(ln.Resume); ; l.Call(ln.Resume) {
				var n int
				l.Call(func() { n = accepted })
				if n > i {
					break
				}
			}
			roundTrip(t, c, "accepted after a pause")
		}
	})
}
