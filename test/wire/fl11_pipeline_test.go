package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// Requests are taken one by one: a client that reads no answers is not read either, once the kernel holds what it may.
func TestFL11PipelineWithoutReading(t *testing.T) {
	t.Parallel()
	const many = 10000
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 64<<10) + strings.Repeat("x", 64<<10)
	request := "GET /flood HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 8000) + "\r\n\r\n"
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		server := serveReader(t, func(f *forwarded) string {
			if strings.Contains(f.line, "/flood") {
				return answer
			}
			return testkit.OK
		})
		p := short(t, s, server.Server, "timeouts: { write: 300ms }")
		neighbour := testkit.Dial(t, p.Addr)
		neighbourServed(t, neighbour)
		c := testkit.Dial(t, p.Addr)
		_ = c.SetReadBuffer(64 << 10)
		sent := make(chan int)
		go func() {
			n := 0
			for range many {
				m, err := c.Write([]byte(request))
				n += m
				if err != nil {
					break
				}
			}
			sent <- n
		}()
		flood := func() (whole, cut int) {
			for _, r := range readLog(t, p, 0) {
				switch {
				case r.Client != c.LocalAddr().String():
				case strings.HasPrefix(r.End, "cD"):
					cut++
				default:
					whole++
				}
			}
			return whole, cut
		}
		testkit.Eventually(t, "record of the answer that nobody took", func() bool {
			neighbourServed(t, neighbour)
			_, cut := flood()
			return cut == 1
		})
		n := <-sent // the connection is closed
		whole, cut := flood()
		// The kernel's buffers hold a few megabytes of answers.
		if whole == 0 || whole > 400 || cut != 1 {
			t.Errorf("%d answers and %d that were cut, want 1 to 400 and 1", whole, cut)
		}
		if n == many*len(request) {
			t.Errorf("all %d bytes of requests were taken, want fewer", n)
		}
		floods := 0
		for _, f := range server.requests(t, 1) {
			if strings.Contains(f.line, "/flood") {
				floods++
			}
		}
		if floods != whole+cut {
			t.Errorf("the server got %d requests of the flood, want %d", floods, whole+cut)
		}
	})
}

// One that does read gets every answer, in order.
func TestFL11LongPipeline(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		many := 10000
		if s.Loops > 1 { // one connection lives on one loop
			many = 1000
		}
		// Each answer has its own time, not the whole: ten thousand one after the other take a busy machine as long as they take.
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				_ = p.SetDeadline(time.Now().Add(testkit.Patience))
				head, err := p.ReadHead()
				if err != nil {
					return
				}
				path := strings.Fields(head)[1]
				if p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)) != nil {
					return
				}
			}
		})
		c := testkit.Dial(t, short(t, s, server).Addr)
		go func() {
			var b strings.Builder
			for i := range many {
				fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
			}
			c.Send(b.String())
		}()
		for i := range many {
			_ = c.SetDeadline(time.Now().Add(testkit.Patience))
			if r, want := c.Read("GET"), fmt.Sprintf("/%d", i); r.Body != want {
				t.Fatalf("answer %d is %q, want %q", i, r.Body, want)
			}
		}
		if n := server.Connections(); n != 1 {
			t.Errorf("%d connections to the server, want 1", n)
		}
	})
}
