package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// echoPath answers with the request's target.
func echoPath(p *testkit.Peer, head string) bool {
	path := testkit.PathOf(head)
	return p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)) == nil
}

// echoBody answers with the request's body.
func echoBody(p *testkit.Peer, head string) bool {
	r, err := p.BodyOf(head)
	if err != nil {
		return false
	}
	return p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.Body), r.Body)) == nil
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		m := scripts{"/post": echoBody, "/chunked": echoBody}
		var sent strings.Builder
		var want []string
		for i := range 60 {
			path := fmt.Sprintf("/%d", i)
			m[path] = echoPath
			switch i % 3 {
			case 0:
				sent.WriteString(getOf(path))
				want = append(want, path)
			case 1:
				fmt.Fprintf(&sent, "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nbody%s", 4+len(path), path)
				want = append(want, "body"+path)
			case 2:
				fmt.Fprintf(&sent, "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n%x\r\n%s\r\n0\r\n\r\n", len(path), path)
				want = append(want, "body"+path)
			}
		}
		p, _ := before(t, s, m)
		whole, bytewise := testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr)
		whole.Send(sent.String())
		for _, piece := range slices.Collect(slices.Chunk([]byte(sent.String()), 7)) {
			bytewise.Send(string(piece))
		}
		for _, c := range []*testkit.Client{whole, bytewise} {
			for i, body := range want {
				r, err := c.TryRead("POST")
				if err != nil {
					t.Fatalf("response %d: %v; %s; log %s", i, err, p.Records(t, 0)[max(0, len(p.Records(t, 0))-4):], p.Log)
				}
				wantResponse(t, fmt.Sprintf("response %d", i), r, 200, body)
			}
			wantOpen(t, c)
		}
		p.Parsed(t, 2*len(want)+2)
	})
}

func TestHTTP10Client(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		p, server := before(t, s, scripts{
			"/chunked": testkit.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"),
			"/post":    echoBody,
		})
		tests := []struct {
			name, request, body, connection string
			open                            bool
		}{
			{"closes", "GET /a HTTP/1.0\r\n\r\n", "ok", "close", false},
			{"with Host", "GET /b HTTP/1.0\r\nHost: h\r\n\r\n", "ok", "close", false},
			{"keep-alive", "GET /c HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "ok", "keep-alive", true},
			{"keep-alive and close", "GET /d HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", "ok", "close", false},
			{"chunks are taken off", "GET /chunked HTTP/1.0\r\n\r\n", "abcde", "close", false},
			{"body of unknown length ends the connection", "GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "abcde", "close", false},
			{"post", "POST /post HTTP/1.0\r\nContent-Length: 3\r\n\r\nxyz", "xyz", "close", false},
			{"post and keep-alive", "POST /post HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nxyz", "xyz", "keep-alive", true},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				c.Send(tt.request)
				r := c.Read("GET")
				wantResponse(t, tt.name, r, 200, tt.body)
				if got := strings.ToLower(r.Header.Get("Connection")); got != tt.connection && (tt.connection != "close" || !r.Close) {
					t.Errorf("Connection = %q, want %q", got, tt.connection)
				}
				if len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.Header.Get("Trailer") != "" {
					t.Errorf("coding %q, trailers %v and %q, want none for HTTP/1.0", r.TransferEncoding, r.Trailer, r.Header.Get("Trailer"))
				}
				if !tt.open {
					wantClosed(t, c)
					return
				}
				wantOpen(t, c)
			})
		}
		// One a loop, but where the next client came before the last one's connection to the server was given back.
		if n := server.Connections(); n > s.Loops+len(tests)/2 {
			t.Errorf("%d connections to the server for %d clients, want them reused: the client's version is no matter of the server's", n, len(tests))
		}
		if strings.Contains(server.Got(), "HTTP/1.0") {
			t.Errorf("the server got a request of HTTP/1.0, want 1.1 always")
		}
	})
}

