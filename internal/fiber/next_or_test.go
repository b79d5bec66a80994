package fiber_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/sys"
)

// pair is a connection that a fiber has made, and its peer.
type pair struct {
	l    *fiber.Loop
	c    *fiber.Conn
	peer *net.TCPConn
}

// within runs f in a fiber that has a connection, and waits for it.
func within(t *testing.T, l *fiber.Loop, f func(p *pair)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peers, done := make(chan *net.TCPConn, 1), make(chan struct{})
	go func() {
		c, _ := ln.Accept()
		peers <- c.(*net.TCPConn)
	}()
	l.Post(func() {
		l.Go(func() {
			defer close(done)
			addr, _ := sys.ParseAddr(ln.Addr().String())
			c, err := l.Dial(addr, 0, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Abort()
			p := &pair{l, c, <-peers}
			defer p.peer.Close()
			f(p)
		})
	})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a fiber waits for ever")
	}
}

// soon has f happen on the loop while the fiber waits.
func (p *pair) soon(f func()) {
	time.AfterFunc(20*time.Millisecond, func() { p.l.Post(f) })
}

func (p *pair) reset() {
	_ = p.peer.SetLinger(0)
	_ = p.peer.Close()
}

var errForTest = errors.New("for the test")

// What has happened before a wait begins ends it too.
func TestWaitThatBeginsLate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(p *pair, w *fiber.Wait)
		by     time.Duration // 0: never
		ends   func(err error) bool
	}{
		{"told", func(_ *pair, w *fiber.Wait) { w.Tell() }, 0, func(err error) bool { return err == nil }},
		{"told, and out of time", func(p *pair, w *fiber.Wait) { w.Tell(); p.l.Yield(); p.l.Yield() }, -time.Second, func(err error) bool { return err == nil }},
		{"interrupted", func(p *pair, _ *fiber.Wait) { p.c.Interrupt(errForTest) }, 0, func(err error) bool { return err == errForTest }},
		{"reset", func(p *pair, _ *fiber.Wait) { p.reset(); p.l.Sleep(20 * time.Millisecond) }, 0, sys.IsReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, l *fiber.Loop) {
				within(t, l, func(p *pair) {
					p.c.Listen()
					w, by := l.NewWait(), clock.Instant(0)
					tt.before(p, w)
					if tt.by != 0 {
						by = l.Now().Add(tt.by)
					}
					if err := w.UntilReset(by, p.c); !tt.ends(err) {
						t.Errorf("the wait ends with %v", err)
					}
				})
			})
		})
	}
}

// A wait that is over leaves nothing behind that would end what follows it.
func TestWaitIsOver(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		within(t, l, func(p *pair) {
			p.c.Listen()
			first, second := l.NewWait(), l.NewWait()
			if err := first.Until(l.Now().Add(10*time.Millisecond), p.c); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the first wait ends with %v", err)
			}
			first.Tell() // too late
			p.soon(func() { _ = p.peer.CloseWrite() })
			if err := second.Until(l.Now().Add(100*time.Millisecond), nil); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a wait for nobody ends with %v when a connection has ended, want its time", err)
			}
			p.soon(func() {
				p.c.Interrupt(errForTest)
				p.c.Interrupt(errForTest)
			})
			_ = l.NewWait().UntilReset(0, p.c)
			began := time.Now()
			if l.Sleep(50 * time.Millisecond); time.Since(began) < 40*time.Millisecond {
				t.Errorf("what ends a wait twice ends a sleep after %v", time.Since(began))
			}
		})
	})
}

func TestNextOr(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(p *pair, done *bool)
		by     time.Duration
		bytes  bool
		want   error
	}{
		{"done before", func(_ *pair, done *bool) { *done = true }, 0, false, nil},
		{"done", func(p *pair, done *bool) { p.soon(func() { *done = true; p.c.Nudge() }) }, 0, false, nil},
		{"bytes", func(p *pair, _ *bool) { p.soon(func() { _, _ = p.peer.Write([]byte("x")) }) }, 0, true, nil},
		{"nudged for nothing", func(p *pair, _ *bool) { p.soon(p.c.Nudge) }, 60 * time.Millisecond, false, os.ErrDeadlineExceeded},
		{"late", func(*pair, *bool) {}, 20 * time.Millisecond, false, os.ErrDeadlineExceeded},
		{"ended", func(p *pair, _ *bool) { _ = p.peer.CloseWrite() }, 0, false, io.EOF},
		{"interrupted", func(p *pair, _ *bool) { p.soon(func() { p.c.Interrupt(errForTest) }) }, 0, false, errForTest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, l *fiber.Loop) {
				within(t, l, func(p *pair) {
					done := false
					tt.before(p, &done)
					if tt.by > 0 {
						p.c.ReadBy(l.Now().Add(tt.by))
					}
					if err := p.c.NextOr(&done); !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
						t.Errorf("NextOr = %v, want %v", err, tt.want)
					}
					if got := len(p.c.Buffered()) > 0; got != tt.bytes {
						t.Errorf("bytes are there: %t, want %t", got, tt.bytes)
					}
					if tt.want == nil && !tt.bytes { // it can be read on
						_, _ = p.peer.Write([]byte("y"))
						if err := p.c.Next(); err != nil || string(p.c.Buffered()) != "y" {
							t.Errorf("Next = %v with %q, want y", err, p.c.Buffered())
						}
					}
					p.c.Nudge() // nobody waits
				})
			})
		})
	}
}
