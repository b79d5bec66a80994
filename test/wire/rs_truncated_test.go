package wire

import (
	"errors"
	"io"
	"strings"
	"testing"

	"poise/internal/sys"
	"poise/internal/testkit"
)

func isReset(err error) bool { return sys.IsReset(err) }

func TestRS3TruncatedResponseIsSeen(t *testing.T) {
	t.Parallel()
	const (
		length  = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		close11 = "HTTP/1.1 200 OK\r\n\r\n"
	)
	tests := []struct {
		name, response string
		reset          bool
		version        string
		// want is the body as far as it came.
		want string
	}{
		{"length, nothing of the body", length, false, "1.1", ""},
		{"length, half of the body", length + "12345", false, "1.1", "12345"},
		{"length, reset", length + "12345", true, "1.1", "12345"},
		{"length, HTTP/1.0", length + "12345", false, "1.0", "12345"},
		{"chunks, none", chunked, false, "1.1", ""},
		{"chunks, within the size", chunked + "5\r\n12345\r\n1", false, "1.1", "12345"},
		{"chunks, within the data", chunked + "a\r\n12345", false, "1.1", "12345"},
		{"chunks, before the data's end", chunked + "5\r\n12345", false, "1.1", "12345"},
		{"chunks, before the last one", chunked + "5\r\n12345\r\n", false, "1.1", "12345"},
		{"chunks, before the last line", chunked + "5\r\n12345\r\n0\r\n", false, "1.1", "12345"},
		{"chunks, within the trailers", chunked + "5\r\n12345\r\n0\r\nX: y\r\n", false, "1.1", "12345"},
		{"chunks, reset", chunked + "5\r\n12345\r\n", true, "1.1", "12345"},
		{"chunks, malformed in the middle", chunked + "5\r\n12345\r\nx\r\n0\r\n\r\n", false, "1.1", "12345"},
		{"until the end, reset", close11 + "12345", true, "1.1", "12345"},
		{"chunks, HTTP/1.0", chunked + "5\r\n12345\r\n", false, "1.0", "12345"},
		{"until the end, reset, HTTP/1.0", close11 + "12345", true, "1.0", "12345"},
	}
	pathOf := func(name string) string { return "/" + strings.NewReplacer(" ", "-", ",", "").Replace(name) }
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		m, passed := scripts{}, map[string]chan struct{}{}
		for _, tt := range tests {
			proceed := make(chan struct{})
			passed[tt.name] = proceed
			head, body, _ := strings.Cut(tt.response, "\r\n\r\n")
			m[pathOf(tt.name)] = func(p *testkit.Peer, _ string) bool {
				_ = p.Send(head + "\r\n\r\n")
				_ = p.Send(body)
				<-proceed
				if tt.reset {
					p.Reset()
				}
				return false
			}
		}
		p, _ := before(t, s, m)
		n := 0
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if tt.version == "1.0" {
					s.ClientHTTP1(t)
				}
				if strings.Contains(tt.name, "malformed") {
					s.ServersHTTP1(t)
				}
				n++
				c := testkit.Dial(t, p.Addr)
				c.Send("GET " + pathOf(tt.name) + " HTTP/" + tt.version + "\r\nHost: a\r\n\r\n")
				if tt.want != "" && !strings.Contains(tt.name, "malformed") { // what came is passed on before the end is known
					if b, err := c.R.Peek(1); err != nil {
						t.Fatalf("nothing came (%q): %v", b, err)
					}
				}
				close(passed[tt.name])
				r, err := c.TryRead("GET")
				if err != nil {
					t.Fatalf("no response: %v", err)
				}
				if r.StatusCode == 502 && tt.want == "" || r.StatusCode == 502 && strings.Contains(tt.name, "malformed") {
					return // nothing of the response was sent yet: better still
				}
				if r.StatusCode != 200 || !strings.HasPrefix(tt.want, r.Body) {
					t.Errorf("response %d %q, want 200 and at most %q", r.StatusCode, r.Body, tt.want)
				}
				if !errors.Is(r.Err, io.ErrUnexpectedEOF) && !isReset(r.Err) {
					t.Errorf("the body ended with %v, want a cut that can be seen", r.Err)
				}
			})
		}
		for path, rs := range p.Parsed(t, n) {
			if r := rs[0]; len(rs) != 1 || r.Status == 200 && (r.End != "SD--" || r.Reason == "") {
				t.Errorf("records of %s: %+v, want one that ends SD--", path, rs)
			}
		}
	})
}

