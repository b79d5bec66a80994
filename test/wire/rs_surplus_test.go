package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// A second answer that comes with the first one, in one piece, on a connection that has brought a large body before: it may still be in the socket when the
// next request looks for a connection. (What the server sends later, nobody can tell from an answer.)
func TestRS1AnswersBehindALargeBody(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 3900, 20_000, 64 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				s.ServersHTTP1(t)
				answer := func(n int) string {
					return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("a", n))
				}
				p, _ := before(t, s, scripts{
					"/large": func(p *testkit.Peer, _ string) bool { return p.Send(answer(100_000)) == nil },
					"/two": func(p *testkit.Peer, _ string) bool {
						_ = p.Send(answer(size) + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
						_, _ = p.AwaitEnd()
						return false
					},
				})
				for range 20 {
					c := testkit.Dial(t, p.Addr)
					wantResponse(t, "GET", c.Get("/large"), 200, strings.Repeat("a", 100_000))
					c.Send("GET /two HTTP/1.1\r\nHost: a\r\n\r\nGET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
					wantResponse(t, "GET", c.Read("GET"), 200, strings.Repeat("a", size))
					wantResponse(t, "GET", c.Read("GET"), 200, "ok")
				}
			})
		})
	}
}
