package fiber_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"poise/internal/fiber"
	"poise/internal/sys"
)

// eachDirect is each for the drivers whose connections can be used directly: serve gets one of them and a pipe, and its error fails the test.
func eachDirect(t *testing.T, serve func(c *fiber.Conn, p *fiber.Pipe) error, client func(t *testing.T, l *fiber.Loop, c *net.TCPConn)) {
	t.Helper()
	each(t, func(t *testing.T, l *fiber.Loop) {
		var p *fiber.Pipe
		l.Call(func() { p = l.Pipe() })
		if p == nil {
			if l.DriverName() != "net" {
				t.Fatal("there is no pipe")
			}
			t.Skip("package net keeps its sockets to itself")
		}
		served := make(chan error, 1)
		h := &handler{serve: func(c *fiber.Conn) {
			c.Discard(1)
			c.Receive(fiber.Bodies)
			c.Direct(true)
			_ = c.Send([]byte("+"))
			served <- serve(c, p)
			c.Direct(false)
			p.Free()
			_ = c.Close()
		}}
		c := dial(t, listen(t, l, h)).(*net.TCPConn)
		answered(t, c, "!", "+")
		client(t, l, c)
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the fiber hangs")
		}
		_ = c.Close()
		eventually(t, l, "end of the connection", func() bool { return l.Counters().Conns == 0 })
	})
}

// answered sends s and wants the answer.
func answered(t *testing.T, c net.Conn, s, answer string) {
	t.Helper()
	_, _ = io.WriteString(c, s)
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != answer {
		t.Fatalf("%q was answered by %q, %v; want %q", s, got, err, answer)
	}
}

// pass moves n bytes from a connection back to itself.
func pass(c *fiber.Conn, p *fiber.Pipe, n int64) error {
	for n > 0 {
		if err := c.Fetch(p, n); err != nil {
			return err
		}
		b := c.Buffered()
		n -= int64(p.Held() + len(b))
		if err := c.SendThrough(p, nil, b); err != nil {
			return err
		}
		c.Discard(len(b))
	}
	return nil
}

