package wire

import (
	"strings"
	"testing"

	"poise/internal/testkit"
)

const okClose = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

// extra answers with response, and then wants Poise to close the connection without having sent anything more on it.
func extra(t *testing.T, response string) testkit.Script {
	return func(p *testkit.Peer, head string) bool {
		_ = p.Send(response)
		if rest, err := p.AwaitEnd(); rest != "" || err != nil && !isReset(err) {
			t.Errorf("%s: after too many bytes came %q (%v), want the connection's end", testkit.PathOf(head), rest, err)
		}
		return false
	}
}

func TestRS1ExtraBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, path, response string
		status                       int
		body                         string
	}{
		{"behind a length", "GET", "/length", testkit.OK + "x", 200, "ok"},
		{"a whole response", "GET", "/whole", testkit.OK + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200, "ok"},
		{"behind chunks", "GET", "/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0\r\n\r\n", 200, "ok"},
		{"body of HEAD", "HEAD", "/head", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200, ""},
		{"body of 204", "GET", "/204", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", 204, ""},
		{"chunked body of 204", "GET", "/204c", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n", 204, ""},
		{"body of 304", "GET", "/304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", 304, ""},
		{"behind an empty body", "GET", "/empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n", 200, ""},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t) // bytes behind an answer
		m := scripts{}
		for _, tt := range tests {
			m[tt.path] = extra(t, tt.response)
		}
		p, _ := before(t, s, m)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				c.Send(tt.method + " " + tt.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
				wantResponse(t, tt.path, c.Read(tt.method), tt.status, tt.body)
				wantOpen(t, c) // answered by another connection, whatever was left of this one
			})
		}
		p.Parsed(t, 2*len(tests))
	})
}

// Bytes that nobody asked for, on a connection that waits for its next request.
func TestRS1UnaskedBytesOnAnIdleConnection(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		answered, closed := make(chan struct{}), make(chan error, 1)
		p, server := before(t, s, scripts{"/first": func(p *testkit.Peer, _ string) bool {
			_ = p.Send(testkit.OK)
			<-answered
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			rest, err := p.AwaitEnd()
			if rest != "" {
				t.Errorf("the connection with unasked bytes got %q, want nothing", rest)
			}
			closed <- err
			return false
		}})
		c := testkit.Dial(t, p.Addr)
		wantResponse(t, "GET", c.Get("/first"), 200, "ok")
		close(answered)
		<-closed
		wantOpen(t, c)
		if n := server.Connections(); n != 2 {
			t.Errorf("%d connections, want a second one for the second request", n)
		}
	})
}

func TestRS1GreetingIsNoResponse(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			_ = p.Send("220 mail.example.test ESMTP ready\r\n")
			_, _ = p.AwaitEnd()
		})
		p := beforeServers(t, s, []*testkit.Server{server})
		c := testkit.Dial(t, p.Addr)
		for range 2 {
			wantResponse(t, "GET", c.Get("/"), 502, "502 Bad Gateway: the server's answer was malformed\n")
		}
	})
}

const badGateway = "502 Bad Gateway: the server's answer was malformed\n"

