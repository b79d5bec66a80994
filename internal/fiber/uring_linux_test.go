package fiber

import (
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"poise/internal/sys"
)

// deaf is an address that takes no connection and refuses none: its queue is full.
func deaf(t *testing.T) string {
	t.Helper()
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, false)
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close(fd) })
	addr := sys.LocalAddr(fd).String()
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("a queue of length 0 takes more than 8")
	return ""
}

// A connection that is closed while it connects ends at once.
func TestURingCloseEndsAConnect(t *testing.T) {
	l, _, err := Start(0, Config{Driver: "io_uring", Poison: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	a, _ := sys.ParseAddr(deaf(t))
	done := make(chan error, 1)
	l.Call(func() {
		l.Go(func() { _, err := l.Dial(a, 0, nil); done <- err })
		l.runReady()
		l.driver.(*uring).enter()
		l.Each((*Conn).Abort)
	})
	select {
	case err := <-done:
		if err == nil {
			t.Error("Dial to an address that takes no connection has succeeded")
		}
	case <-time.After(3 * time.Second):
		t.Fatal("Dial hangs")
	}
}
