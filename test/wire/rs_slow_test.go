package wire

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// A response that the client does not take is not taken from the server either.
func TestRS14StalledClientStopsTheServer(t *testing.T) {
	t.Parallel()
	const size = 48 << 20
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersInClear(t) // a TLS connection is of no use after a write that timed out
		written := make(chan int, 1)
		body := testkit.Pattern(14, 1<<20)
		p, _ := before(t, s, scripts{"/big": func(p *testkit.Peer, _ string) bool {
			_ = p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
			n := 0
			for n < size {
				_ = p.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
				k, err := p.Write(body[n%len(body):])
				n += k
				if err != nil && k == 0 {
					break
				}
			}
			written <- n
			_ = p.SetWriteDeadline(time.Now().Add(2 * testkit.Patience))
			for n < size {
				k, err := p.Write(body[n%len(body):])
				n += k
				if err != nil {
					return false
				}
			}
			return true
		}})
		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/big"))
		if n := <-written; n > stallBound {
			t.Errorf("%d MiB were taken from the server while the client took nothing, want at most %d", n>>20, stallBound>>20)
		}
		wantOpen(t, testkit.Dial(t, p.Addr))
		r := c.Read("GET")
		got, want := sha256.Sum256([]byte(r.Body)), sha256.Sum256([]byte(strings.Repeat(string(body), size>>20)))
		if r.Err != nil || len(r.Body) != size || got != want {
			t.Errorf("%d bytes with hash %x (%v), want %d with %x", len(r.Body), got[:4], r.Err, size, want[:4])
		}
		wantOpen(t, c)
	})
}

// An infinite response to a client that reads nothing ends when the write has stalled for long enough; the client can see that it was cut.
func TestRS14StalledWriteIsGivenUp(t *testing.T) {
	t.Parallel()
	type row struct{ name, path, head, request string }
	tests := []row{
		{"chunks", "/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"until the end", "/close", "HTTP/1.1 200 OK\r\n\r\n", "GET /close HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"until the end, HTTP/1.0", "/close10", "HTTP/1.1 200 OK\r\n\r\n", "GET /close10 HTTP/1.0\r\n\r\n"},
		{"length", "/length", "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", "GET /length HTTP/1.1\r\nHost: a\r\n\r\n"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		tests := tests
		if s.HTTP2 {
			tests = slices.DeleteFunc(slices.Clone(tests), func(tt row) bool { return strings.Contains(tt.name, "HTTP/1.0") })
		}
		ended := make(chan string, len(tests))
		m := scripts{}
		for _, tt := range tests {
			piece := strings.Repeat("x", 64<<10)
			if tt.name == "chunks" {
				piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
			}
			m[tt.path] = func(p *testkit.Peer, head string) bool {
				_ = p.Send(tt.head)
				for p.Send(piece) == nil {
				}
				ended <- tt.name
				return false
			}
		}
		p, _ := before(t, s, m, "timeouts: { write: 200ms }")
		var clients []*testkit.Client
		for _, tt := range tests {
			c := testkit.Dial(t, p.Addr)
			c.Send(tt.request)
			clients = append(clients, c)
		}
		for range tests {
			<-ended // the server's connection is closed
		}
		for i, c := range clients {
			r, err := c.TryRead("GET")
			if err == nil && r.Err == nil {
				t.Errorf("%s: the client got %d bytes and a clean end of an infinite body", tests[i].name, len(r.Body))
			}
		}
		for path, rs := range p.Parsed(t, len(tests)) {
			if r := rs[0]; r.Status != 200 || r.End != "cD--" {
				t.Errorf("%s: record %+v, want 200, cD--", path, r)
			}
		}
	})
}

// A slow reader gets all of a body, however small its steps are, while it takes something.
func TestRS14SlowReader(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		body := testkit.Pattern(3, 16<<20)
		p, _ := before(t, s, scripts{"/": testkit.Reply(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))}, "timeouts: { write: 400ms }")
		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/"))
		h := sha256.New()
		read, n := io.Reader(c.TCPConn), int64(0)
		if s.HTTP2 {
			read = c.R
		}
		for range 5 {
			k, err := io.CopyN(h, read, 1000)
			if n += k; err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
		}
		r, err := io.CopyN(io.Discard, read, int64(len(body))-n)
		if err != nil {
			t.Errorf("after %d bytes: %v, want %d and more", n+r, err, len(body))
		}
	})
}

func TestRS8NothingSplitsAResponse(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, server := before(t, s, scripts{
			"/field":  testkit.Reply("HTTP/1.1 200 OK\r\nLocation: /a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n"),
			"/lf":     testkit.Reply("HTTP/1.1 200 OK\r\nLocation: /a\nSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n"),
			"/reason": testkit.Reply("HTTP/1.1 200 OK\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n"),
			"/trail":  testkit.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\rSet-Cookie: evil=1\r\n\r\n"),
			"/103":    testkit.Reply("HTTP/1.1 103 Early Hints\r\nLink: a\rSet-Cookie: evil=1\r\n\r\n" + testkit.OK),
		})
		for _, path := range []string{"/field", "/lf", "/reason", "/trail", "/103"} {
			if s.ServerHTTP2 && path == "/reason" {
				continue // it has none
			}
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf(path, "Connection: close"))
			cut := s.ServerHTTP2 && path == "/trail" // the head comes first, and is passed on
			if got := c.Rest(); strings.Contains(got, "evil") || !strings.HasPrefix(got, "HTTP/1.1 502 ") && !cut {
				t.Errorf("%s: the client got %q, want 502", path, got)
			}
		}
		// What a client sends and we send back, the request's id and the cookie, cannot do it either.
		for _, field := range []string{"X-Request-Id: a\rSet-Cookie: evil=1", "X-Request-Id: a\nSet-Cookie: evil=1", "X-Request-Id: a\x00b"} {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/id", field))
			if got := c.Rest(); strings.Contains(got, "evil") || !strings.HasPrefix(got, "HTTP/1.1 400 ") && (got != "" || !s.HTTP2) { // its stream is reset
				t.Errorf("%q: the client got %q, want 400", field, got)
			}
		}
		if strings.Contains(server.Got(), "/id") {
			t.Error("a request with a line end in a field was passed on")
		}
	})
}