func TestRS2MalformedResponse(t *testing.T) {
	t.Parallel()
	const ok11 = "HTTP/1.1 200 OK\r\n"
	chunked := ok11 + "Transfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name, response string
		http1          bool // it is about the line that HTTP/2 does not have
	}{
		{"length and coding", ok11 + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
		{"coding and length", ok11 + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
		{"two lengths", ok11 + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", false},
		{"two equal lengths", ok11 + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", false},
		{"list of lengths", ok11 + "Content-Length: 2, 2\r\n\r\nok", false},
		{"signed length", ok11 + "Content-Length: +2\r\n\r\nok", false},
		{"hexadecimal length", ok11 + "Content-Length: 0x2\r\n\r\nok", false},
		{"length above 2^63", ok11 + "Content-Length: 9223372036854775808\r\n\r\nok", false},
		{"empty length", ok11 + "Content-Length:\r\n\r\nok", false},
		{"coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		{"chunked, gzip", ok11 + "Transfer-Encoding: chunked, gzip\r\n\r\nok", false},
		{"gzip, chunked", ok11 + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
		{"gzip", ok11 + "Transfer-Encoding: gzip\r\n\r\nok", false},
		{"identity", ok11 + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", false},
		{"chunked twice", ok11 + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
		{"NUL in a value", ok11 + "X: a\x00b\r\nContent-Length: 2\r\n\r\nok", false},
		{"NUL in a name", ok11 + "X\x00: a\r\nContent-Length: 2\r\n\r\nok", false},
		{"bare CR in a value", ok11 + "X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", false},
		{"bare LF as line end", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false},
		{"bare LF in a value", ok11 + "X: a\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", false},
		{"folded field", ok11 + "X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", false},
		{"folded before the first field", ok11 + " X: a\r\nContent-Length: 2\r\n\r\nok", false},
		{"no colon", ok11 + "X\r\nContent-Length: 2\r\n\r\nok", false},
		{"empty name", ok11 + ": a\r\nContent-Length: 2\r\n\r\nok", false},
		{"name that is no token", ok11 + "X(: a\r\nContent-Length: 2\r\n\r\nok", false},
		{"no HTTP", "hello\r\n\r\n", false},
		{"HTTP/0.9", "<html>ok</html>", false},
		{"HTTP/2", "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"lower case", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"status of two digits", "HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"too many fields", ok11 + strings.Repeat("X: y\r\n", 101) + "Content-Length: 2\r\n\r\nok", false},
		{"huge head", ok11 + "X: " + strings.Repeat("y", 65<<10) + "\r\nContent-Length: 2\r\n\r\nok", false},
		{"huge reason", "HTTP/1.1 200 " + strings.Repeat("y", 65<<10) + "\r\nContent-Length: 2\r\n\r\nok", true},
		{"head that never ends", ok11 + strings.Repeat("X: 1234567890123456789012345678901234567890\r\n", 1800), false},
		{"chunk size with a sign", chunked + "+2\r\nok\r\n0\r\n\r\n", false},
		{"chunk size with a space", chunked + " 2\r\nok\r\n0\r\n\r\n", false},
		{"empty chunk size", chunked + "\r\nok\r\n0\r\n\r\n", false},
		{"chunk size that overflows", chunked + "fffffffffffffffff\r\nok\r\n0\r\n\r\n", false},
		{"chunk line ended by LF", chunked + "2\nok\r\n0\r\n\r\n", false},
		{"chunk without its end", chunked + "2\r\nokx\r\n0\r\n\r\n", false},
		{"trailers that are malformed", chunked + "0\r\nX : y\n\r\n", false},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		m := scripts{}
		for _, tt := range tests {
			m["/"+strings.ReplaceAll(tt.name, " ", "-")] = extra(t, tt.response)
		}
		p, _ := before(t, s, m, "affinity: { cookie: { name: aff } }")
		n := 0
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if s.CanAnswer(t, tt.response); tt.http1 {
					s.ServersHTTP1(t)
				}
				n += 2
				c := testkit.Dial(t, p.Addr)
				c.Send(getOf("/" + strings.ReplaceAll(tt.name, " ", "-")))
				r, err := c.TryRead("GET")
				if err != nil {
					t.Fatalf("no response: %v", err)
				}
				wantResponse(t, tt.name, r, 502, badGateway)
				if got := r.Header.Get("Proxy-Status"); got != "poise; error=http_protocol_error" {
					t.Errorf("Proxy-Status = %q", got)
				}
				wantOpen(t, c)
			})
		}
		for path, rs := range p.Parsed(t, n) {
			if path != "/next" && (len(rs) != 1 || rs[0].Status != 502 || rs[0].Attempts != 1 || rs[0].End[0] != 'S') {
				t.Errorf("records of %s: %+v, want one of 502, S, one attempt", path, rs)
			}
		}
	})
}

// White space before the colon is taken off a response (RFC 9112 section 5.1).
func TestRS2SpaceBeforeColon(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		p, _ := before(t, s, scripts{"/": testkit.Reply("HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length \t: 2\r\n\r\nok")})
		c := testkit.Dial(t, p.Addr)
		for range 2 {
			c.Send(getOf("/"))
			r := c.Read("GET")
			wantResponse(t, "GET", r, 200, "ok")
			if r.Header.Get("X-A") != "1" {
				t.Errorf("fields %v, want X-A: 1", r.Header)
			}
		}
	})
}
