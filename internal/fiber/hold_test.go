package fiber_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
)

// TestHold: a held connection has neither fiber nor receive buffer, bytes do not wake it, and its end does; Resume has all that came served.
func TestHold(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		for _, tt := range []struct {
			name string
			by   time.Duration // 0: never
			do   func(t *testing.T, client net.Conn, c *fiber.Conn)
			want error // of the end; nil: it is served
		}{
			{"resumed", 0, func(_ *testing.T, _ net.Conn, c *fiber.Conn) { l.Call(c.Resume) }, nil},
			{"its time is over", 20 * time.Millisecond, func(*testing.T, net.Conn, *fiber.Conn) {}, fiber.ErrIdle},
			{"the client goes", 0, func(_ *testing.T, client net.Conn, _ *fiber.Conn) { _ = client.Close() }, io.EOF},
		} {
			held, served, gone := make(chan *fiber.Conn, 1), make(chan string, 1), make(chan error, 1)
			var h *handler
			first := true
			h = &handler{gone: func(err error) { gone <- err }, serve: func(c *fiber.Conn) {
				if first {
					first = false
					var by clock.Instant
					if tt.by > 0 {
						by = l.Now().Add(tt.by)
					}
					c.Hold(h, by)
					held <- c
					return
				}
				var all []byte
				for c.Unread() > 0 {
					all = append(all, c.Buffered()...)
					c.Discard(len(c.Buffered()))
				}
				served <- string(all)
				c.Abort()
			}}
			client := dial(t, listen(t, l, h))
			write := func(s string) {
				t.Helper()
				if _, err := client.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			write("one")
			c := <-held
			unread := func() (n int) {
				l.Call(func() { n = c.Unread() })
				return n
			}
			if tt.want == nil {
				eventually(t, l, "no fiber at work and no buffer in use", func() bool {
					n := l.Counters()
					return n.Active == 0 && n.HeadBuffers == 0
				})
				write("two")
				for unread() < 6 {
					time.Sleep(time.Millisecond)
				}
			}
			tt.do(t, client, c)
			select {
			case got := <-served:
				if tt.want != nil || got != "onetwo" {
					t.Errorf("%s: served %q, want onetwo, or the end %v", tt.name, got, tt.want)
				}
			case err := <-gone:
				if tt.want == nil || !errors.Is(err, tt.want) {
					t.Errorf("%s: ended by %v, want %v", tt.name, err, tt.want)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s: nothing happens", tt.name)
			}
			l.Call(c.Resume) // of one that is not held any more does nothing
		}
	})
}