// pattern shows what was lost, doubled or mixed up.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestThroughAPipeToASlowReader(t *testing.T) {
	const size = 3<<20 + 17
	eachDirect(t, func(c *fiber.Conn, p *fiber.Pipe) error { return pass(c, p, size) }, func(t *testing.T, _ *fiber.Loop, c *net.TCPConn) {
		_ = c.SetReadBuffer(64 << 10)
		want := pattern(size)
		go func() { _, _ = c.Write(want) }()
		got := make([]byte, 0, size)
		for piece := make([]byte, 7001); len(got) < size; {
			n, err := c.Read(piece)
			got = append(got, piece[:n]...)
			if err != nil {
				t.Fatalf("after %d bytes: %v", len(got), err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Error("other bytes came back")
		}
	})
}

// However often it is asked, and whatever comes meanwhile, a pipe gets no more than was asked for.
func TestPipeHoldsNoMoreThanWasAskedFor(t *testing.T) {
	more := make(chan struct{}, 1)
	eachDirect(t, func(c *fiber.Conn, p *fiber.Pipe) error {
		if err := c.Fetch(p, 100); err != nil {
			return err
		}
		if p.Held() != 10 {
			return errors.New("10 bytes have come, and others were fetched")
		}
		_ = c.Send([]byte("."))
		for len(more) == 0 {
			c.Loop().Yield()
		}
		<-more
		for range 1000 { // also what comes a little later
			c.TryFetch(p, 100, 0)
		}
		if p.Held() > 100 {
			return errors.New("more than was asked for")
		}
		return c.SendThrough(p)
	}, func(t *testing.T, _ *fiber.Loop, c *net.TCPConn) {
		_, _ = c.Write(make([]byte, 10))
		_, _ = c.Read(make([]byte, 1))
		_, _ = c.Write(make([]byte, 500))
		more <- struct{}{}
	})
}

func TestFetchTellsTheEnd(t *testing.T) {
	var reset bool
	serve := func(c *fiber.Conn, p *fiber.Pipe) error {
		err := pass(c, p, 1<<20)
		if reset && sys.IsReset(err) || !reset && err == io.EOF {
			return nil
		}
		return errors.New("in the middle of the bytes, the peer's end was told otherwise")
	}
	client := func(t *testing.T, _ *fiber.Loop, c *net.TCPConn) {
		want := pattern(100 << 10)
		_, _ = c.Write(want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("before the end: %v, or other bytes", err)
		}
		if reset {
			_ = c.SetLinger(0)
			_ = c.Close()
		} else {
			_ = c.CloseWrite()
		}
	}
	for _, reset = range []bool{false, true} {
		eachDirect(t, serve, client)
	}
}

func TestDirectWaitsEnd(t *testing.T) {
	interrupted := errors.New("interrupted")
	soon := func(c *fiber.Conn) {
		c.Loop().Go(func() {
			c.Loop().Sleep(20 * time.Millisecond)
			c.Interrupt(interrupted)
		})
	}
	fill := func(c *fiber.Conn, p *fiber.Pipe) error { // what comes goes back, and nobody reads it
		for {
			if err := c.SendThrough(p, make([]byte, 64<<10)); err != nil {
				return err
			}
		}
	}
	fetch := func(c *fiber.Conn, p *fiber.Pipe) error { return c.Fetch(p, 1) }
	tests := []struct {
		name  string
		begin func(c *fiber.Conn)
		wait  func(c *fiber.Conn, p *fiber.Pipe) error
		want  error
	}{
		{"Fetch, interrupted", soon, fetch, interrupted},
		{"SendThrough, interrupted", soon, fill, interrupted},
		{"Fetch, late", func(c *fiber.Conn) { c.ReadBy(c.Loop().Now().Add(20 * time.Millisecond)) }, fetch, os.ErrDeadlineExceeded},
		{"SendThrough, late", func(c *fiber.Conn) { c.WriteBy(c.Loop().Now().Add(20 * time.Millisecond)) }, fill, os.ErrDeadlineExceeded},
		{"SendThrough, stalled", func(c *fiber.Conn) { c.StallAfter(50 * time.Millisecond) }, fill, os.ErrDeadlineExceeded},
		{"Fetch, aborted", func(c *fiber.Conn) { c.Loop().Go(c.Abort) }, fetch, net.ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDirect(t, func(c *fiber.Conn, p *fiber.Pipe) error {
				tt.begin(c)
				if err := tt.wait(c, p); !errors.Is(err, tt.want) {
					t.Errorf("the wait ended with %v, want %v", err, tt.want)
				}
				return nil
			}, func(*testing.T, *fiber.Loop, *net.TCPConn) {})
		})
	}
}

// What is not aware of it receives and sends on a directly used connection as ever.
func TestOrdinaryCallsOnADirectConnection(t *testing.T) {
	const size = 4 << 20
	eachDirect(t, func(c *fiber.Conn, _ *fiber.Pipe) error {
		for left := size; left > 0; {
			if err := c.Next(); err != nil {
				return err
			}
			b := c.Buffered()
			left -= len(b)
			if err := c.Send(b); err != nil {
				return err
			}
			c.Discard(len(b))
		}
		return nil
	}, func(t *testing.T, _ *fiber.Loop, c *net.TCPConn) {
		want := pattern(size)
		go func() { _, _ = c.Write(want) }()
		got := make([]byte, size)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, or other bytes came back", err)
		}
	})
}

// A pipe takes nothing past an urgent byte: what follows is received, without a turn of the loop for each look.
func TestFetchGoesPastAnUrgentByte(t *testing.T) {
	const text = "bytes before the urgent one and behind it"
	begin := make(chan uint64, 1)
	eachDirect(t, func(c *fiber.Conn, p *fiber.Pipe) error {
		begin <- c.Loop().Counters().Turns
		return pass(c, p, int64(len(text)))
	}, func(t *testing.T, l *fiber.Loop, c *net.TCPConn) {
		from := <-begin
		_, _ = io.WriteString(c, text[:13])
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			if _, e := syscall.SendmsgN(int(fd), []byte("!"), nil, nil, syscall.MSG_OOB); e != nil {
				t.Errorf("send an urgent byte: %v", e)
			}
		})
		_, _ = io.WriteString(c, text[13:])
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		got := make([]byte, len(text))
		if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Errorf("%q came back, %v; want %q", got[:n], err, text)
			_ = c.Close()
		}
		var turns uint64
		l.Call(func() { turns = l.Counters().Turns - from })
		if turns > 200 {
			t.Errorf("it took %d turns", turns)
		}
	})
}