func TestRS3NoOrHalfAHead(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{
			"/nothing": testkit.ReplyAndClose(""),
			"/half":    testkit.ReplyAndClose("HTTP/1.1 200 OK\r\nContent-Le"),
			"/line":    testkit.ReplyAndClose("HTTP/1.1 200 OK\r\n"),
		})
		c := testkit.Dial(t, p.Addr)
		wantResponse(t, "nothing", c.Get("/nothing"), 502, "502 Bad Gateway: the server closed the connection before it answered\n")
		if !s.ServerHTTP2 {
			wantResponse(t, "half a head", c.Get("/half"), 502, badGateway)
			wantResponse(t, "a line", c.Get("/line"), 502, badGateway)
		}
		wantOpen(t, c)
	})
}

func TestRS4BodyUntilTheConnectionsEnd(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, version, fields string
		chunked, open               bool
	}{
		{"to HTTP/1.1 in chunks", "/close11", "1.1", "", true, true},
		{"from HTTP/1.0", "/close10", "1.1", "", true, true},
		{"to HTTP/1.0 until the end", "/close11", "1.0", "", false, false},
		{"to HTTP/1.0 that would keep the connection", "/close11", "1.0", "Connection: keep-alive\r\n", false, false},
		{"from 1.0 to 1.0", "/close10", "1.0", "", false, false},
		{"empty", "/empty", "1.1", "", true, true},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		body := string(testkit.Pattern(4, 300<<10))
		p, server := before(t, s, scripts{
			"/close11": testkit.ReplyAndClose("HTTP/1.1 200 OK\r\n\r\n" + body),
			"/close10": testkit.ReplyAndClose("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n" + body),
			"/empty":   testkit.ReplyAndClose("HTTP/1.1 200 OK\r\n\r\n"),
		})
		n := 0
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if tt.version == "1.0" {
					s.ClientHTTP1(t)
				}
				n++
				c := testkit.Dial(t, p.Addr)
				c.Send("GET " + tt.path + " HTTP/" + tt.version + "\r\nHost: a\r\n" + tt.fields + "\r\n")
				r := c.Read("GET")
				want := body
				if tt.path == "/empty" {
					want = ""
				}
				if r.StatusCode != 200 || r.Body != want || r.Err != nil {
					t.Errorf("response %d with %d bytes (%v), want 200 with %d", r.StatusCode, len(r.Body), r.Err, len(want))
				}
				if chunked := len(r.TransferEncoding) == 1; chunked != tt.chunked || r.ContentLength >= 0 || r.Close != !tt.open {
					t.Errorf("chunked %v, length %d, close %v, want %v, unknown, %v", chunked, r.ContentLength, r.Close, tt.chunked, !tt.open)
				}
				if tt.open {
					wantOpen(t, c)
				} else {
					wantClosed(t, c)
				}
			})
		}
		if got := server.Connections(); got < n && !s.ServerHTTP2 {
			t.Errorf("%d connections to the server, want one a body", got)
		}
	})
}

// A server that closes, or speaks HTTP/1.0, gets each request on a connection of its own.
func TestRS4ServerWithoutKeepAlive(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, server := before(t, s, scripts{
			"/10":    testkit.ReplyAndClose("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
			"/close": testkit.ReplyAndClose(okClose),
			"/10k":   testkit.Reply("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"),
		})
		c := testkit.Dial(t, p.Addr)
		for i, path := range []string{"/10", "/close", "/10", "/close", "/10k", "/10k"} {
			r := c.Get(path)
			wantResponse(t, path, r, 200, "ok")
			if r.Close || r.Header.Get("Connection") != "" {
				t.Errorf("request %d: the server's Connection came through: %v", i, r.Header)
			}
		}
		if n := server.Connections(); n != 5 && !s.ServerHTTP2 {
			t.Errorf("%d connections to the server, want 5", n)
		}
	})
}
