package fiber_test

import (
	"io"
	"net"
	"syscall"
	"testing"

	"poise/internal/fiber"
)

// hold keeps the loop busy until the returned function is called, so that what comes meanwhile comes in one turn.
func hold(l *fiber.Loop) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(held); <-free })
	<-held
	return func() { close(free) }
}

// Sends that end at once do not keep a fiber running for ever: each lets others have their turn, or one in a few does.
func TestSendsThatEndAtOnceLetOthersBeServed(t *testing.T) {
	const many, most = 1000, 50
	each(t, func(t *testing.T, l *fiber.Loop) {
		sent := 0
		talker := &handler{serve: func(c *fiber.Conn) {
			for range many {
				if c.Send([]byte("answer")) != nil {
					break
				}
				sent++
			}
			_ = c.Close()
		}}
		atOther := make(chan int, 1)
		other := &handler{serve: func(c *fiber.Conn) { atOther <- sent; c.Abort() }}
		first, second := dial(t, listen(t, l, talker)), dial(t, listen(t, l, other))
		release := hold(l)
		_, _ = first.Write([]byte("x"))
		_, _ = second.Write([]byte("x"))
		release()
		n := <-atOther
		t.Logf("n=%d", n)
		if n > most {
			t.Errorf("%d pieces were sent on one connection before another was served, want at most %d", n, most)
		}
		if got, err := io.ReadAll(first); len(got) != many*len("answer") {
			t.Errorf("read %d bytes, %v; want %d", len(got), err, many*len("answer"))
		}
	})
}

// A receive stops before an urgent byte; what follows it is received all the same.
func TestBytesBehindAnUrgentOneAreReceived(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		c := dial(t, listen(t, l, echo())).(*net.TCPConn)
		release := hold(l)
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
		release()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len("behind"))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "behind" {
			t.Errorf("echo = %q, %v; want behind", got, err)
		}
	})
}
