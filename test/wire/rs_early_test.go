package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

func TestRS5EarlyResponse(t *testing.T) {
	t.Parallel()
	const (
		full   = 4 << 20
		tooBig = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"
	)
	tests := []struct {
		name, path, response string
		after                string // what the server does once it has answered: close, fin (and read on), or wait for the end
		chunked              bool
		status               int
		body                 string
	}{
		{"413 and close", "/413close", strings.Replace(tooBig, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), "close", false, 413, "big"},
		{"413 and close, chunks", "/413closec", strings.Replace(tooBig, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), "close", true, 413, "big"},
		{"413 and nothing more", "/413wait", tooBig, "wait", false, 413, "big"},
		{"413 without a length", "/413until", "HTTP/1.1 413 No\r\n\r\nbig", "fin", false, 413, "big"},
		{"413 in chunks", "/413chunks", "HTTP/1.1 413 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n", "wait", true, 413, "big"},
		{"200 and nothing more", "/200wait", testkit.OK, "wait", false, 200, "ok"},
		{"200 and close", "/200close", okClose, "close", true, 200, "ok"},
		{"204", "/204", "HTTP/1.1 204 No Content\r\n\r\n", "wait", false, 204, ""},
		{"malformed", "/malformed", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "wait", false, 502, badGateway},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		m := scripts{}
		for _, tt := range tests {
			m[tt.path] = func(p *testkit.Peer, head string) bool {
				if _, err := p.R.Discard(10); err != nil { // some of the body has come
					t.Errorf("the server got no body: %v", err)
				}
				_ = p.Send(tt.response)
				if tt.after == "fin" {
					_ = p.CloseWrite()
				}
				if tt.after != "close" {
					_, _ = p.R.WriteTo(ignore{})
				}
				return false
			}
		}
		p, server := before(t, s, m)
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				piece := string(testkit.Pattern(5, 16<<10))
				if tt.chunked {
					c.Send("POST " + tt.path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + piece)
				} else {
					c.Send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", tt.path, full, piece))
				}
				// The response comes although the body is not complete, and what the client still sends takes nothing of it away.
				c.Send(piece)
				r := c.Read("POST")
				wantResponse(t, tt.name, r, tt.status, tt.body)
				if tt.status >= 300 && !saysClose(s, r) {
					t.Error("the response lacks Connection: close")
				}
				c.Send(piece)
				if !s.HTTP2 {
					c.Send(getOf("/smuggled"))
				}
				_ = c.CloseWrite()
				if rest, _ := c.Closed(); rest != "" {
					t.Errorf("after the response came %q", rest)
				}
				fresh := testkit.Dial(t, p.Addr)
				wantOpen(t, fresh)
				if n := server.Connections(); n < i+1 && !s.ServerHTTP2 {
					t.Errorf("%d connections to the server after %d cut uploads: one was used again", n, i+1)
				}
			})
		}
		if strings.Contains(server.Got(), "GET /next") && strings.Contains(server.Got(), "GET /smuggled HTTP/1.1\r\nHost: example.test\r\nX-Forwarded") {
			t.Error("a request was made of a body")
		}
		p.Parsed(t, 2*len(tests))
	})
}

type ignore struct{}

func (ignore) Write(b []byte) (int, error) { return len(b), nil }

// The client has sent all when the response, which began early, ends: nothing is in doubt, and both connections go on.
func TestRS5EarlyResponseThatEndsLate(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, server := before(t, s, scripts{"/early": func(p *testkit.Peer, head string) bool {
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
			r, err := p.BodyOf(head)
			if err != nil || len(r.Body) != 100<<10 {
				return false
			}
			return p.Send("cd") == nil
		}})
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			c.Send(fmt.Sprintf("PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 100<<10))
			if _, err := c.R.Peek(1); err != nil {
				t.Fatalf("no response before the body: %v", err)
			}
			c.Send(string(make([]byte, 100<<10)))
			wantResponse(t, "PUT", c.Read("PUT"), 200, "abcd")
		}
		if n := server.Connections(); n != 1 {
			t.Errorf("%d connections to the server, want 1", n)
		}
	})
}

// The client sends on for long: it gets its answer, and is not reset before it can read it.
func TestRS5LingeringClose(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{"/": testkit.ReplyAndClose("HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")})
		for range 5 {
			c := testkit.Dial(t, p.Addr)
			c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
			for range 12 { // within what a lingering close takes
				c.Send(string(make([]byte, 64<<10)))
			}
			r, err := c.TryRead("POST")
			if err != nil {
				t.Fatalf("no response: %v", err)
			}
			wantResponse(t, "POST", r, 413, "big")
		}
	})
}
