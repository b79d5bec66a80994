package wire

import (
	"io"
	"testing"
	"time"

	"poise/internal/testkit"
)

// TestRX1SlowHandshake: a handshake has its time from the connection on, however late it begins and however often a byte of it comes.
func TestRX1SlowHandshake(t *testing.T) {
	t.Parallel()
	const bound, late = 500 * time.Millisecond, 400 * time.Millisecond
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr, "timeouts: { tls_handshake: 500ms }")
		hello := helloOf(t, cert.Client("localhost"))
		took := time.Hour
		for range 3 { // a busy machine may be late now and then
			c := testkit.Dial(t, p.Addr)
			begun := time.Now()
			go func() {
				time.Sleep(late)
				for i := range hello {
					if _, err := c.TCPConn.Write(hello[i:][:1]); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
			_, _ = io.Copy(io.Discard, c.TCPConn)
			if took = min(took, time.Since(begun)); took < bound+late/2 {
				break
			}
		}
		if took < bound-50*time.Millisecond || took > bound+late/2 {
			t.Errorf("a slow handshake was ended after %v, want %v", took, bound)
		}
	})
}
