package relay

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/sys"
)

// pair is a relay with a peer at either end.
type pair struct {
	*Relay
	loop          *fiber.Loop
	first, second *net.TCPConn // the peers
	done          chan struct{}
}

// each starts a relay, with the idle times, over each driver.
func each(t *testing.T, idle, half time.Duration, f func(t *testing.T, p *pair)) {
	t.Helper()
	for _, d := range []string{"io_uring", "epoll", "net"} {
		t.Run(d, func(t *testing.T) {
			l, _, err := fiber.Start(0, fiber.Config{Driver: d, Poison: true, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatalf("Start: %v", err)
			}
			t.Cleanup(l.Stop)
			p := &pair{loop: l, done: make(chan struct{}), Relay: &Relay{Idle: idle, HalfIdle: half}}
			p.Done = func() {
				p.First.Abort()
				p.Second.Abort()
				close(p.done)
			}
			p.connect(t)
			f(t, p)
		})
	}
}

// connect gives the relay its connections and starts it.
func (p *pair) connect(t *testing.T) {
	t.Helper()
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, true)
	if err != nil {
		t.Fatal(err)
	}
	addr := sys.LocalAddr(fd).String()
	begun := make(chan struct{})
	p.loop.Call(func() {
		_, err = p.loop.Listen(fd, fiber.Accepting{Accept: func(c *fiber.Conn) {
			if p.First == nil {
				p.First = c
				return
			}
			p.Second = c
			p.loop.Go(func() {
				p.Start()
				close(begun)
			})
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	dial := func() *net.TCPConn {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.TCPConn)
	}
	p.first, p.second = dial(), dial()
	<-begun
}

// ended waits for the end.
func (p *pair) ended(t *testing.T) End {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the relay does not end")
	}
	return p.End()
}

// pass sends a text one way.
func pass(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	_, _ = io.WriteString(from, text)
	b := make([]byte, len(text))
	if n, err := io.ReadFull(to, b); err != nil || string(b) != text {
		t.Fatalf("%q came as %q (%v)", text, b[:n], err)
	}
}

// wantEOF wants an end in good order.
func wantEOF(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v, want the end", n, err)
	}
}

// A relay on which nothing moves has no fiber and no buffer.
func TestWaitingIsCheap(t *testing.T) {
	t.Parallel()
	each(t, time.Hour, 0, func(t *testing.T, p *pair) {
		large := string(make([]byte, 1<<20)) // goes by the ways of bulk
		pass(t, p.first, p.second, "there")
		go func() { _, _ = io.WriteString(p.second, large) }()
		if n, err := io.ReadFull(p.first, []byte(large)); err != nil {
			t.Fatalf("%d bytes came: %v", n, err)
		}
		pass(t, p.first, p.second, "there again")
		var c fiber.Counters
		for range 100 {
			p.loop.Call(func() { c = p.loop.Counters() })
			if c.Active == 0 && c.HeadBuffers == 0 && c.BodyBuffers == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("it has %d fibers, %d and %d buffers", c.Active, c.HeadBuffers, c.BodyBuffers)
	})
}

// Once one side has ended, the other has HalfIdle to move something, again and again.
func TestHalfIdle(t *testing.T) {
	t.Parallel()
	each(t, 0, 150*time.Millisecond, func(t *testing.T, p *pair) {
		_ = p.first.CloseWrite()
		wantEOF(t, p.second)
		for range 6 {
			pass(t, p.second, p.first, "still there")
			time.Sleep(50 * time.Millisecond)
		}
		select {
		case <-p.done:
			t.Fatal("it has ended while something moved")
		default:
		}
		if end := p.ended(t); !errors.Is(end.Err, ErrIdle) || end.Broken {
			t.Errorf("end %+v, want %v", end, ErrIdle)
		}
		if first, second := p.Sent(); first != 0 || second != 66 {
			t.Errorf("sent %d and %d bytes, want 0 and 66", first, second)
		}
	})
}

// A side that takes nothing for too long is told from one that sends nothing.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	each(t, time.Second, 0, func(t *testing.T, p *pair) { // on a busy machine the writer may be late, or pause
		go func() {
			for b := make([]byte, 64<<10); ; {
				if _, err := p.second.Write(b); err != nil {
					return
				}
			}
		}()
		if end := p.ended(t); !errors.Is(end.Err, ErrIdle) || end.By != First {
			t.Errorf("end %+v, want %v by the first", end, ErrIdle)
		}
	})
}

// A side that breaks while the other takes nothing is the one to blame, whichever way finds out first.
func TestBlame(t *testing.T) {
	t.Parallel()
	each(t, 0, 0, func(t *testing.T, p *pair) {
		_ = p.first.SetReadBuffer(4 << 10)
		for stuck := clock.Instant(0); ; time.Sleep(time.Millisecond) { // until a piece is on its way that cannot go on, and a receive is armed behind it
			var now clock.Instant
			var sending bool
			p.loop.Call(func() {
				now, sending = p.loop.Now(), p.ways[1].sending
				p.ways[1].row = 0 // as if there had been pauses
			})
			switch {
			case !sending:
				stuck = 0
				_, _ = p.second.Write(make([]byte, 8<<10))
			case stuck == 0:
				stuck = now
			}
			if stuck != 0 && now.Sub(stuck) > 50*time.Millisecond {
				break
			}
		}
		_ = p.second.SetLinger(0)
		_ = p.second.Close()
		if end := p.ended(t); end.By != Second || !end.Broken {
			t.Errorf("end %+v, want a break by the second", end)
		}
	})
}

// bulk tells whether the second side's way has found that much comes.
func (p *pair) bulk() (yes bool) {
	p.loop.Call(func() { yes = p.ways[1].row >= bulkFrom })
	return yes
}

// Much is noticed as such, however quickly a driver brings it; small pieces are not, however many they are.
func TestBulk(t *testing.T) {
	t.Parallel()
	each(t, time.Hour, 0, func(t *testing.T, p *pair) {
		for range 1500 { // 96,000 bytes
			pass(t, p.second, p.first, "a piece of sixty-four bytes, as those of most WebSockets are....")
		}
		if p.bulk() {
			t.Error("small pieces are taken for much")
		}
		const much = 32 << 20
		go func() { _, _ = p.second.Write(make([]byte, much)) }()
		found, b := false, make([]byte, 256<<10)
		for n := 0; n < much; {
			m, err := p.first.Read(b)
			if err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			n += m
			found = found || p.bulk()
		}
		if !found {
			t.Error("much is not noticed")
		}
	})
}

// A panic in one way ends the relay, whatever the other way does: nobody waits for ever.
func TestPanic(t *testing.T) {
	t.Parallel()
	each(t, 0, 0, func(t *testing.T, p *pair) {
		go func() { _, _ = p.second.Write(make([]byte, 64<<20)) }() // so that the other way is in the middle of a send
		for busy := false; !busy; time.Sleep(time.Millisecond) {
			p.loop.Call(func() { busy = p.ways[1].sending })
		}
		p.loop.Call(func() { p.ways[0].to = nil })
		_, _ = io.WriteString(p.first, "a word")
		if end := p.ended(t); !errors.Is(end.Err, errPanicked) || !end.Broken || end.By != Nobody {
			t.Errorf("end %+v, want %v", end, errPanicked)
		}
	})
}
