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

// waiting is a fiber that waits for what a test does.
type waiting struct {
	t      *testing.T
	loop   *fiber.Loop
	client *net.TCPConn
	conn   *fiber.Conn // the loop's side of client
	wait   *fiber.Wait
}

// seen returns once the loop has seen the client's FIN.
func (w *waiting) seen() {
	for {
		var broken error
		w.loop.Call(func() { broken = w.conn.Broken() })
		if broken != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *waiting) reset() {
	_ = w.client.SetLinger(0)
	_ = w.client.Close()
}

// A wait ends when it is told, when its time is over, or with its client; UntilReset does not take a closed sending half for that.
func TestWaitEnds(t *testing.T) {
	errLeft := errors.New("the client's server has gone")
	const soon = 50 * time.Millisecond
	type is = func(error) bool
	nothing := func(err error) bool { return err == nil }
	late := func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
	end := func(err error) bool { return err == io.EOF }
	tell := func(w *waiting) { w.wait.Tell() }
	finAndTell := func(w *waiting) {
		if err := w.client.CloseWrite(); err != nil {
			w.t.Error(err)
		}
		w.seen()
		w.wait.Tell()
	}
	for _, tt := range []struct {
		name              string
		before, alone     bool          // the client closed its sending half before the wait began; there is no client
		by                time.Duration // 0: never
		happens           func(w *waiting)
		until, untilReset is // what each of both returns
	}{
		{"told", false, false, 0, tell, nothing, nothing},
		{"told, without a client", false, true, time.Hour, tell, nothing, nothing},
		{"its time is over", false, false, soon, func(*waiting) {}, late, late},
		{"its time is over, without a client", false, true, soon, func(*waiting) {}, late, late},
		{"the client's FIN, then told", false, false, time.Hour, finAndTell, end, nothing},
		{"told after the client's FIN", true, false, 0, tell, end, nothing},
		{"its time is over after the client's FIN", true, false, soon, func(*waiting) {}, end, late},
		{"the client's reset", false, false, 0, (*waiting).reset, sys.IsReset, sys.IsReset},
		{
			"the client is interrupted", false, false, 0, func(w *waiting) { w.loop.Post(func() { w.conn.Interrupt(errLeft) }) },
			func(err error) bool { return err == errLeft }, func(err error) bool { return err == errLeft },
		},
		{
			"the loop stops", false, false, 0, func(w *waiting) { go w.loop.Stop() },
			func(err error) bool { return err == fiber.ErrStopped }, func(err error) bool { return err == fiber.ErrStopped },
		},
	} {
		for what, until := range map[string]struct {
			wait func(*fiber.Wait, clock.Instant, fiber.Client) error
			want is
		}{"Until": {(*fiber.Wait).Until, tt.until}, "UntilReset": {(*fiber.Wait).UntilReset, tt.untilReset}} {
			t.Run(what+"/"+tt.name, func(t *testing.T) {
				each(t, func(t *testing.T, l *fiber.Loop) {
					begun, got := make(chan *waiting, 1), make(chan error, 1)
					addr := listen(t, l, &handler{serve: func(c *fiber.Conn) {
						c.Discard(len(c.Buffered()))
						c.Listen()
						for tt.before && c.Broken() == nil {
							l.Sleep(time.Millisecond)
						}
						w, client, by := l.NewWait(), fiber.Client(c), clock.Instant(0)
						if tt.alone {
							client = nil
						}
						if tt.by > 0 {
							by = l.Now().Add(tt.by)
						}
						begun <- &waiting{t: t, loop: l, conn: c, wait: w}
						got <- until.wait(w, by, client)
						c.Abort()
					}})
					client := dial(t, addr).(*net.TCPConn)
					if _, err := client.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
					if tt.before {
						_ = client.CloseWrite()
					}
					w := <-begun
					w.client = client
					tt.happens(w)
					select {
					case err := <-got:
						if !until.want(err) {
							t.Errorf("%s = %v", what, err)
						}
					case <-time.After(10 * time.Second):
						t.Fatalf("%s did not return", what)
					}
				})
			})
		}
	}
}