func TestCloseIsHonoured(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		p, server := before(t, s, nil)
		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/a", "Connection: close") + getOf("/not-served"))
		r := c.Read("GET")
		wantResponse(t, "GET", r, 200, "ok")
		if !r.Close {
			t.Error("the response lacks Connection: close")
		}
		wantClosed(t, c)
		if strings.Contains(server.Got(), "/not-served") {
			t.Error("a request behind one with Connection: close was served")
		}
		if strings.Contains(strings.ToLower(server.Got()), "connection:") {
			t.Error("the client's Connection went to the server")
		}
	})
}

func TestResponsesWithoutBody(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		m := scripts{
			"/length":   testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
			"/chunked":  testkit.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
			"/none":     testkit.Reply("HTTP/1.1 200 OK\r\n\r\n"),
			"/204":      testkit.Reply("HTTP/1.1 204 No Content\r\n\r\n"),
			"/304":      testkit.Reply("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n"),
			"/zero":     testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
			"/noreason": testkit.Reply("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
			"/odd":      testkit.Reply("HTTP/1.1 799 Very Odd\r\nContent-Length: 0\r\n\r\n"),
		}
		p, _ := before(t, s, m)
		tests := []struct {
			name, method, path string
			status             int
			length             string
		}{
			{"HEAD with a length", "HEAD", "/length", 200, "1000"},
			{"HEAD of chunks", "HEAD", "/chunked", 200, ""},
			{"HEAD without a length", "HEAD", "/none", 200, ""},
			{"204", "GET", "/204", 204, ""},
			{"304 with a length", "GET", "/304", 304, "77"},
			{"empty body", "GET", "/zero", 200, "0"},
			{"no reason phrase", "GET", "/noreason", 200, "0"},
			{"unknown status", "GET", "/odd", 799, "0"},
		}
		c := testkit.Dial(t, p.Addr)
		for _, tt := range tests {
			c.Send(tt.method + " " + tt.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			r := c.Read(tt.method)
			wantResponse(t, tt.name, r, tt.status, "")
			if got := r.Header.Get("Content-Length"); got != tt.length {
				t.Errorf("%s: Content-Length = %q, want %q", tt.name, got, tt.length)
			}
		}
		wantOpen(t, c)
		p.Parsed(t, len(tests)+1)
	})
}

func TestWithoutARouteIs404(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		p := testkit.Start(t, s, `
listeners:
  - { name: web, address: "127.0.0.1:0", routes: [{ match: { host: a.test, path: /x/* }, pool: app }] }
pools: { app: { servers: [`+server.Addr+`] } }
`)
		c := testkit.Dial(t, p.Addr)
		for _, target := range []string{"/", "/xx", "/y", "/X/1", "/x/../y"} {
			c.Send("GET " + target + " HTTP/1.1\r\nHost: a.test\r\n\r\n")
			r := c.Read("GET")
			wantResponse(t, target, r, 404, "404 Not Found: no route matches this host and path\n")
			if got := r.Header.Get("Proxy-Status"); got != "poise; error=destination_not_found" {
				t.Errorf("Proxy-Status = %q", got)
			}
		}
		c.Send("HEAD /head HTTP/1.1\r\nHost: a.test\r\n\r\n")
		wantResponse(t, "HEAD", c.Read("HEAD"), 404, "")
		c.Send("POST /y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody")
		wantResponse(t, "POST with its body", c.Read("POST"), 404, "404 Not Found: no route matches this host and path\n")
		if r := c.Get("/x/1"); r.StatusCode != 404 {
			t.Errorf("another host = %d, want 404", r.StatusCode)
		}
		if server.Connections() != 0 {
			t.Errorf("the server got %d connections, want 0", server.Connections())
		}
		c.Send("GET /x/1 HTTP/1.1\r\nHost: A.test:80\r\n\r\n")
		wantResponse(t, "the route", c.Read("GET"), 200, "ok")
		for path, rs := range p.Parsed(t, 9) {
			if r := rs[0]; r.Status == 404 && (r.End != "PR--" || r.Route != "" || r.Attempts != 0) {
				t.Errorf("%s: record %+v, want PR--, no route, no attempt", path, r)
			}
		}
	})
}
